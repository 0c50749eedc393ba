"""One thread a process that sleeps until another process dies.

A wait on a channel sleeps on words in memory; a death is told by a pidfd. This thread joins the two: it
sleeps in epoll and calls back. It exists once somebody waits for another process, and never wakes idly.
"""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING

from dolphin_mp.ipc import _core

if TYPE_CHECKING:
    from collections.abc import Callable


class DeathWatch:
    """Calls back, from its own thread, when a watched process is dead."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[], None]] = {}
        self.generation = _core.generation()
        threading.Thread(target=self._run, name="dolphin-mp-deaths", daemon=True).start()

    def add(self, pidfd: int, call: Callable[[], None]) -> None:
        """Call once when the process is dead; takes over the descriptor."""
        self._calls[pidfd] = call
        self._epoll.register(pidfd, select.EPOLLIN | select.EPOLLONESHOT)

    def remove(self, pidfd: int) -> None:
        """Forget a watched process and close its descriptor."""
        if self._calls.pop(pidfd, None) is not None:
            self._epoll.unregister(pidfd)
            os.close(pidfd)

    def _run(self) -> None:
        while True:
            for fd, _ in self._epoll.poll():
                call = self._calls.get(fd)
                if call is not None:
                    call()


_watch: DeathWatch | None = None
_lock = threading.Lock()


def death_watch() -> DeathWatch:
    """Give this process' watch, a new one after a fork."""
    global _watch
    with _lock:
        if _watch is None or _watch.generation != _core.generation():
            _watch = DeathWatch()
        return _watch
