"""A process becomes its components: one in the main thread, or several as threads that share its fate."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import itertools
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING

from setproctitle import setproctitle

from dolphin_mp.crashes.last_words import LastWords
from dolphin_mp.hang.lifeline import Lifeline
from dolphin_mp.ipc import _core
from dolphin_mp.logs import stream
from dolphin_mp.process import lossy
from dolphin_mp.process.limits import LimitError, take_on
from dolphin_mp.process.orphan import Tie
from dolphin_mp.process.pulse import Pulse
from dolphin_mp.process.runner import TRY_AGAIN, Runner
from dolphin_mp.process.signals import Nudge, catch_signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.process.assignment import Assignment
    from dolphin_mp.process.home import Home

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def become(
    assignment: Assignment,
    timer: int,
    home: Home,
    go: Callable[[], int] | None = None,
) -> int:
    """Run the assignment's components to their end; gives the process' exit code.

    Args:
        assignment: what to be.
        timer: the descriptor of the timer that the parent sleeps on; -1 without a parent.
        home: where its system is.
        go: for one that may or may not be needed: waits until it is, and gives the timer then; raises
            SystemExit if it is not. What is done before it leaves no trace outside this process.
    """
    voice = _open_voice(assignment, home.voice)
    last_words = LastWords(os.path.dirname(assignment.notify), assignment.process, assignment.incarnation)  # noqa: PTH120
    board = home.board
    ended = _core.Doorbell()
    tie = pulse = nudge = None
    try:
        runners = _runners(assignment, home, last_words)
        nudge = Nudge()
        pulse = Pulse(runners, last_words, nudge)
        if go is not None:
            timer = go()
        _appear(assignment, runners, voice, last_words)
        board.share()
        for runner in runners:
            runner.timer = timer
        if not _take_on(runners):
            return TRY_AGAIN
        if assignment.orphan == "stop":
            tie = _tie(assignment, runners, ended)
        pulse.begin(Lifeline(timer))
        if len(runners) == 1:
            runners[0].run()
        else:
            _run_as_threads(runners)
    finally:
        ended.ring()
        if nudge is not None:
            nudge.end()
        if pulse is not None:
            pulse.end()
        board.close()
        if tie is not None:
            tie.end_group()
    code = max(runner.exit_code for runner in runners)
    if assignment.parent == 0 and code == 0:
        last_words.withdraw()
    return code


def _appear(
    assignment: Assignment, runners: list[Runner], voice: stream.Voice | None, last_words: LastWords
) -> None:
    """Be seen, heard and reached from now on."""
    setproctitle(f"{assignment.process} [dolphin-mp {assignment.system}]")
    catch_signals(runners, alone=assignment.parent == 0)
    if voice is not None:
        voice.begin()
    last_words.open()
    last_words.listen()


def _runners(assignment: Assignment, home: Home, last_words: LastWords) -> list[Runner]:
    runners = [
        Runner(
            member,
            assignment.system,
            assignment.incarnation,
            home.board,
            home.notifier,
            last_words,
            assignment.launched_ns,
            row,
        )
        for member, row in zip(assignment.members, assignment.rows or itertools.repeat(-1), strict=False)
    ]
    for runner in runners:
        runner.prepare()
    return runners


def _open_voice(assignment: Assignment, voice: stream.Voice) -> stream.Voice | None:
    """Have what is said become records; where nobody collects, keep the streams from waiting."""
    names = [member.name for member in assignment.members]
    faulthandler.enable()  # its report goes to descriptor 2, whatever that is then
    if assignment.logs:
        with contextlib.suppress(OSError):
            voice.open(assignment.logs, assignment.process, assignment.incarnation, names)
            voice.take_descriptors()
            return voice
    lossy.take_streams()
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, stream=sys.stderr, force=True)
    return None


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
