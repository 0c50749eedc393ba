"""The component's end of a pipe: takes each record whole or drops and counts it, and never waits.

A FIFO that its writer has opened for reading too works with nobody at the other end: no SIGPIPE, no ENXIO,
and what fits rests in it (fifo(7)).
"""

from __future__ import annotations

import fcntl
import os
import threading
from typing import TYPE_CHECKING

from dolphin_mp.logs.framing import GREETING, frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.logs.counts import Counts

FOLDER = "logs"  # in a system's runtime folder
COUNTS = "counts"
LOCK = "collector"  # the file that the one collector of a folder has locked


def open_pipe(path: str) -> int:
    """Open a FIFO for both ends, without waiting; makes it if it is not there."""
    flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        os.mkfifo(path, 0o600)
        return os.open(path, flags)


class LogPipe:
    """One pipe of this process.

    Args:
        path: of the FIFO.
        pipe: OUT or ERR.
        epoch: the process' incarnation.
        counts: where what is dropped is noted.

    Attributes: fd; capacity (bytes); dropped (records, by this process).
    """

    def __init__(self, path: str, pipe: str, epoch: int, counts: Counts) -> None:
        self.fd = open_pipe(path)
        self.capacity = fcntl.fcntl(self.fd, fcntl.F_GETPIPE_SZ)
        self.dropped = 0
        self._pipe, self._epoch = pipe, epoch
        self._counts: Counts | None = counts
        self._writer = str(epoch)
        self._seq = 0
        # Reentrant, for a signal handler may speak while its thread does; held over calls that don't wait.
        self._lock = threading.RLock()

    def greet(self, body: bytes) -> None:
        """Say who speaks from now on."""
        if self._counts is not None:
            self._counts.begin(self._pipe, self._epoch)
        self._write(GREETING, body)

    def send(self, encode: Callable[[int], bytes]) -> bool:
        """Send the record that `encode` gives for its number; tells whether it went."""
        with self._lock:
            seq = self._seq
            self._seq = seq + 1
            if self._write(seq, encode(seq)):
                return True
            self.dropped += 1
            if self._counts is not None:
                self._counts.dropped(self._pipe, self._epoch, seq + 1)
            return False

    def forked(self) -> None:
        """Go on in a forked child as a writer of its own; the file of counts is its parent's."""
        self._lock = threading.RLock()
        self._writer = f"{self._epoch}-{os.getpid()}"
        self._seq = self.dropped = 0
        self._counts = None

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self.fd)
        if self._counts is not None:
            self._counts.close()
            self._counts = None

    def _write(self, seq: int, body: bytes) -> bool:
        try:
            for frame in frames(self._writer, seq, body):
                os.write(self.fd, frame)
        except OSError:  # it is full
            return False
        return True
