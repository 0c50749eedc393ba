"""The child's side: each pulse puts off the timer that its parent sleeps on."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from dolphin_mp.hang import timer
from dolphin_mp.hang.arming import Arming, Clock
from dolphin_mp.ipc import _core

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dolphin_mp.hang.arming import Member


class Lifeline:
    """A process' timer, armed anew by its pulse; a process that can't pulse any more lets it fire.

    Args:
        fd: the timer that the parent made; -1 for none.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._arming = Arming()

    def put_off(self, members: Iterable[Member]) -> None:
        """Say until when all is well; a component's code that closed the descriptor only loses the watch."""
        if self._fd < 0:
            return
        due_ns = self._arming.deadline(read_clock(), members)
        with contextlib.suppress(OSError):
            if due_ns is None:
                timer.disarm(self._fd)
            else:
                timer.arm(self._fd, due_ns)


def read_clock() -> Clock:
    """Give this instant on both clocks."""
    return Clock(time.monotonic_ns(), _core.boottime_ns())
