"""Who holds a kernel lock: asked of /proc, where neither a pid in the file nor the kernel's answer tells.

An open-file-description lock belongs to no process; but proc_pid_fdinfo(5) lists it with each descriptor of
its open file. Costly: for the rare case that a lock's holder has not said who it is.
"""

from __future__ import annotations

import contextlib
import os

from dolphin_mp.ipc.folder import FOLDER


def holder_of(name: str, byte: int) -> int:
    """Give the pid of another process that holds the lock on one byte of a shared file; 0 if none is seen."""
    wanted = os.stat(f"{FOLDER}/{name}")  # noqa: PTH116
    for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        with contextlib.suppress(OSError):
            if int(pid) != os.getpid() and any(_locks(pid, fd, byte) for fd in _descriptors(pid, wanted)):
                return int(pid)
    return 0


def _descriptors(pid: str, wanted: os.stat_result) -> list[str]:
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError):  # its own name may be another: it was born without one
            if os.path.samestat(os.stat(f"/proc/{pid}/fd/{fd}"), wanted):  # noqa: PTH116
                found.append(fd)
    return found


def _locks(pid: str, fd: str, byte: int) -> bool:
    """Look for a line such as ``lock: 1: OFDLCK ADVISORY  WRITE -1 00:1a:2817 16 16``."""
    with open(f"/proc/{pid}/fdinfo/{fd}", "rb") as file:  # noqa: PTH123
        for line in file:
            words = line.split()
            if words[:1] == [b"lock:"] and words[2] == b"OFDLCK" and words[4] == b"WRITE":
                end = 1 << 62 if words[8] == b"EOF" else int(words[8])
                if int(words[7]) <= byte <= end:
                    return True
    return False
