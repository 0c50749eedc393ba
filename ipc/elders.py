"""A board of another layout: nothing of it is understood but what no release changes.

That is the header's first 40 bytes, the number of rows in use at 64, the first 64 bytes of each row, and
which bytes are locks. It is enough to end who lives there, whatever version of dolphin-mp has started them.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from dolphin_mp.ipc import folder, lock
from dolphin_mp.ipc.board import LAYOUT, LOCK_PARENT, LOCK_ROWS, MAGIC
from dolphin_mp.ipc.errors import ChannelError

_HEADER = struct.Struct("<8sIIQQII")  # magic, layout, header size, size, instance, rows, row size
_USED, _PARENT = 64, 128
_HEAD = struct.Struct("<IIQ48s")
_MOST_ROWS = 1 << 20


class Elder(NamedTuple):
    """A component that lives: its name, pid, process group and start time."""

    name: str
    pid: int
    group: int
    start: int


class ElderBoard:
    """A handle of a board of another layout, whose parent's lock is tried at once.

    Attributes: name; has_parent (a parent lives); parent_pid (of the last one, as far as that can be told).
    """

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self._fd = fd
        self.has_parent = not lock.try_lock(fd, LOCK_PARENT)
        self.parent_pid = int.from_bytes(os.pread(fd, 8, _PARENT), "little")

    @classmethod
    def attach(cls, name: str) -> ElderBoard | None:
        """Open the board of that name; None if there is none, or none of another layout."""
        try:
            fd = folder.open_checked(name)
        except ChannelError:
            return None
        header = _HEADER.unpack(os.pread(fd, _HEADER.size, 0).ljust(_HEADER.size, b"\0"))
        if header[0] == MAGIC and header[1] != LAYOUT:
            return cls(name, fd)
        folder.shut(fd)
        return None

    def living(self) -> list[Elder]:
        """Give the components whose locks are held, in the order of the rows."""
        _, _, first, size, _, rows, row_size = _HEADER.unpack(os.pread(self._fd, _HEADER.size, 0))
        used = int.from_bytes(os.pread(self._fd, 4, _USED), "little")
        found = []
        for index in range(min(used, rows, _MOST_ROWS)):
            at = first + index * row_size
            if at + _HEAD.size <= size and lock.is_locked(self._fd, LOCK_ROWS + index):
                pid, group, start, text = _HEAD.unpack(os.pread(self._fd, _HEAD.size, at))
                found.append(Elder(text.rstrip(b"\0").decode(errors="replace"), pid, group, start))
        return found

    def close(self, *, unlink: bool = False) -> None:
        """Let go of the board, and of the parent's lock."""
        if unlink:
            folder.remove_name(self.name, self._fd)
        folder.shut(self._fd)
