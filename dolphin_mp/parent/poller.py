"""Sleeps until a descriptor has something to read, and calls what handles it."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Poller:
    """Descriptors and their handlers; see epoll(7)."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._removed: set[int] = set()  # since the last sleep: what it told of them is of no use

    def add(self, fd: int, handler: Callable[[], None]) -> None:
        """Call the handler whenever the descriptor has something to read, or its other end is gone."""
        self._handlers[fd] = handler
        self._epoll.register(fd, select.EPOLLIN)

    def want_room(self, fd: int, *, wanted: bool) -> None:
        """Call it also, or no longer, when the descriptor takes something to write."""
        self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def remove(self, fd: int) -> None:
        """Forget a descriptor, before it is closed."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)
            self._removed.add(fd)

    def poll(self, timeout_s: float | None) -> None:
        """Sleep until something happens, `timeout_s` at most, and have it handled."""
        events = self._epoll.poll(timeout_s)
        self._removed.clear()
        for fd, _ in events:
            handler = self._handlers.get(fd)
            if handler is not None and fd not in self._removed:
                handler()

    def close(self) -> None:
        """Let go of everything."""
        self._epoll.close()
