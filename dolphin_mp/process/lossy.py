"""Standard streams that never stop a component: what nobody takes is counted and dropped.

A terminal on hold, a pipe whose reader sleeps, a full disk: a print may lose its text there, but neither
raises nor waits for more than a twentieth of the time.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import socket
import stat
import sys
import time
from typing import Any

CHUNK = select.PIPE_BUF  # pipe(7): so much is written whole or not at all
PATIENCE_S = 0.05  # chosen: enough for a terminal to draw a traceback
PATIENCE_SHARE = 0.05


class LossyStream(io.RawIOBase):
    """Writes to a descriptor what it takes at once, or very soon.

    Attributes: lost: bytes dropped so far.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._own = _open_anew(fd)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._patience_s = PATIENCE_S
        self._asked_s = time.monotonic()
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
                written = self._send(piece) if self._has_room() else 0
            except OSError:
                written = 0
            self.lost += len(piece) - written
        return len(view)

    @property
    def own_fd(self) -> int:
        """The descriptor that it has opened, or was given where there is no need of another."""
        return self._own if isinstance(self._own, int) else self._own.fileno()

    def close(self) -> None:
        """Close what it has opened, not what it was given."""
        if not self.closed:
            super().close()
            if isinstance(self._own, socket.socket):
                self._own.close()
            elif self._own != self._fd:
                os.close(self._own)

    def _send(self, piece: memoryview) -> int:
        if isinstance(self._own, int):
            return os.write(self._own, piece)
        return self._own.send(piece, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def _has_room(self) -> bool:
        if self._poll.poll(0):
            return True
        began = time.monotonic()
        gained = (began - self._asked_s) * PATIENCE_SHARE
        self._patience_s = min(PATIENCE_S, self._patience_s + gained)
        milliseconds = int(self._patience_s * 1000)  # poll(2) counts whole ones, and Python would round up
        has_room = milliseconds > 0 and bool(self._poll.poll(milliseconds))
        self._asked_s = time.monotonic()
        self._patience_s = max(0.0, self._patience_s - (self._asked_s - began))
        return has_room


def _open_anew(fd: int) -> socket.socket | int:
    """Give what the same can be written to without ever waiting.

    Several processes write to one pipe: what was seen to have room may be full a moment later. Setting
    O_NONBLOCK would set it for all who share the open file, so it is opened anew.
    """
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        return socket.socket(fileno=os.dup(fd))
    if stat.S_ISFIFO(mode) or os.isatty(fd):
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        with contextlib.suppress(OSError):  # another user's, after a sudo
            return os.open(f"/proc/self/fd/{fd}", flags)
    return fd


def take_streams() -> None:
    """Make stdout and stderr of this process lossy, line by line."""
    for name, fd in (("stdout", 1), ("stderr", 2)):
        if isinstance(_raw(name), LossyStream):
            getattr(sys, name).close()
        stream = io.TextIOWrapper(
            io.BufferedWriter(LossyStream(fd), 1 << 16),
            encoding="utf-8",
            errors="backslashreplace",
            line_buffering=True,
        )
        setattr(sys, name, stream)


def own_descriptors() -> set[int]:
    """Give the descriptors that this process' lossy streams have opened."""
    return {raw.own_fd for name in ("stdout", "stderr") if isinstance(raw := _raw(name), LossyStream)}


def _raw(name: str) -> Any:
    return getattr(getattr(getattr(sys, name), "buffer", None), "raw", None)
