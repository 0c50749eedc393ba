"""What /proc says of processes; and reaping what an ended parent left to this process."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36


class Process(NamedTuple):
    """One process: its parent, state and title."""

    pid: int
    ppid: int
    state: str
    session: int
    title: str


def become_subreaper() -> None:
    """Have whatever loses its parent become this process' child, as it would become init's."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def look(pid: int) -> Process | None:
    """Give a process, or None."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        title = (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        )
        return Process(pid, int(words[1]), words[0], int(words[3]), title)
    return None


def descendants(root: int) -> dict[int, Process]:
    """Give all that a process has begotten, itself left out."""
    known = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (found := look(int(entry.name))) is not None:
            known[found.pid] = found
    children: dict[int, list[int]] = {}
    for found in known.values():
        children.setdefault(found.ppid, []).append(found.pid)
    result, todo = {}, [root]
    while todo:
        for pid in children.get(todo.pop(), []):
            result[pid] = known[pid]
            todo.append(pid)
    return result


def children_of(pid: int) -> list[int]:
    """Give the pids of a process' children, quickly."""
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def load_of(pid: int) -> dict[str, int]:
    """Give how many descriptors and threads a process has, and its memory in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    words = {
        line.split(":")[0]: line.split()[1]
        for line in status.splitlines()
        if ":" in line and len(line.split()) > 1
    }
    return {
        "descriptors": sum(1 for _ in os.scandir(f"/proc/{pid}/fd")),
        "threads": int(words["Threads"]),
        "rss_kib": int(words["VmRSS"]),
    }


def cpu_s(pid: int) -> float:
    """Give how long a process has had a CPU."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def reap(spared: set[int]) -> None:
    """Reap dead children that nobody else waits for."""
    own = os.getpid()
    for pid in children_of(own):
        if pid not in spared and (found := look(pid)) is not None and found.state == "Z":
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
