"""What a process and the collector note for each other, in a small file beside the process' pipes.

    pipe (2) x slot (8, epoch modulo 8) x 32 bytes:
      offset 0   u64  epoch        by the process when it opens the pipe
      offset 8   u64  pid          likewise
      offset 16  u64  upto         by the process: all its records below that number were sent or dropped
      offset 24  u64  expected     by the collector: all below that number are written or told as missing

So what was dropped is told even of a process that was killed before its pipe had room again, and what a
killed collector had taken and not yet written is told by the next one. Plain reads and writes of the file, no
mapping: a full tmpfs is an error then, not a SIGBUS.
"""

from __future__ import annotations

import contextlib
import os
import struct
from typing import NamedTuple

from dolphin_mp.logs.record import ERR, OUT

_SLOT = struct.Struct("QQQQ")
_WORD = struct.Struct("Q")
SLOTS = 8
_SECTION = SLOTS * _SLOT.size
SIZE = 2 * _SECTION
_SECTION_OF = {OUT: 0, ERR: _SECTION}


class Slot(NamedTuple):
    """One epoch's words."""

    epoch: int
    pid: int
    upto: int
    expected: int


class Counts:
    """A process' file; where there is no room for one, nothing is noted.

    Args:
        path: of the file; made if it is not there.
    """

    def __init__(self, path: str) -> None:
        self._fd = -1
        with contextlib.suppress(OSError):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            os.posix_fallocate(self._fd, 0, SIZE)

    def begin(self, pipe: str, epoch: int) -> None:
        """Take the slot of a new epoch."""
        self._write(pipe, epoch, 0, _SLOT.pack(epoch, os.getpid(), 0, 0))

    def dropped(self, pipe: str, epoch: int, upto: int) -> None:
        """Note that the record before `upto` was dropped."""
        self._write(pipe, epoch, 16, _WORD.pack(upto))

    def expect(self, pipe: str, epoch: int, expected: int) -> None:
        """Note how far the collector has come."""
        self._write(pipe, epoch, 24, _WORD.pack(expected))

    def read(self, pipe: str) -> list[Slot]:
        """Give a pipe's slots in use, the oldest epoch first."""
        data = b""
        with contextlib.suppress(OSError):
            data = os.pread(self._fd, _SECTION, _SECTION_OF[pipe])
        slots = [Slot(*words) for words in _SLOT.iter_unpack(data)] if len(data) == _SECTION else []
        return sorted(slot for slot in slots if slot.epoch)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, pipe: str, epoch: int, offset: int, data: bytes) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.pwrite(self._fd, data, _SECTION_OF[pipe] + epoch % SLOTS * _SLOT.size + offset)
