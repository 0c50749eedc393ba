"""A zygote that stands still is found: stopped, or stuck with orders that it does not take.

Looked at only while a process that was asked for has not come. One that works, imports modules for instance,
uses time of a CPU and is left alone, however long that takes.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import termios
import time
from typing import TYPE_CHECKING

from dolphin_mp.hang import timer

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.parent.poller import Poller
    from dolphin_mp.parent.spawner import Spawner

STILL_NS = 5_000_000_000  # chosen: a fork takes a millisecond; well below `ready_within`


class ZygoteWatch:
    """Kills a zygote that stands still; what it was asked for fails then, and the next start brings another.

    Args:
        poller: tells when to look.
        spawner: has the zygote.
        is_awaited: tells whether a process that was asked for has not been heard of yet.
        hear: hears of those that have come meanwhile.
    """

    def __init__(
        self, poller: Poller, spawner: Spawner, is_awaited: Callable[[], bool], hear: Callable[[], None]
    ) -> None:
        self._poller = poller
        self._spawner = spawner
        self._is_awaited = is_awaited
        self._hear = hear
        self._seen: tuple[int, int] | None = None
        self._timer = timer.create_timer()
        poller.add(self._timer, self._look)

    def expect(self) -> None:
        """A process may have been asked for: look again in a while."""
        if self._seen is None and self._is_awaited():
            self._look_later()

    def settle(self) -> None:
        """One has come: nothing is to be looked at if it was the last."""
        if self._seen is not None and not self._is_awaited():
            self._seen = None
            timer.disarm(self._timer)

    def _look_later(self) -> None:
        self._seen = self._spawner.pid, _cpu_ticks(self._spawner.pid)
        timer.arm(self._timer, time.monotonic_ns() + STILL_NS)

    def _look(self) -> None:
        if not timer.fired(self._timer):
            return
        timer.disarm(self._timer)
        seen, self._seen = self._seen, None
        self._hear()
        if not self._is_awaited():
            return
        pid = self._spawner.pid
        # one that imports may wait for a disk, or for the process that tries the modules first
        is_deaf = not self._spawner.is_loading and _unread(self._spawner.fileno())
        if pid and seen == (pid, _cpu_ticks(pid)) and (_is_stopped(pid) or is_deaf):
            os.kill(pid, signal.SIGKILL)  # our own child, not reaped yet
        else:
            self._look_later()

    def close(self) -> None:
        """Look no more."""
        self._poller.remove(self._timer)
        os.close(self._timer)


def _stat(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _cpu_ticks(pid: int) -> int:
    words = _stat(pid)
    return int(words[11]) + int(words[12]) if words else 0  # proc_pid_stat(5), fields 14 and 15


def _is_stopped(pid: int) -> bool:
    return _stat(pid)[:1] in ([b"T"], [b"t"])


def _unread(fd: int) -> bool:
    """Whether orders were sent that the other end has not taken: unix(7), SIOCOUTQ."""
    try:
        waiting = fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):
        return False
    return bool(struct.unpack("i", waiting)[0])
