"""What a venue said, as plain records: a snapshot of a whole book, or the levels that changed since.

Levels are ``(price, size)`` pairs of floats in the order received; size 0 deletes. The venue's module has
seen to it that they *are* numbers; whether the numbers make sense is the book's question.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple, TypeAlias

Levels: TypeAlias = list[tuple[float, float]]


class Delta(NamedTuple):
    """Levels of one symbol that changed between two update ids of the venue."""

    symbol: str
    first_id: int
    last_id: int
    previous_id: int
    event_ns: int
    bids: Levels
    asks: Levels


class Snapshot(NamedTuple):
    """All levels of one symbol as of one update id."""

    symbol: str
    last_id: int
    event_ns: int
    bids: Levels
    asks: Levels


Event: TypeAlias = Delta | Snapshot


class Joint(Enum):
    """How a delta stands to the snapshot before it."""

    OLDER = auto()
    BRIDGES = auto()
    LEAVES_A_GAP = auto()


class BadMessageError(ValueError):
    """A message that no book may see; ``symbol`` is whose it was, None if that can't be told."""

    def __init__(self, reason: str, symbol: str | None = None) -> None:
        super().__init__(reason if symbol is None else f"{symbol}: {reason}")
        self.symbol = symbol
