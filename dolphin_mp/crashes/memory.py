"""How often the kernel has killed for want of memory: what makes a SIGKILL that nobody sent understood.

Source: memory.events of the own control group (cgroup v2), else oom_kill of /proc/vmstat: the machine's.
"""

from __future__ import annotations

import os


class OomWatch:
    """Counts from its making on."""

    def __init__(self) -> None:
        self._path = _find()
        self._known = _count(self._path)

    def since(self) -> int | None:
        """Give how many processes were killed since the last call; None where the kernel does not tell."""
        before, self._known = self._known, _count(self._path)
        return None if before is None or self._known is None else max(0, self._known - before)


def _find() -> str:
    for line in _read("/proc/self/cgroup").splitlines():
        if line.startswith("0::"):
            path = f"/sys/fs/cgroup{line[3:].rstrip('/')}/memory.events"
            if _count(path) is not None:
                return path
    return "/proc/vmstat"


def _count(path: str) -> int | None:
    for line in _read(path).splitlines():
        word, _, number = line.partition(" ")
        if word == "oom_kill" and number.isdecimal():
            return int(number)
    return None


def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, 1 << 16).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(fd)
