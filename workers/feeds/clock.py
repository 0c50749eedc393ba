"""The feed's time: the wall clock's at a start, and from then on the monotonic clock's pace."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class FeedClock:
    """Gives times since 1970 that never run backward and never leap while a connection stands.

    A wall clock that is set forward or back changes no age and no cadence; what was corrected forward is
    taken over by `set`, what was corrected back never, because a recording's times must not run back.
    No two times are equal, so that their order is the order of what happened.
    """

    __slots__ = ("_ahead_ns", "_last_ns", "_monotonic", "_wall")

    def __init__(
        self, wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._ahead_ns = wall() - monotonic()
        self._last_ns = 0

    def now_ns(self) -> int:
        """Give the time, later than each before it."""
        self._last_ns = max(self._last_ns + 1, self._monotonic() + self._ahead_ns)
        return self._last_ns

    def set(self) -> None:
        """Take over a wall clock that was set forward; to be called where nothing has an age to lose."""
        self._ahead_ns = max(self._ahead_ns, self._wall() - self._monotonic())
