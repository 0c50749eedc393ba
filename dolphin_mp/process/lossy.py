"""Standard streams that never stop a component: what nobody takes is counted and dropped.

A terminal on hold, a pipe whose reader sleeps, a full disk: a print may lose its text there, but neither
waits nor raises.
"""

from __future__ import annotations

import io
import os
import select
import sys
from typing import Any

CHUNK = select.PIPE_BUF  # poll(2) calls a pipe writable when so much fits


class LossyStream(io.RawIOBase):
    """Writes to a descriptor what it takes at once.

    Attributes: lost: bytes dropped so far.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self.lost = 0

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """Give the descriptor."""
        return self._fd

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._fd)

    def write(self, data: Any, /) -> int:
        """Take everything; what can't be written now is lost."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), CHUNK):
            piece = view[start : start + CHUNK]
            try:
                written = os.write(self._fd, piece) if self._poll.poll(0) else 0
            except OSError:
                written = 0
            self.lost += len(piece) - written
        return len(view)


def take_streams() -> None:
    """Make stdout and stderr of this process lossy, line by line."""
    for name, fd in (("stdout", 1), ("stderr", 2)):
        raw = LossyStream(fd)
        stream = io.TextIOWrapper(
            io.BufferedWriter(raw, 1 << 16), encoding="utf-8", errors="backslashreplace", line_buffering=True
        )
        setattr(sys, name, stream)
