"""The feed's time: the wall clock's at a start, and from then on the pace of a clock that is never set."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def boot_ns() -> int:
    """Give the time since the machine's start, that in suspension included: ages must survive it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class FeedClock:
    """Gives times since 1970 that never run backward and never leap while a connection stands.

    A wall clock that is set forward or back changes no age and no cadence; what was corrected forward is
    taken over by `set`, what was corrected back never, because a recording's times must not run back.
    No two times are equal, so that their order is the order of what happened.

    Args:
        wall: nanoseconds since 1970.
        steady: nanoseconds of a clock that is never set.
    """

    __slots__ = ("_ahead_ns", "_last_ns", "_steady", "_wall")

    def __init__(self, wall: Callable[[], int] = time.time_ns, steady: Callable[[], int] = boot_ns) -> None:
        self._wall, self._steady = wall, steady
        self._ahead_ns = wall() - steady()
        self._last_ns = 0

    def now_ns(self) -> int:
        """Give the time, later than each before it."""
        self._last_ns = max(self._last_ns + 1, self._steady() + self._ahead_ns)
        return self._last_ns

    def set(self) -> None:
        """Take over a wall clock that was set forward; to be called where nothing has an age to lose."""
        self._ahead_ns = max(self._ahead_ns, self._wall() - self._steady())

    def go_on_after(self, last_ns: int) -> float:
        """Give only later times than that one; returns by how many seconds it is moved on."""
        behind_ns = last_ns + 1 - (self._steady() + self._ahead_ns)
        if behind_ns <= 0:
            return 0.0
        self._ahead_ns += behind_ns
        return behind_ns / 1e9
