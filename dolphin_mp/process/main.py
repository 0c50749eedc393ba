"""A process becomes its components: one in the main thread, or several as threads that share its fate."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from setproctitle import setproctitle

from dolphin_mp.ipc import Board, _core
from dolphin_mp.ipc.watch import death_watch
from dolphin_mp.paths import board_name
from dolphin_mp.process.lossy import take_streams
from dolphin_mp.process.notify import Notifier
from dolphin_mp.process.runner import Runner, Terminated
from dolphin_mp.process.sampler import Sampler

if TYPE_CHECKING:
    from types import FrameType

    from dolphin_mp.process.assignment import Assignment

SAMPLE_NS = 1_000_000_000
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def become(assignment: Assignment) -> int:
    """Run the assignment's components to their end; gives the process' exit code."""
    setproctitle(f"{assignment.process} [dolphin-mp {assignment.system}]")
    take_streams()
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, stream=sys.stderr, force=True)
    board = Board.attach(board_name(assignment.system))
    board.share()
    notifier = Notifier(assignment.notify)
    runners = [
        Runner(member, assignment.system, assignment.incarnation, board, notifier)
        for member in assignment.members
    ]
    _on_terminate(runners)
    if assignment.orphan == "stop":
        _end_with(assignment.parent, runners)
    pulse = _start_pulse(runners)
    if len(runners) == 1:
        runners[0].run()
    else:
        _run_as_threads(runners)
    pulse.ring()
    board.close()
    return max(runner.exit_code for runner in runners)


def leave(code: int) -> None:
    """End a forked process: its own exit functions run, what it inherited is not torn down twice."""
    atexit._run_exitfuncs()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads any more
            continue
    os._exit(code)


def _on_terminate(runners: list[Runner]) -> None:
    """SIGTERM asks first; a second one leaves whatever the main thread is doing."""

    def terminate(_number: int, _frame: FrameType | None) -> None:
        if all(runner.bell.rung for runner in runners):
            raise Terminated(143)
        for runner in runners:
            runner.bell.ring()

    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the parent's; it stops us in order
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _end_with(parent: int, runners: list[Runner]) -> None:
    """Stop, as if asked, when the parent dies; at once if it is dead already."""

    def died() -> None:
        for runner in runners:
            runner.bell.ring()
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        pidfd = os.pidfd_open(parent)
    except ProcessLookupError:
        died()
        return
    if os.getppid() != parent:
        died()
    death_watch().add(pidfd, died)


def _start_pulse(runners: list[Runner]) -> _core.Doorbell:
    """Sample CPU and memory each second, from a thread of its own, until the bell given is rung."""
    bell = _core.Doorbell()

    def run() -> None:
        sampler = Sampler()
        due = time.monotonic_ns()
        while True:
            cpu_percent, rss_bytes = sampler.sample()
            for runner in runners:
                runner.sampled(cpu_percent, rss_bytes)
            due = max(due + SAMPLE_NS, time.monotonic_ns())
            if bell.wait_until(due):
                return

    threading.Thread(target=run, name="dolphin-mp-pulse", daemon=True).start()
    return bell


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
