"""One process of a system, as its parent holds it."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dolphin_mp.exits import kill_group

if TYPE_CHECKING:
    from dolphin_mp.parent.estate import Adoptee
    from dolphin_mp.parent.spawner import Line


@dataclass
class Child:
    """A forked process: its line until it has reported, then its pid and pidfd.

    Attributes: tether (its line from then on, if that ends only when the process begins to die).
    """

    process: str
    incarnation: int
    members: tuple[str, ...]
    line: Line | None
    pid: int = 0
    pidfd: int = -1
    reason: str = ""
    spawned_ns: int = 0
    start: int = 0  # of one that is adopted: its start time
    mark: int = 0
    tether: Line | None = None

    @classmethod
    def of(cls, found: Adoptee) -> Child:
        """Give a living process of an earlier parent."""
        return cls(
            found.process, found.incarnation, found.members, None, found.pid, found.pidfd, start=found.start
        )

    def signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)

    def end_group(self) -> None:
        """Kill its process group; it is not reaped yet, or it is adopted."""
        if self.start:
            kill_group(self.pidfd, self.pid)
        else:  # not reaped yet: the pid can't be another's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
