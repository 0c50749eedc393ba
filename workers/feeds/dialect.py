"""What differs between venues on a live connection: addresses, words that are no data, and limits.

What the messages say of books is `dolphin_mp.workers.books`' business; a dialect only knows how to ask for
them and what to answer. Like a venue's module it keeps no state.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence


class Limits(NamedTuple):
    """What the venue allows a client, or a chosen share of it.

    Attributes:
        sends: messages to the venue on one connection, in `sends_within_s`.
        sends_within_s: seconds.
        connects: connections opened in `connects_within_s`.
        connects_within_s: seconds.
        fetches: REST snapshots asked for in a minute.
        batch: symbols in one message that subscribes.
        lifetime_s: age at which the venue ends a connection; 0: it does not.
        symbols: on one connection; 0: as many as one likes.
    """

    sends: int
    sends_within_s: float
    connects: int
    connects_within_s: float
    fetches: int = 0
    batch: int = 50
    lifetime_s: float = 0.0
    symbols: int = 0


class Heartbeat(NamedTuple):
    """How a quiet connection is kept, and known to live.

    Attributes:
        ping: what the client says; None where websocket pings or the venue's own beats do.
        every_s: how often; 0: never.
    """

    ping: bytes | None = None
    every_s: float = 0.0


class Form(NamedTuple):
    """How a venue writes its symbols; what is written otherwise, some acknowledge and never send.

    Attributes:
        pattern: a regular expression for all of a symbol.
        example: one or two.
    """

    pattern: str
    example: str

    def check(self, symbols: Sequence[str]) -> None:
        """Check how symbols are written.

        Raises:
            ValueError: the message names the symbol, and how it would be written.
        """
        for symbol in symbols:
            if not re.fullmatch(self.pattern, symbol):
                raise ValueError(f"symbol {symbol!r} is not as the venue writes them: like {self.example}")


class Answer(NamedTuple):
    """Say this to the venue at once."""

    payload: bytes


class Subscribed(NamedTuple):
    """The venue sends this symbol's book from now on."""

    symbol: str


class Brings(NamedTuple):
    """The question of that number brings the books of these symbols, and of no other that it asked for."""

    number: int
    symbols: tuple[str, ...]


class Refused(NamedTuple):
    """The venue does not do what it was asked to; `symbol` is None where it does not say whose it was.

    `final`: to ask again is no use (an unknown symbol); else later (too many requests).
    """

    symbol: str | None
    reason: str
    final: bool


class Leave(NamedTuple):
    """The venue is about to end this connection, or wants it ended: connect anew."""

    reason: str


Word: TypeAlias = Answer | Subscribed | Brings | Refused | Leave


class Dialect(Protocol):
    """What a venue's module in `dialects` offers; nothing in it keeps state."""

    @property
    def WS_URL(self) -> str:  # noqa: N802 - a module's constant
        """Where its public websocket is."""

    @property
    def REST_URL(self) -> str:  # noqa: N802 - a module's constant
        """Where snapshots are asked for; empty where they come on the socket."""

    @property
    def LIMITS(self) -> Limits:  # noqa: N802 - a module's constant
        """What it allows."""

    @property
    def HEARTBEAT(self) -> Heartbeat:  # noqa: N802 - a module's constant
        """How the connection is kept."""

    @property
    def SYMBOL(self) -> Form:  # noqa: N802 - a module's constant
        """How it writes its symbols."""

    def greet(self) -> list[bytes]:
        """Give what is said first on each new connection, before any subscription."""

    def subscribe(self, symbols: Sequence[str], number: int, /) -> list[bytes]:
        """Give the messages that ask for books and trades of symbols; `number` is this message's own."""

    def unsubscribe(self, symbols: Sequence[str], number: int, /) -> list[bytes]:
        """Give the messages that end the books of symbols; with `subscribe` after it they begin anew."""

    def snapshot_url(self, base: str, symbol: str, /) -> str:
        """Give the REST address of a symbol's snapshot; empty where it comes on the socket."""

    def hear(self, payload: bytes, /) -> tuple[Word, ...]:
        """Give what a message without events of a book says to the session; never raises."""
