"""What a system stands on: its runtime folder, its board, its channels' segments; made, taken up, removed."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from dolphin_mp.ipc import Board, ChannelError, SegmentExistsError, SegmentMissingError
from dolphin_mp.ipc.folder import segments
from dolphin_mp.ipc.segment import Segment, new_header, sweep
from dolphin_mp.parent.errors import LaunchError, RunningError
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
    from dolphin_mp.supervision.replan import Changes


class Ground:
    """A system's folder, board and segments, owned by its parent.

    Attributes: folder; board (its parent's lock held).
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._segments: dict[str, Segment] = {}
        self.board = _take_board(plan.name)
        try:
            self.folder = make_runtime_folder(plan.name)
            for component in plan.components:
                self.board.add(component.name)
                for output in component.outputs:
                    segment = make_segment(plan.name, output)
                    self._segments[segment.name] = segment
            self._sweep()
        except (ChannelError, FolderError, OSError, ValueError) as error:
            self.remove()
            raise LaunchError(str(error)) from None

    def _sweep(self) -> None:
        """Remove what an earlier run of this system left and this one has no use for."""
        own = {*self._segments, self.board.name}
        for name in segments(segment_prefix(self._plan.name)):
            if name not in own:
                sweep(name)

    def prepare(self, plan: Plan, changes: Changes) -> dict[str, Segment]:
        """Reserve the memory of the channels that a new plan makes or replaces, under no name yet.

        Raises ChannelError, ValueError; then nothing was made.
        """
        prepared: dict[str, Segment] = {}
        wanted = {*changes.made, *changes.replaced}
        try:
            for output in (o for c in plan.components for o in c.outputs if o.channel in wanted):
                name = segment_name(plan.name, output.channel)
                header = new_header(output.dtype, output.shape, output.record_size, output.keep)
                prepared[name] = Segment.prepare(name, header)
                if name not in self._segments:
                    sweep(name)
        except BaseException:
            for segment in prepared.values():
                segment.close()
            raise
        return prepared

    def rewire(self, plan: Plan, changes: Changes, prepared: dict[str, Segment]) -> None:
        """Give up, replace and make channels, and take the rows of who is gone; nobody uses them now."""
        for channel in changes.given_up:
            self._segments.pop(segment_name(plan.name, channel)).close()
        for name, segment in prepared.items():
            segment.appear(self._segments.get(name))
            self._segments[name] = segment
        for component in changes.removed:
            index = self.board.find(component)
            if index is not None:
                self.board.free(index)
        for component in changes.added:
            self.board.add(component)

    def remove(self) -> None:
        """Remove everything: the last act of an orderly end."""
        for segment in self._segments.values():
            segment.close()
        self.board.close(unlink=True)
        with contextlib.suppress(OSError):
            shutil.rmtree(runtime_folder(self._plan.name))


def make_segment(system: str, output: OutputPlan) -> Segment:
    """Make an output's segment, or take up the one that a crash left; raises ChannelError."""
    header = new_header(output.dtype, output.shape, output.record_size, output.keep)
    return Segment.create(segment_name(system, output.channel), header)


def _take_board(system: str) -> Board:
    """Make or take up the system's board and become its parent; raises RunningError naming who lives."""
    while True:
        try:
            board = Board.create(board_name(system), system)
        except SegmentMissingError:  # it was removed between two looks
            continue
        except ChannelError as error:
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
    alive = [
        (board.read(index).name, board.read(index).pid)
        for index in range(board.used)
        if board.is_alive(index)
    ]
    if alive:
        board.close()
        who = ", ".join(f"{name} (pid {pid})" for name, pid in alive)
        raise RunningError(
            f"components of an earlier run of {system!r} live on: {who}; `dolphin-mp shutdown` ends them"
        )
    if board.used:  # a dead run's rows say nothing about this one
        board.close(unlink=True)
        return _take_board(system)
    return board


def raise_open_files() -> int:
    """Allow this process as many descriptors as the hard limit does; gives the soft limit before."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft
