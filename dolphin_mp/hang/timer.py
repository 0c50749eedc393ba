"""A kernel timer that two processes share: the child puts it off, the parent sleeps on it.

Source: timerfd_create(2). On CLOCK_MONOTONIC, which stands still while the machine is suspended. The timer
repeats: the kernel counts how often it would have fired until it is read, so that a parent that comes late
sees how late; that costs nothing meanwhile, for a timer that has fired sleeps until it is read.
"""

from __future__ import annotations

import ctypes
import os
import struct
import time
from functools import cache

_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_CLOEXEC = os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1
_SECOND = 1_000_000_000
_SPECIFICATION = struct.Struct("@qqqq")  # itimerspec: interval and first expiry, as seconds and ns
_SYS_PIDFD_GETFD = 438  # the same on every architecture
REPEAT_NS = _SECOND


def create_timer() -> int:
    """Make a timer, not armed; gives its descriptor. Raises OSError."""
    return _checked(_libc().timerfd_create(time.CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC))


def arm(fd: int, due_ns: int) -> None:
    """Have it fire at a time of CLOCK_MONOTONIC, at once if that has passed, and each second from then on."""
    first = max(1, due_ns)  # zero would disarm it
    _set(fd, divmod(REPEAT_NS, _SECOND), divmod(first, _SECOND))


def disarm(fd: int) -> None:
    """Have it not fire, nor have fired."""
    _set(fd, (0, 0), (0, 0))


def fired(fd: int) -> int:
    """Give for how many seconds, rounded up, it has been due; 0 if it was put off meanwhile."""
    try:
        return int.from_bytes(os.read(fd, 8), "little")
    except BlockingIOError:
        return 0


def adopt(pidfd: int, pid: int, number: int) -> int | None:
    """Give a descriptor for another process' timer of that number; None if it is none, or may not be had."""
    try:
        with open(f"/proc/{pid}/fdinfo/{number}", "rb") as file:  # noqa: PTH123
            if b"\nclockid: 1\n" not in file.read():  # a component's code has closed it, and opened another
                return None
        return take_over(pidfd, number)
    except OSError:
        return None


def take_over(pidfd: int, number: int) -> int:
    """Give a descriptor of this process for another one's; raises OSError.

    A parent that adopts may do so: as root, or where the kernel's Yama lets a process trace its equals.
    """
    return _checked(_libc().syscall(_SYS_PIDFD_GETFD, pidfd, number, 0))


def _set(fd: int, interval: tuple[int, int], first: tuple[int, int]) -> None:
    specification = _SPECIFICATION.pack(*interval, *first)
    _checked(_libc().timerfd_settime(fd, _TFD_TIMER_ABSTIME, specification, None))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
