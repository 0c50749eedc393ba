"""Kernel locks on byte ranges: who may write, who is alive.

An open-file-description lock belongs to an open file, not to a process: it ends when the last descriptor of
that open file is closed, thus with its process and not before, and two handles of one process exclude each
other as well. Source: fcntl(2), "Open file description locks".
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from functools import lru_cache

from dolphin_mp.ipc import _core

_FLOCK = struct.Struct("hhxxxxqqixxxx")


def try_lock(fd: int, byte: int, *, shared: bool = False) -> bool:
    """Take the lock on one byte if no other open file holds it; tells whether it was taken."""
    return _set(fd, fcntl.F_RDLCK if shared else fcntl.F_WRLCK, byte)


def wait_lock(fd: int, byte: int) -> None:
    """Take the lock on one byte, waiting while another open file holds it."""
    fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))


def unlock(fd: int, byte: int) -> None:
    """Let go of the lock on one byte."""
    _set(fd, fcntl.F_UNLCK, byte)


def is_locked(fd: int, byte: int) -> bool:
    """Tell whether another open file holds a lock on that byte."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _set(fd: int, kind: int, byte: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0))
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        raise
    return True


def start_time(pid: int) -> int:
    """Give a process' start in clock ticks since boot (proc_pid_stat(5), field 22); 0 if there is none."""
    try:
        stat = _read(f"/proc/{pid}/stat")
    except OSError:
        return 0
    return int(stat.rpartition(b")")[2].split()[19])


def own_start_time() -> int:
    """Give the start of this process, which is asked for once: to read it costs as much as a claim."""
    return _start_time(_core.generation())


@lru_cache(1)
def _start_time(_generation: int) -> int:
    return start_time(os.getpid())


def describe_process(pid: int) -> str:
    """Say who a pid is, for an error's one line."""
    try:
        title = _read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return f"pid {pid}"
    return f"pid {pid} ({title[:60]})" if title else f"pid {pid}"


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs a short command 4 ms
        return file.read()
