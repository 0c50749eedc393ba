"""Signals, as a component's process hears them.

The kernel gives a signal to any thread that does not block it, a user's as well as ours, and to an arbitrary
one when the process was stopped as it came. Python handles it in the main thread, whose sleep does not end by
that. So the thread that takes it writes a byte into a pipe, for the pulse to wake the main thread.
Source: signal(7); `signal.set_wakeup_fd`.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import threading
import time
from typing import TYPE_CHECKING

from dolphin_mp.process.runner import TERMINATED, Terminated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from dolphin_mp.process.runner import Runner

NUDGE = signal.SIGURG  # chosen: ignored where nobody handles it, so that a late one harms nobody
FIRST_PAUSE_NS, LONGEST_PAUSE_NS = 10_000_000, 1_000_000_000  # chosen, between a nudge and the next
_END = b"\0"  # no signal's number


def catch_signals(runners: Sequence[Runner], *, alone: bool) -> None:
    """SIGTERM asks first; a second one leaves whatever the main thread is doing.

    So do a Ctrl-C and a hang-up where no parent handles them. A process that the component forks takes none
    of them for it.
    """

    def terminate(_number: int, _frame: FrameType | None) -> None:
        if all(runner.bell.rung for runner in runners):
            raise Terminated(TERMINATED)
        for runner in runners:
            runner.bell.ring()

    def be_another() -> None:
        with contextlib.suppress(ValueError):  # forked by a thread of another interpreter
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, NUDGE):
                handler = signal.getsignal(number)
                if handler is terminate or isinstance(getattr(handler, "__self__", None), Nudge):
                    signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGINT, terminate if alone else signal.SIG_IGN)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup(1)
        signal.signal(signal.SIGHUP, terminate if alone else signal.SIG_IGN)
    os.register_at_fork(after_in_child=be_another)


class Nudge:
    """Passes on to the main thread that there is a signal to handle; made by that thread.

    A nudge that comes when the main thread has just looked, and is about to sleep, does not end that sleep:
    it is given again until the main thread has handled one.
    """

    def __init__(self) -> None:
        self._main = threading.get_ident()
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._reading, select.POLLIN)
        self._is_heard = True
        self._again_ns = self._pause_ns = 0
        signal.signal(NUDGE, self._hear)
        self._before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        """End a system call of the main thread, which has handled by now what there was."""
        self._is_heard = True

    def wait_until(self, deadline_ns: int) -> bool:
        """Pass signals on until CLOCK_MONOTONIC reaches the deadline (False) or `end` was called (True)."""
        while True:
            next_ns = deadline_ns if self._is_heard else min(deadline_ns, self._again_ns)
            left_ms = math.ceil((next_ns - time.monotonic_ns()) / 1e6)
            if self._poll.poll(max(0, left_ms)):
                numbers = os.read(self._reading, 4096)
                if _END in numbers:
                    return True
                if set(numbers) - {NUDGE}:
                    self._pause_ns = FIRST_PAUSE_NS
                    self._give()
            elif time.monotonic_ns() >= deadline_ns:
                return False
            elif not self._is_heard:
                self._pause_ns = min(2 * self._pause_ns, LONGEST_PAUSE_NS)
                self._give()

    def _give(self) -> None:
        self._is_heard = False
        self._again_ns = time.monotonic_ns() + self._pause_ns
        signal.pthread_kill(self._main, NUDGE)

    def end(self) -> None:
        """Pass nothing on any more; called by the main thread."""
        signal.set_wakeup_fd(self._before)
        os.write(self._writing, _END)
