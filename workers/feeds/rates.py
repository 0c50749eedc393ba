"""How often something may be done: so many times in any stretch of so many seconds."""

from __future__ import annotations

from collections import deque


class Window:
    """A sliding window over what was done.

    Args:
        most: times in `within_s`; 0: as often as one likes.
        within_s: seconds.
    """

    __slots__ = ("_blocked_s", "_most", "_times", "_within_s")

    def __init__(self, most: int, within_s: float) -> None:
        self._most, self._within_s = most, within_s
        self._times: deque[float] = deque(maxlen=most or None)
        self._blocked_s = float("-inf")

    def spend(self, now: float) -> None:
        """Note that it was done."""
        if self._most:
            self._times.append(now)

    def block(self, until_s: float) -> None:
        """Note that the venue wants none before then."""
        self._blocked_s = max(self._blocked_s, until_s)

    def free_s(self, now: float, spare: int = 0) -> float:
        """Give when it may be done next so that `spare` more may follow at once: `now` if it may now.

        A window of one leaves nothing to spare, and asks for nothing.
        """
        times = self._times
        while times and times[0] + self._within_s <= now:
            times.popleft()
        room = max(1, self._most - spare)
        free_s = now
        if self._most and len(times) >= room:
            free_s = times[len(times) - room] + self._within_s
        return max(free_s, self._blocked_s)
