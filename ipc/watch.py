"""One thread a process that sleeps until another process dies.

A wait on a channel sleeps on words in memory; a death is told by a pidfd. This thread joins the two: it
sleeps in epoll and calls back. It exists once somebody waits for another process, and never wakes idly.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import threading
from typing import TYPE_CHECKING

from dolphin_mp.ipc import lock

if TYPE_CHECKING:
    from collections.abc import Callable


class DeathWatch:
    """Calls back, from its own thread, when a watched process is dead."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[], None]] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._run, name="dolphin-mp-deaths", daemon=True).start()

    def add(self, pidfd: int, call: Callable[[], None]) -> None:
        """Call once when the process is dead; takes over the descriptor."""
        with self._lock:
            self._calls[pidfd] = call
            self._epoll.register(pidfd, select.EPOLLIN | select.EPOLLONESHOT)

    def remove(self, pidfd: int) -> None:
        """Forget a watched process and close its descriptor."""
        with self._lock:
            if self._calls.pop(pidfd, None) is not None:
                self._epoll.unregister(pidfd)
                os.close(pidfd)

    def _run(self) -> None:
        # a signal taken here would not end the main thread's waiting
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        while True:
            for pidfd, _ in self._epoll.poll():
                call = self._due(pidfd)
                if call is not None:
                    call()

    def _due(self, pidfd: int) -> Callable[[], None] | None:
        """Give what to call; None for an event of a descriptor that was removed and its number used again."""
        with self._lock:
            call = self._calls.get(pidfd)
            return call if call is not None and is_dead(pidfd) else None


def open_process(pid: int, start: int) -> int | None:
    """Give a pidfd of the process of that pid and start time; None if it is dead.

    Its number may be another process by now, a thread (EINVAL, since Linux 6.15 ENOENT), or no pid at all.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except OverflowError:
        return None
    except OSError as error:
        if error.errno in {errno.ESRCH, errno.EINVAL, errno.ENOENT}:
            return None
        raise
    if lock.start_time(pid) == start:  # asked after the pidfd is open: both are of one process
        return pidfd
    os.close(pidfd)
    return None


def is_dead(pidfd: int) -> bool:
    """Tell whether a pidfd's process is dead."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


_watch: DeathWatch | None = None
_lock = threading.Lock()


def death_watch() -> DeathWatch:
    """Give this process' watch, a new one after a fork."""
    global _watch
    with _lock:
        if _watch is None:
            _watch = DeathWatch()
        return _watch


def _begin_anew() -> None:
    global _watch, _lock
    _watch, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)
