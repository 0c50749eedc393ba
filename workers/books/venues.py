"""The venues whose language is known: each is one module of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from dolphin_mp.workers.books import binance, binance_delivery, bitget, coinbase, deribit, kraken, okx

if TYPE_CHECKING:
    from dolphin_mp.workers.books.events import BadMessageError, Event, Snapshot
    from dolphin_mp.workers.books.rules import Rules

VenueName: TypeAlias = Literal[
    "binance-futures", "binance-delivery", "coinbase", "kraken", "bitget", "okx", "deribit"
]


class Venue(Protocol):
    """What a venue's module offers; nothing in it keeps state."""

    @property
    def CAPTURE(self) -> str:  # noqa: N802 - a module's constant
        """How the files of a cryptofeed raw capture name the venue."""

    @property
    def RULES(self) -> Rules:  # noqa: N802 - a module's constant
        """How its books start, continue and are proven."""

    def parse(self, payload: bytes, /) -> tuple[Event, ...]:
        """Give the events of one socket message; raises BadMessageError."""

    def parse_reply(self, url: str, body: bytes, /) -> Snapshot | None:
        """Give the snapshot of one REST reply; raises BadMessageError."""

    def symbols_in(self, url: str, /) -> list[str]:
        """Give the symbols whose book a URL asks for."""

    def symbols_sent(self, payload: bytes, /) -> list[str]:
        """Give the symbols whose book a message to the venue asks for."""

    def broken(self, payload: bytes, reason: str, /) -> BadMessageError:
        """Give the error for a message that can't be read, with all that can be told of it."""


VENUES: dict[VenueName, Venue] = {
    "binance-futures": binance,
    "binance-delivery": binance_delivery,
    "coinbase": coinbase,
    "kraken": kraken,
    "bitget": bitget,
    "okx": okx,
    "deribit": deribit,
}
