"""How much of each pipe is taken and when, so that who talks much costs the others nothing.

Each pipe has an allowance: it fills up at a steady rate to a burst's worth. One that has used it up is left
alone until there is enough again to be worth a wake-up; its pipe fills, and its process drops and counts by
itself, which costs least. Those who have used it up share a total rate. Pure: the clock is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Bytes, and bytes a second.

    Attributes: burst (taken as fast as it comes); rate (of one pipe, thereafter); total_rate (of all that are
    over theirs); sip (the least worth a wake-up); turn (taken of all pipes together before any is looked at
    again); least, most (of each pipe in a turn).
    """

    burst: float = 16 << 20
    rate: float = 4 << 20
    total_rate: float = 16 << 20
    sip: float = 256 << 10
    turn: int = 1 << 20
    least: int = 4096
    most: int = 64 << 10

    def share(self, ready: int) -> int:
        """Give how much to take of each of so many pipes in a turn."""
        return min(self.most, max(self.least, self.turn // max(1, ready)))

    def rate_of_each(self, over: int) -> float:
        """Give the rate of a pipe when so many are over their allowance."""
        return min(self.rate, self.total_rate / max(1, over))


class Allowance:
    """What may still be taken of one pipe."""

    def __init__(self, pace: Pace, now: float) -> None:
        self._pace = pace
        self._left = pace.burst
        self._at = now

    def take(self, nbytes: int, now: float, over: int = 1) -> None:
        """Note that so much was taken."""
        self._left = self._filled(now, over) - nbytes
        self._at = now

    @property
    def is_over(self) -> bool:
        """Whether it is used up."""
        return self._left <= 0

    def due(self, over: int = 1) -> float:
        """Give when there is a sip again."""
        return self._at + (self._pace.sip - self._left) / self._pace.rate_of_each(over)

    def _filled(self, now: float, over: int) -> float:
        return min(self._pace.burst, self._left + (now - self._at) * self._pace.rate_of_each(over))
