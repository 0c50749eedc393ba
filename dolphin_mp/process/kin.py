"""Which processes descend from a component, wherever they have gone: a mark that each of them inherits.

A descendant can leave its group and session, lose its parent, clean its environment and change its title. A
resource limit is inherited by fork(2), kept by execve(2) and readable by the same user. The limit taken has
had no effect since Linux 2.4.25, so that its soft value is free to say whose descendant a process is.
Source: getrlimit(2), RLIMIT_LOCKS.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import time
from typing import TYPE_CHECKING

from dolphin_mp.ipc import lock

if TYPE_CHECKING:
    from collections.abc import Collection

RLIMIT_LOCKS = 10  # which Python's resource module does not name
_LIMIT_S = 1.0  # chosen: SIGKILL takes effect at once but in D state, which nobody can wait for
_PID_BITS = 22  # proc_sys_kernel(5): pid_max is at most 2^22


def mark_self() -> None:
    """Mark this process, and all that it begets from now on, as its own kin; a hard limit may forbid it."""
    pid = os.getpid()
    _, hard = resource.getrlimit(RLIMIT_LOCKS)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(RLIMIT_LOCKS, (mark_for(pid, lock.start_time(pid)), hard))


def unmark_self() -> None:
    """Be nobody's kin, with all that this process begets from now on: a system outlives who launched it."""
    _, hard = resource.getrlimit(RLIMIT_LOCKS)
    with contextlib.suppress(OSError, ValueError):  # as much as the hard limit is no mark
        resource.setrlimit(RLIMIT_LOCKS, (hard, hard))


def mark_for(pid: int, start: int) -> int:
    """Give the mark of the process of that pid and start time: no other process ever has the same."""
    return start << _PID_BITS | pid


def mark_of(pid: int) -> int:
    """Give the mark of a process that has marked itself; 0 if it has not, or is gone."""
    try:
        mark, _ = resource.prlimit(pid, RLIMIT_LOCKS)
    except (OSError, ValueError):
        return 0
    return mark if mark > 0 and mark & (1 << _PID_BITS) - 1 == pid else 0


def kin_of(marks: Collection[int]) -> list[int]:
    """Give the pids of all processes with one of the marks, zombies included; 1 us a process there is."""
    marks = {mark for mark in marks if mark > 0}
    names = os.listdir("/proc") if marks else ()  # noqa: PTH208 - a tenth of the time
    return [int(name) for name in names if name.isdigit() and _bears(int(name), marks)]


def may_have_kin(mark: int, known: Collection[int]) -> bool:
    """Tell whether a dead child of this process may have left kin: the cheap look.

    Of what a child has left at least one is now this subreaper's own child: proc_pid_task(5), ``children``.

    Args:
        mark: the child's.
        known: pids of other children, not to be looked at.
    """
    try:
        fd = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return True
    try:
        text = b""
        while more := os.read(fd, 1 << 16):  # not a file object: that asks the kernel four things first
            text += more
    finally:
        os.close(fd)
    pids = [int(word) for word in text.split()]
    return any(_bears(pid, (mark,)) for pid in pids if pid not in known)


def _bears(pid: int, marks: Collection[int]) -> bool:
    try:
        return resource.prlimit(pid, RLIMIT_LOCKS)[0] in marks
    except (OSError, ValueError):  # gone meanwhile, or another user's
        return False


def kill_kin(marks: Collection[int]) -> dict[int, int]:
    """Kill all with those marks but this process; gives pidfd -> pid of those that do not die at once.

    The dead that are this process' children are reaped. What the killed have begotten meanwhile is found by
    another call when they are dead.
    """
    while True:
        dying: dict[int, int] = {}
        reaped = False
        for pid in kin_of(marks):
            if pid == os.getpid():
                continue
            try:
                pidfd = os.pidfd_open(pid)
            except OSError:
                continue
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            if _is_dead(pidfd, 0):
                reaped = bury(pidfd, pid) or reaped
            else:
                dying[pidfd] = pid
        if dying or not reaped:  # the dead may have begotten others that this look has missed
            return dying


def end_kin(marks: Collection[int]) -> None:
    """Kill all with those marks but this process, and wait, within a bound, until they are dead."""
    limit = time.monotonic() + _LIMIT_S
    while dying := kill_kin(marks):
        in_time = [_is_dead(pidfd, limit - time.monotonic()) for pidfd in dying]
        for pidfd, pid in dying.items():
            bury(pidfd, pid)
        if not all(in_time):
            return


def bury(pidfd: int, pid: int) -> bool:
    """Let go of a dead process, and reap it if it is this one's child; tells whether it was."""
    os.close(pidfd)
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False


def _is_dead(pidfd: int, limit_s: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(max(0.0, limit_s) * 1000))
