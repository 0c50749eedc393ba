"""What a system stands on: its runtime folder, its board, its channels' segments; made, taken up, removed."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from dolphin_mp.ipc import Board, ChannelError, SegmentExistsError, SegmentMissingError
from dolphin_mp.ipc.folder import segments
from dolphin_mp.ipc.segment import Segment, new_header, sweep
from dolphin_mp.parent.clearing import end_elders, end_unfit
from dolphin_mp.parent.errors import LaunchError, RunningError
from dolphin_mp.parent.estate import rows_of
from dolphin_mp.parent.plan_file import remember
from dolphin_mp.paths import (
    FolderError,
    board_name,
    make_runtime_folder,
    runtime_folder,
    segment_name,
    segment_prefix,
)

if TYPE_CHECKING:
    from dolphin_mp.plan import OutputPlan, Plan


class Ground:
    """A system's folder, board and segments, owned by its parent.

    Attributes: folder; board (its parent's lock held); is_inherited (components of an earlier parent live).
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._segments: list[Segment] = []
        self.board, self.is_inherited = _take_board(plan)
        try:
            self.folder = make_runtime_folder(plan.name)
            for component in plan.components:
                self.board.add(component.name)
                self._segments += [make_segment(plan.name, output) for output in component.outputs]
            self._forget_the_gone()
            self._sweep()
            remember(self.folder, plan)
        except (ChannelError, FolderError, OSError, ValueError) as error:
            self.give_up()
            raise LaunchError(str(error)) from None
        except BaseException:
            self.give_up()
            raise

    def _forget_the_gone(self) -> None:
        names = {component.name for component in self._plan.components}
        for row in rows_of(self.board) if self.is_inherited else ():
            if row.name and row.name not in names and not row.alive:
                self.board.forget(row.index)

    def _sweep(self) -> None:
        """Remove what an earlier run of this system left and this one has no use for."""
        own = {segment.name for segment in self._segments} | {self.board.name}
        for name in segments(segment_prefix(self._plan.name)):
            if name not in own:
                sweep(name)

    def give_up(self) -> None:
        """Let go after a launch that came to nothing; what others live on stays."""
        if not self.is_inherited:
            self.remove()
            return
        for segment in self._segments:
            segment.close(unlink=False)
        self.board.close()

    def remove(self) -> None:
        """Remove everything: the last act of an orderly end."""
        for segment in self._segments:
            segment.close()
        self.board.close(unlink=True)
        with contextlib.suppress(OSError):
            shutil.rmtree(runtime_folder(self._plan.name))


def make_segment(system: str, output: OutputPlan) -> Segment:
    """Make an output's segment, or take up the one that a crash left; raises ChannelError."""
    header = new_header(output.dtype, output.shape, output.record_size, output.keep)
    return Segment.create(segment_name(system, output.channel), header)


def _take_board(plan: Plan) -> tuple[Board, bool]:
    """Make or take up the system's board and become its parent.

    Gives the board, and whether components of an earlier parent live on it, all fit to be taken over.

    Raises RunningError naming who lives, LaunchError.
    """
    system = plan.name
    while True:
        try:
            board = Board.create(board_name(system), system)
        except SegmentMissingError:  # it was removed between two looks
            continue
        except ChannelError as error:
            if end_elders(system):
                continue
            raise LaunchError(str(error)) from None
        try:
            board.take_parent()
        except SegmentExistsError:
            pid = board.parent_pid
            board.close()
            raise RunningError(
                f"system {system!r} is running already (pid {pid}): `dolphin-mp status` shows it, "
                "`dolphin-mp shutdown` ends it"
            ) from None
        if board.is_named:
            break
        board.close()
    try:
        if end_unfit(board, plan, runtime_folder(system)):
            return board, True
    except BaseException:
        board.close()
        raise
    if board.used:  # a dead run's rows say nothing about this one
        board.close(unlink=True)
        return _take_board(plan)
    return board, False


def raise_open_files() -> int:
    """Allow this process as many descriptors as the hard limit does; gives the soft limit before."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft
