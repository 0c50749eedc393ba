"""What a venue said, as plain records: a snapshot of a whole book, the levels that changed since, a trade.

Levels are ``(price, size)`` pairs of floats in the order received; size 0 deletes. The venue's module has
seen to it that they *are* numbers; whether the numbers make sense is the book's question.
"""

from __future__ import annotations

from enum import Enum, IntEnum, auto
from typing import NamedTuple, TypeAlias

LEAST_PRICE, MOST_PRICE, MOST_SIZE = 1e-15, 1e12, 1e17
"""Beyond these nothing is a price or size (chosen): a satoshi is 1e-8, no coin has more than 1e16 pieces."""

Levels: TypeAlias = list[tuple[float, float]]


class Proof(NamedTuple):
    """What a venue's checksum is made of.

    The texts are each level's share in it, made from the very characters that the venue sent: one for each
    of the message's bids and asks, in their order.
    """

    bids: list[str]
    asks: list[str]
    checksum: int | None
    """Of the best levels after this message; None if the message carries none."""


class Delta(NamedTuple):
    """Levels of one symbol that changed between two update ids of the venue."""

    symbol: str
    first_id: int
    last_id: int
    previous_id: int
    event_ns: int
    bids: Levels
    asks: Levels
    proof: Proof | None = None


class Snapshot(NamedTuple):
    """All levels of one symbol as of one update id; 0 where the venue numbers nothing."""

    symbol: str
    last_id: int
    event_ns: int
    bids: Levels
    asks: Levels
    proof: Proof | None = None
    limit: int = 0
    """Levels of a side that the venue goes on telling about; 0: all."""
    chained: bool = False
    """Changes name the one before them, though not in each dialect of the venue: see `Rules.chained`."""


class Trade(NamedTuple):
    """Somebody bought from the asks or sold to the bids."""

    symbol: str
    event_ns: int
    price: float
    size: float
    bought: bool


class Opened(NamedTuple):
    """A subscription was answered.

    Its channel is the connection's short name for the symbol, by which a broken message may still be known.
    """

    symbol: str
    channel: int | None
    of_book: bool
    limit: int = 0
    """Levels of a side that the venue goes on telling about; 0: not said here."""


class Numbered(NamedTuple):
    """A message's number on its connection, where a venue counts all its messages together, from 0.

    It comes before what else the message says. Where one is missing, nobody knows whose book it was about.
    """

    number: int
    symbol: str = ""


Event: TypeAlias = Delta | Snapshot | Trade | Opened | Numbered


class Joint(Enum):
    """How a delta stands to the snapshot before it."""

    OLDER = auto()
    BRIDGES = auto()
    LEAVES_A_GAP = auto()


class Fault(IntEnum):
    """Why a message was refused; each is counted by itself."""

    UNREADABLE = 0
    """Undecodable, cut short, or of a shape that the venue doesn't use."""
    VALUE = 1
    """A price or size that can't be one."""
    UNKNOWN_SYMBOL = 2
    GAP = 3
    """The ids or times don't continue those before."""
    CHECKSUM = 4
    CROSSED = 5
    """The best bid would be above the best ask."""


class BadMessageError(ValueError):
    """A message that no book may see.

    Attributes:
        symbol: whose it was; None if that can't be told.
        fault: what it is counted as.
        of_book: False if it surely was about something else than a book, a trade for example.
        channel: the connection's number for what it is about, if that is all that can be told.
        number: of the message on its connection, where it has one: see `Numbered`.
    """

    def __init__(
        self,
        reason: str,
        symbol: str | None = None,
        fault: Fault = Fault.UNREADABLE,
        *,
        of_book: bool = True,
        channel: int | None = None,
        number: int | None = None,
    ) -> None:
        super().__init__(reason if symbol is None else f"{symbol}: {reason}")
        self.symbol = symbol
        self.fault = fault
        self.of_book = of_book
        self.channel = channel
        self.number = number
