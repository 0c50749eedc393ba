"""How a process ended that is not one's own child, and the end of its group; by its pidfd.

Source: ioctl PIDFD_GET_INFO in linux/pidfd.h (kernel 6.15); pidfd_send_signal(2), PIDFD_SIGNAL_PROCESS_GROUP
(6.9); proc_pid_stat(5).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import struct

_INFO = struct.Struct("<QQ11Ii")  # mask, cgroup; pids and ids; the wait status
_GET_INFO = 3 << 30 | _INFO.size << 16 | 0xFF << 8 | 11
_EXIT = 1 << 3
_PROCESS_GROUP = 1 << 2


def is_dead(pidfd: int) -> bool:
    """Tell whether the process has ended, reaped or not."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def exit_code_of(pidfd: int, pid: int, start: int) -> int | None:
    """Give the exit code of a dead process, negative for a signal; None if nobody knows any more.

    Its own parent may reap it between two looks, so the kernel's record is asked before and after.
    """
    for look in (_recorded, lambda _: _of_zombie(pid, start), _recorded):
        status = look(pidfd)
        if status is not None:
            return os.waitstatus_to_exitcode(status)
    return None


def _recorded(pidfd: int) -> int | None:
    """Ask what the kernel keeps of one that was reaped."""
    answer = bytearray(_INFO.pack(_EXIT, *[0] * 13))
    try:
        fcntl.ioctl(pidfd, _GET_INFO, answer)
    except OSError:
        return None
    fields = _INFO.unpack(answer)
    return fields[-1] if fields[0] & _EXIT else None


def _of_zombie(pid: int, start: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    is_it = fields[0] == b"Z" and int(fields[19]) == start
    return int(fields[49]) if is_it else None


def kill_group(pidfd: int, pid: int) -> None:
    """Kill what is left of the group that a process leads; its number can't have come to mean another's."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL, None, _PROCESS_GROUP)
    except ProcessLookupError:
        return
    except OSError as error:
        if error.errno == errno.EINVAL:  # an older kernel
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
