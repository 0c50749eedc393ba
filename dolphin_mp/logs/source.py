"""The collector's end of one pipe."""

from __future__ import annotations

import fcntl
import os
import select
import time
from typing import TYPE_CHECKING

from dolphin_mp.logs.files import last_written
from dolphin_mp.logs.intake import Intake
from dolphin_mp.logs.pacing import Allowance, Pace

if TYPE_CHECKING:
    from dolphin_mp.logs.counts import Counts
    from dolphin_mp.logs.intake import Entry

_FIONREAD = 0x541B
_LEAST = 2048  # of a pipe's smallest size, two pages
LOOK_AGAIN_S = 0.25  # a process notes a drop after the write that failed, maybe after the pipe was emptied


class Source:
    """A pipe, what is known of it, and what may be taken of it.

    It is opened for reading alone: so the end of the file tells that no writer lives.

    Args:
        path: of the FIFO.
        process: whose it is.
        pipe: OUT or ERR.
        counts: the process' file.
        files: the folder that is written to.
        pace: how much may be taken.

    Attributes:
        fd; counts; allowance; intake; has_writers (as far as is known); look_again (when to, or None);
        is_removed (nobody can open it any more).
    """

    def __init__(
        self, path: str, process: str, pipe: str, counts: Counts, files: str, pace: Pace, now: float
    ) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        slots = counts.read(pipe)
        # A collector that was killed may have written more than it had noted.
        written = last_written(files, process, pipe) if slots else {}
        self.intake = Intake(process, pipe, slots, written)
        self.allowance = Allowance(pace, now)
        self.has_writers = True
        self.is_removed = False
        self.look_again: float | None = None
        self._is_settled = False  # nothing was dropped since the counts were looked at
        self._pipe = pipe
        self.counts = counts
        self._noted = self.intake.expected

    @property
    def due(self) -> float | None:
        """When to look again, or to release what is held."""
        moments = [moment for moment in (self.look_again, self.intake.deadline) if moment is not None]
        return min(moments, default=None)

    def take(self, most: int, now: float, over: int) -> list[Entry]:
        """Read so many bytes at most; gives what they complete."""
        was_full = self._is_full()
        self._is_settled = self._is_settled and not was_full
        # Read before the pipe is: all below these numbers is in it now, or never was.
        slots = self.counts.read(self._pipe) if not self._is_settled or self.look_again is not None else []
        try:
            data = os.read(self.fd, most)
        except BlockingIOError:
            data = b""
        else:
            self.has_writers = bool(data)
        self.allowance.take(len(data), now, over)
        time_ns = time.time_ns()
        found = self.intake.feed(data, time_ns, now, was_full=was_full) if data else []
        self.look_again = None
        if len(data) < most:
            found += self.intake.settle(slots, time_ns)
            self.look_again = None if self._is_settled else now + LOOK_AGAIN_S
            self._is_settled = True
        return found

    def note(self) -> None:
        """Tell the next collector that all that was given is written, or said to be lost."""
        expected = self.intake.expected
        if expected != self._noted:
            for epoch, seq in expected.items():
                if self._noted.get(epoch) != seq:
                    self.counts.expect(self._pipe, epoch, seq)
            self._noted = expected

    def is_at(self, path: str) -> bool:
        """Tell whether a path still leads to the pipe."""
        try:
            return os.path.samestat(os.stat(path), os.fstat(self.fd))  # noqa: PTH116
        except OSError:
            return False

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self.fd)

    def _is_full(self) -> bool:
        """Tell whether a writer may have found no room.

        The pipe's pages tell, and only at the writing end; half of its bytes fill them in the worst case.
        """
        filled = int.from_bytes(fcntl.ioctl(self.fd, _FIONREAD, bytes(4)), "little")
        if filled <= _LEAST:
            return False
        return filled > fcntl.fcntl(self.fd, fcntl.F_GETPIPE_SZ) // 2 - select.PIPE_BUF
