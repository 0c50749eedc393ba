"""The end of what a dead process has left: killed and reaped before its death is told.

What sits in the kernel (state D) dies nobody knows when: after a while the death is told without it.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from dolphin_mp.hang import timer
from dolphin_mp.process.kin import bury, kill_kin

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.parent.poller import Poller

LIMIT_NS = 5_000_000_000  # chosen: SIGKILL takes effect at once but in D state, which nobody can wait for


class Burials:
    """Ends the kin of dead processes without waiting for it.

    Args:
        poller: tells when the killed are dead, or have been dying for too long.
    """

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._dying: dict[int, int] = {}  # pidfd -> pid
        self._alarms: set[Alarm] = set()

    def begin(self, mark: int, over: Callable[[], None]) -> None:
        """Kill what bears the mark, and what that begets; call back, perhaps at once, when none lives.

        After `LIMIT_NS` that is done all the same; what dies later is buried then.
        """
        dying = kill_kin({mark})
        if not dying:
            over()
            return

        def tell() -> None:
            if alarm in self._alarms:  # else it was told when the alarm went off
                self._alarms.discard(alarm)
                alarm.close()
                over()

        alarm = Alarm(self._poller, tell)
        self._alarms.add(alarm)
        self._wait(mark, dying, tell)

    def _wait(self, mark: int, dying: dict[int, int], over: Callable[[], None]) -> None:
        left = set(dying)

        def died(pidfd: int) -> None:
            left.discard(pidfd)
            self._poller.remove(pidfd)
            bury(pidfd, self._dying.pop(pidfd))
            if left:
                return
            more = kill_kin({mark})
            if more:
                self._wait(mark, more, over)
            else:
                over()

        self._dying.update(dying)
        for pidfd in dying:
            self._poller.add(pidfd, lambda pidfd=pidfd: died(pidfd))  # type: ignore[misc]

    def close(self) -> None:
        """Wait for nobody any more."""
        for pidfd, pid in self._dying.items():
            self._poller.remove(pidfd)
            bury(pidfd, pid)
        for alarm in self._alarms:
            alarm.close()
        self._dying.clear()
        self._alarms.clear()


class Alarm:
    """Goes off once, after `LIMIT_NS`; never, if there is no descriptor for it."""

    def __init__(self, poller: Poller, ring: Callable[[], None]) -> None:
        self._poller = poller
        self._fd = -1
        try:
            self._fd = timer.create_timer()
        except OSError:
            return
        timer.arm(self._fd, time.monotonic_ns() + LIMIT_NS)
        poller.add(self._fd, ring)

    def close(self) -> None:
        """Let it not go off."""
        if self._fd >= 0:
            self._poller.remove(self._fd)
            os.close(self._fd)
            self._fd = -1
