"""A process becomes its components: one in the main thread, or several as threads that share its fate."""

from __future__ import annotations

import _thread
import atexit
import contextlib
import faulthandler
import itertools
import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from setproctitle import setproctitle

from dolphin_mp.crashes.last_words import LastWords
from dolphin_mp.hang.arming import PULSE_NS
from dolphin_mp.hang.lifeline import Lifeline
from dolphin_mp.ipc import Board, _core
from dolphin_mp.logs import stream
from dolphin_mp.paths import board_name
from dolphin_mp.process import lossy
from dolphin_mp.process.limits import LimitError, over_memory, take_on
from dolphin_mp.process.notify import Notifier
from dolphin_mp.process.orphan import Tie
from dolphin_mp.process.runner import TRY_AGAIN, Runner
from dolphin_mp.process.sampler import Sampler
from dolphin_mp.process.signals import Nudge, catch_signals

if TYPE_CHECKING:
    from dolphin_mp.process.assignment import Assignment

FIRST_SAMPLE_NS = 10_000_000  # chosen: a component's birth goes first
PULSE_END_S = 1.0  # chosen: a pulse that is held up must not hold up the end
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def become(assignment: Assignment, timer: int = -1, board: Board | None = None) -> int:
    """Run the assignment's components to their end; gives the process' exit code.

    Args:
        assignment: what to be.
        timer: the descriptor of the timer that the parent sleeps on; -1 without a parent.
        board: what to be on; its system's when None.
    """
    setproctitle(f"{assignment.process} [dolphin-mp {assignment.system}]")
    _take_streams(assignment)
    last_words = LastWords(os.path.dirname(assignment.notify), assignment.process, assignment.incarnation)  # noqa: PTH120
    last_words.listen()
    board = board or Board.attach(board_name(assignment.system))
    ended = _core.Doorbell()
    tie = pulse = nudge = None
    try:
        board.share()
        notifier = Notifier(assignment.notify)
        rows = assignment.rows or itertools.repeat(-1)
        runners = [
            Runner(
                member,
                assignment.system,
                assignment.incarnation,
                board,
                notifier,
                last_words,
                assignment.launched_ns,
                row,
            )
            for member, row in zip(assignment.members, rows, strict=False)
        ]
        for runner in runners:
            runner.timer = timer
        catch_signals(runners, alone=assignment.parent == 0)
        if not _take_on(runners):
            return TRY_AGAIN
        nudge = Nudge()
        if assignment.orphan == "stop":
            tie = _tie(assignment, runners, ended)
        pulse = _start_pulse(runners, Lifeline(timer), last_words, nudge)
        if len(runners) == 1:
            runners[0].run()
        else:
            _run_as_threads(runners)
    finally:
        ended.ring()
        if nudge is not None:
            nudge.end()
        if pulse is not None:
            pulse.acquire(timeout=PULSE_END_S)
        board.close()
        if tie is not None:
            tie.end_group()
    code = max(runner.exit_code for runner in runners)
    if assignment.parent == 0 and code == 0:
        last_words.withdraw()
    return code


def _take_streams(assignment: Assignment) -> None:
    """Have what this process says become records; where nobody collects, keep its streams from waiting."""
    names = [member.name for member in assignment.members]
    if assignment.logs:
        faulthandler.enable()  # its report goes to descriptor 2, whatever that is then
        if stream.take_streams(assignment.logs, assignment.process, assignment.incarnation, names):
            return
    lossy.take_streams()
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, stream=sys.stderr, force=True)


def _take_on(runners: list[Runner]) -> bool:
    """Take on the process' surroundings, the same in each member's plan; if that fails each says why."""
    try:
        take_on(runners[0].plan.resources)
    except LimitError as error:
        for runner in runners:
            runner.refuse(str(error))
        return False
    return True


def _tie(assignment: Assignment, runners: list[Runner], ended: _core.Doorbell) -> Tie:
    stop_within_s = max(member.stop_within_s for member in assignment.members)
    return Tie(assignment.parent, [runner.bell for runner in runners], stop_within_s, ended)


def leave(code: int) -> None:
    """End a forked process: its own exit functions run, what it inherited is not torn down twice."""
    atexit._run_exitfuncs()
    logging.shutdown()
    stream.finish_streams()
    for output in (sys.stdout, sys.stderr):
        try:
            output.flush()
        except (OSError, ValueError):  # nobody reads any more
            continue
    os._exit(code)


def _start_pulse(
    runners: list[Runner], lifeline: Lifeline, last_words: LastWords, nudge: Nudge
) -> _thread.LockType:
    """Each second, from a thread of its own, sample CPU and memory and show that the process can still run.

    In between it passes signals on to the main thread, until the nudge ends; gives a lock that is free when
    the thread is about to end.
    """
    busy = _thread.allocate_lock()
    busy.acquire()

    def run() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # for the main thread alone
        due = time.monotonic_ns() + FIRST_SAMPLE_NS
        if nudge.wait_until(due):
            return
        sampler = Sampler()
        sample = 0.0, 0
        while True:
            with contextlib.suppress(OSError):  # a component's code has closed its descriptor
                sample = sampler.sample()
            for runner in runners:
                runner.sampled(*sample)
            _end_if_over(runners, sample[1], last_words)
            lifeline.put_off(runner.member() for runner in runners)
            due = max(due + PULSE_NS, time.monotonic_ns())
            if nudge.wait_until(due):
                return

    def run_to_end() -> None:
        try:
            run()
        finally:
            busy.release()

    # not threading.Thread, whose start() waits until the thread runs: somebody waits for this component
    _thread.start_new_thread(run_to_end, ())
    return busy


def _end_if_over(runners: list[Runner], rss_bytes: int, last_words: LastWords) -> None:
    """Kill this process if it takes more memory, or a step of it more time, than it may; it says so first."""
    excess = over_memory(runners[0].plan.resources.memory_max, rss_bytes)
    late = [(runner, overrun) for runner in runners if (overrun := runner.overrun())]
    if excess or late:
        last_words.write_stacks()
        for runner, reason in late or [(runner, excess) for runner in runners]:
            runner.condemn(reason)
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def _run_as_threads(runners: list[Runner]) -> None:
    """Run each in a thread; the first that fails has the others asked to stop."""
    ended = threading.Condition()
    alive = len(runners)

    def run(runner: Runner) -> None:
        nonlocal alive
        runner.run()
        if runner.exit_code:
            for other in runners:
                other.bell.ring()
        with ended:
            alive -= 1
            ended.notify_all()

    for runner in runners:
        threading.Thread(target=run, args=(runner,), name=runner.plan.name, daemon=True).start()
    with ended:
        while alive:
            ended.wait()
