"""A process' pulse: each second a sample of CPU and memory, its limits kept, a sign that it can still run."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from setproctitle import setthreadtitle

from dolphin_mp.hang.arming import PULSE_NS
from dolphin_mp.process.limits import over_memory
from dolphin_mp.process.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolphin_mp.crashes.last_words import LastWords
    from dolphin_mp.hang.lifeline import Lifeline
    from dolphin_mp.process.runner import Runner
    from dolphin_mp.process.signals import Nudge

FIRST_SAMPLE_NS = 10_000_000  # chosen: a component's birth goes first
END_S = 1.0  # chosen: a pulse that is held up must not hold up the end


class Pulse:
    """A thread of its own; in between it passes signals on to the main thread, until the nudge ends.

    It rests until `begin`: to start a thread takes time that a process on its way has not. It looks by itself
    whether it may: to be woken it would want the interpreter just when the main thread is in a hurry.

    Args:
        runners: the process' components.
        last_words: where a process that ends itself says where it was.
        nudge: passes signals on; its end ends the pulse.
    """

    def __init__(self, runners: Sequence[Runner], last_words: LastWords, nudge: Nudge) -> None:
        self._runners = runners
        self._last_words = last_words
        self._nudge = nudge
        self._lifeline: Lifeline | None = None
        self._over = _thread.allocate_lock()
        self._over.acquire()
        # not threading.Thread, whose start() waits until the thread runs: somebody waits for this component
        _thread.start_new_thread(self._run_to_end, ())

    def begin(self, lifeline: Lifeline) -> None:
        """Beat from now on, and put the parent's timer off each time."""
        self._lifeline = lifeline

    def end(self) -> None:
        """Wait, within a bound, until it has ended; the nudge's end comes first."""
        self._over.acquire(timeout=END_S)

    def _run_to_end(self) -> None:
        try:
            setthreadtitle("pulse")
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # for the main thread alone
            pause_ns = FIRST_SAMPLE_NS
            while not self._nudge.wait_until(time.monotonic_ns() + pause_ns):
                if self._lifeline is not None:
                    self._run(self._lifeline)
                    return
                pause_ns = min(2 * pause_ns, PULSE_NS)
        finally:
            self._over.release()

    def _run(self, lifeline: Lifeline) -> None:
        sampler = Sampler()
        sample = 0.0, 0
        due = 0
        while True:
            with contextlib.suppress(OSError):  # a component's code has closed its descriptor
                sample = sampler.sample()
            for runner in self._runners:
                runner.sampled(*sample)
            self._end_if_over(sample[1])
            lifeline.put_off(runner.member() for runner in self._runners)
            due = max(due + PULSE_NS, time.monotonic_ns())
            if self._nudge.wait_until(due):
                return

    def _end_if_over(self, rss_bytes: int) -> None:
        """Kill this process if it takes more memory, or a step more time, than it may; it says so first."""
        excess = over_memory(self._runners[0].plan.resources.memory_max, rss_bytes)
        late = [(runner, overrun) for runner in self._runners if (overrun := runner.overrun())]
        if excess or late:
            self._last_words.write_stacks()
            for runner, reason in late or [(runner, excess) for runner in self._runners]:
                runner.condemn(reason)
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGKILL)
