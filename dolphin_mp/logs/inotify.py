"""Being told of changes in a folder; see inotify(7)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from typing import NamedTuple

MODIFY, OPEN, MOVED_TO, CREATE, DELETE = 0x2, 0x20, 0x80, 0x100, 0x200
OVERFLOW = 0x4000  # IN_Q_OVERFLOW: changes were missed
_HEAD = struct.Struct("iIII")


class Change(NamedTuple):
    """What happened, and to which name in the folder."""

    mask: int
    name: str


class Watch:
    """Watches one folder; `fileno` is readable when something happened.

    Args:
        folder: which must be there.
        mask: what to be told of.
    """

    def __init__(self, folder: str, mask: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0 or libc.inotify_add_watch(self._fd, os.fsencode(folder), mask) < 0:
            number = ctypes.get_errno()
            self.close()
            raise OSError(number, os.strerror(number), folder)

    def fileno(self) -> int:
        """Give the descriptor to poll."""
        return self._fd

    def changes(self) -> list[Change]:
        """Give what happened since the last call."""
        found = []
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._fd, 1 << 16)
            at = 0
            while at < len(data):
                _, mask, _, length = _HEAD.unpack_from(data, at)
                at += _HEAD.size
                found.append(Change(mask, os.fsdecode(data[at : at + length].rstrip(b"\0"))))
                at += length
        return found

    def close(self) -> None:
        """Stop watching."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
