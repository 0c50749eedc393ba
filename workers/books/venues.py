"""The venues whose language is known: each is one module of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from dolphin_mp.workers.books import binance

if TYPE_CHECKING:
    from dolphin_mp.workers.books.events import Delta, Event, Joint, Snapshot

VenueName: TypeAlias = Literal["binance-futures"]


class Venue(Protocol):
    """What a venue's module offers; nothing in it keeps state."""

    @property
    def CAPTURE(self) -> str:  # noqa: N802 - a module's constant
        """How the files of a cryptofeed raw capture name the venue."""

    def parse(self, payload: bytes, /) -> tuple[Event, ...]:
        """Give the events of one socket message; raises BadMessageError."""

    def parse_reply(self, url: str, body: bytes, /) -> Snapshot | None:
        """Give the snapshot of one REST reply; raises BadMessageError."""

    def symbols_in(self, url: str, /) -> list[str]:
        """Give the symbols whose book a URL asks for."""

    def symbol_in(self, payload: bytes, /) -> str | None:
        """Give the symbol that a broken message seems to be about."""

    def joins(self, delta: Delta, snapshot_id: int, /) -> Joint:
        """Say how a delta stands to the snapshot of that id."""


VENUES: dict[VenueName, Venue] = {"binance-futures": binance}
