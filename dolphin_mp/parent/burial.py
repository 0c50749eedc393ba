"""The end of what a dead process has left: killed and reaped before its death is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolphin_mp.process.kin import bury, kill_kin

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.parent.poller import Poller


class Burials:
    """Ends the kin of dead processes without waiting for it.

    Args:
        poller: tells when the killed are dead.
    """

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._dying: dict[int, int] = {}

    def begin(self, mark: int, over: Callable[[], None]) -> None:
        """Kill what bears the mark, and what that begets; call back, perhaps at once, when none lives."""
        dying = kill_kin({mark})
        if not dying:
            over()
            return
        left = set(dying)

        def died(pidfd: int) -> None:
            left.discard(pidfd)
            self._poller.remove(pidfd)
            bury(pidfd, self._dying.pop(pidfd))
            if not left:
                self.begin(mark, over)

        self._dying.update(dying)
        for pidfd in dying:
            self._poller.add(pidfd, lambda pidfd=pidfd: died(pidfd))  # type: ignore[misc]

    def close(self) -> None:
        """Wait for nobody any more."""
        for pidfd, pid in self._dying.items():
            self._poller.remove(pidfd)
            bury(pidfd, pid)
        self._dying.clear()
