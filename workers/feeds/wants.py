"""What a connection wants for each of its symbols, how far that has come, and when it is asked for again."""

from __future__ import annotations

from enum import Enum, auto
from math import inf
from typing import TYPE_CHECKING

from dolphin_mp.workers.feeds.backoff import Backoff

if TYPE_CHECKING:
    from random import Random

STEADY_S = 60.0
"""In sync for so long, all delays begin anew (chosen)."""


class Stage(Enum):
    """How far a symbol has come."""

    TO_ASK = auto()
    """To be subscribed to, once it is due."""
    ASKED = auto()
    """Subscribed to; where snapshots are fetched the first change is waited for, else the book itself."""
    TO_FETCH = auto()
    """Its snapshot is to be fetched, once it is due."""
    FETCHING = auto()
    SYNCED = auto()
    REFUSED = auto()
    """For good: it is not asked for again."""


class Want:
    """One symbol.

    Attributes:
        stage: how far it has come.
        due_s: when something is to be done for it, if nothing happens before; inf: nothing.
        asked: whether this connection has subscribed to it.
        alone: whether it is asked for by itself, because it did not come with others.
    """

    __slots__ = ("_delays", "_since_s", "alone", "asked", "due_s", "stage", "symbol")

    def __init__(self, symbol: str, random: Random) -> None:
        self.symbol = symbol
        self.stage = Stage.TO_ASK
        self.due_s = inf
        self.asked = self.alone = False
        self._delays = Backoff(random)
        self._since_s = inf

    def begin(self, now: float) -> None:
        """Begin on a new connection."""
        if self.stage is not Stage.REFUSED:
            self._forgive(now)
            self.stage, self.due_s, self.asked = Stage.TO_ASK, now, False

    def wait(self, stage: Stage, until_s: float) -> None:
        """Wait for an answer."""
        self.stage, self.due_s = stage, until_s

    def again(self, stage: Stage, now: float) -> None:
        """Be asked for again, at once if it was in sync for long, else after a delay that grows.

        One that never came is asked for by itself from then on: it may be what keeps others from coming.
        """
        steady = self._forgive(now)
        self.alone |= self.stage is not Stage.SYNCED
        self.stage, self.due_s = stage, now if steady else now + self._delays.next_s()

    def sync(self, now: float) -> None:
        """Be in sync."""
        self.stage, self.due_s, self._since_s = Stage.SYNCED, inf, now
        self.alone = False

    def refuse(self) -> None:
        """Be refused for good."""
        self.stage, self.due_s = Stage.REFUSED, inf

    def _forgive(self, now: float) -> bool:
        """Forget former failures if it was in sync for long."""
        steady = self.stage is Stage.SYNCED and now - self._since_s >= STEADY_S
        if steady:
            self._delays.reset()
        return steady
