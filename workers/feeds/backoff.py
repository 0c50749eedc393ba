"""Delays that grow with each failure, with jitter so that many clients don't come back all at once.

Source: Brooker, Exponential Backoff And Jitter, AWS Architecture Blog (2015): the "equal jitter" there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

FIRST_S = 1.0
MOST_S = 60.0
"""Chosen: a venue that is down for an hour is asked some eighty times, one that hiccups is back soon."""


class Backoff:
    """The delays of one thing that is tried again and again.

    Args:
        random: decides how much of a delay is waited for: between half of it and all.
    """

    __slots__ = ("_next_s", "_random")

    def __init__(self, random: Random) -> None:
        self._random = random
        self._next_s = FIRST_S

    def next_s(self) -> float:
        """Give the delay before the next try, which doubles the one after it."""
        delay_s, self._next_s = self._next_s, min(2 * self._next_s, MOST_S)
        return delay_s * self._random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin anew: it has worked for a while."""
        self._next_s = FIRST_S
