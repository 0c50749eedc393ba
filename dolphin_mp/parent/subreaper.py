"""What components' processes leave behind becomes their parent's own child, to be reaped or ended.

Source: prctl(2), PR_SET_CHILD_SUBREAPER.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal

from dolphin_mp.parent.errors import LaunchError

_PR_SET_CHILD_SUBREAPER = 36
_LIMIT_MS = 1000  # chosen: SIGKILL takes effect at once but in D state, which nobody can wait for


def become_subreaper() -> None:
    """Have orphaned descendants become this process' children."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise LaunchError(f"the kernel refuses PR_SET_CHILD_SUBREAPER: {os.strerror(ctypes.get_errno())}")


def children_of(pid: int) -> set[int]:
    """Give the pids of a process' children."""
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry.name}/stat", "rb") as file:  # noqa: PTH123
                if int(file.read().rpartition(b")")[2].split()[1]) == pid:  # proc_pid_stat(5), field 4
                    found.add(int(entry.name))
    return found


def end_children(spared: set[int]) -> None:
    """Kill and reap what components' processes have left: children of other sessions than this one.

    Those that they leave in turn as well. `spared` are let be.
    """
    own = os.getsid(0)
    while True:
        left = [pid for pid in children_of(os.getpid()) - spared if _session(pid) != own]
        if not left:
            return
        for pid in left:
            _end(pid)
        spared = spared | {pid for pid in left if _session(pid)}


def end_group(pid: int) -> int:
    """Kill and reap a child that leads a process group, and all of that; gives its exit code."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def _end(pid: int) -> None:
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            if poll.poll(_LIMIT_MS):
                os.waitpid(pid, os.WNOHANG)
        finally:
            os.close(pidfd)
