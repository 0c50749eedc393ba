"""One component alone, as its own service: no parent, the same board, channels and locks.

It makes its own outputs, or takes up what its predecessor left, and waits for its inputs to appear. Whoever
is the last user of the board at its end removes everything.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import shutil
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from setproctitle import setproctitle

from dolphin_mp.faults import suggest
from dolphin_mp.ipc import Board, ChannelError, ClaimedError, SegmentExistsError, SegmentMissingError
from dolphin_mp.ipc.board import ComponentPart, pack_component
from dolphin_mp.ipc.folder import FOLDER, segments
from dolphin_mp.ipc.segment import Segment, sweep
from dolphin_mp.parent.errors import LaunchError, RunningError
from dolphin_mp.parent.ground import make_segment
from dolphin_mp.paths import (
    FolderError,
    board_name,
    make_runtime_folder,
    runtime_folder,
    segment_name,
    segment_prefix,
)
from dolphin_mp.process.assignment import Assignment
from dolphin_mp.process.home import Home
from dolphin_mp.process.main import become
from dolphin_mp.system import find_system

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from dolphin_mp.plan import ComponentPlan, Plan

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_WAITS = "waits for the channels that it reads"
_IN_CREATE_OR_MOVED_TO = 0x100 | 0x80


class NoSuchComponentError(LaunchError):
    """The configuration has no component of that name."""


def run_alone(component: str, config: Path | None) -> int:
    """Run one component of a configuration in this process until it ends; gives its exit code.

    Raises ConfigurationError, NoSuchComponentError, RunningError (it lives already), LaunchError.
    """
    plan = find_system(config).plan()
    try:
        part = plan.component(component)
    except KeyError:
        names = [c.name for c in plan.components]
        raise NoSuchComponentError(
            f"no component {component!r} in {plan.name}{suggest(component, names, 'there are')}"
        ) from None
    outputs: list[Segment] = []
    with _signals_kept(signal.SIG_BLOCK):
        _end_on_signals()
        board = _share_board(plan)  # which stays, and with it the system, until the outputs are let go
        try:
            with contextlib.closing(Board.attach(board_name(plan.name))) as own:
                row = _take_row(own, plan, component)
                _own_outputs(plan, part, outputs)
                with _signals_kept(signal.SIG_UNBLOCK):
                    return _run(plan, part, own, row)
        except (ChannelError, FolderError) as error:
            raise LaunchError(str(error)) from None
        finally:
            for segment in outputs:
                segment.close(unlink=False)
            _leave(board, plan)


@contextlib.contextmanager
def _signals_kept(how: int) -> Iterator[None]:
    """Block the signals that end it, or let them come: none may interrupt what makes or removes segments."""
    before = signal.pthread_sigmask(how, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_on_signals() -> None:
    """Until the component handles them: tidy up and leave, as one that was asked to stop."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup(1)
            signal.signal(number, leave)


def _share_board(plan: Plan) -> Board:
    while True:
        try:
            board = Board.create(board_name(plan.name), plan.name)
        except SegmentMissingError:
            continue
        except ChannelError as error:
            raise LaunchError(str(error)) from None
        if board.share() and board.is_named:  # else its last user is about to remove it
            return board
        board.close()


def _take_row(board: Board, plan: Plan, component: str) -> int:
    """Be this component from now on, though it may wait yet: a launch is to see it. Raises RunningError."""
    folder = os.open(make_runtime_folder(plan.name), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # another may be adding its row at this moment
        row = board.add(component)
    finally:
        os.close(folder)
    try:
        board.take_row(row)
    except ClaimedError:
        raise RunningError(f"{component!r} is running already (pid {board.read(row).pid})") from None
    _say(board, row, "starting", _WAITS)
    return row


def _say(board: Board, row: int, phase: str, reason: str = "") -> None:
    board.component_cell(row).write(pack_component(ComponentPart(phase, 1, reason=reason)))


def _own_outputs(plan: Plan, part: ComponentPlan, made: list[Segment]) -> None:
    for output in part.outputs:
        with contextlib.suppress(SegmentExistsError):  # a parent lives and owns it
            made.append(make_segment(plan.name, output))


def _run(plan: Plan, part: ComponentPlan, board: Board, row: int) -> int:
    setproctitle(f"{part.name} [dolphin-mp {plan.name}]")
    try:
        _wait_for([segment_name(plan.name, item.channel) for item in part.inputs])
    except SystemExit:
        _say(board, row, "stopped")
        raise
    folder = runtime_folder(plan.name)
    board.doorbell(row).reset()
    assignment = Assignment(
        plan.name, part.name, 1, "run", 0, 0, {}, str(Path.cwd()), f"{folder}/notify", "", (part,)
    )
    return become(assignment, -1, Home.enter(assignment.home(), board))


def _wait_for(names: list[str]) -> None:
    """Wait until all segments are there, without polling: inotify(7)."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    libc.inotify_add_watch(watch, os.fsencode(FOLDER), _IN_CREATE_OR_MOVED_TO)
    # a signal that comes just before the wait ends it through this, then its handler leaves
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    before = signal.set_wakeup_fd(waker.fileno())
    try:
        while not all(Path(FOLDER, name).exists() for name in names):
            select.select([watch, woken], [], [])
            with contextlib.suppress(BlockingIOError):
                os.read(watch, 1 << 16)
    finally:
        signal.set_wakeup_fd(before)
        os.close(watch)
        woken.close()
        waker.close()


def _leave(board: Board, plan: Plan) -> None:
    """Let go of the board; its last user removes everything of the system.

    Asked again after its own use has ended: of two that leave at once neither is the last while both look.
    """
    if board.parent_alive:
        board.close()
    elif board.last_user():
        _remove(board, plan)
    else:
        board.close()
        with contextlib.suppress(ChannelError):
            again = Board.attach(board_name(plan.name))
            if not again.parent_alive and again.last_user():
                _remove(again, plan)
            again.close()


def _remove(board: Board, plan: Plan) -> None:
    board.close(unlink=True)
    for name in segments(segment_prefix(plan.name)):
        sweep(name)
    with contextlib.suppress(OSError):
        shutil.rmtree(runtime_folder(plan.name))
