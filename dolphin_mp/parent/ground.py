"""What a system stands on: its runtime folder, its board, its channels' segments; made, taken up, removed."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from dolphin_mp.ipc import Board, ChannelError, SegmentExistsError, SegmentMissingError
from dolphin_mp.ipc.board import ROWS
from dolphin_mp.ipc.deal import open_deal
from dolphin_mp.ipc.folder import segments, shut
from dolphin_mp.ipc.segment import Segment, new_header, sweep
from dolphin_mp.parent.clearing import end_elders, end_unfit
from dolphin_mp.parent.errors import LaunchError, RunningError
from dolphin_mp.parent.estate import rows_of
from dolphin_mp.parent.plan_file import remember
from dolphin_mp.paths import (
    FolderError,
    board_name,
    deal_name,
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

    Attributes: folder; board (its parent's lock held); is_inherited (components of an earlier parent live).
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._segments: dict[str, Segment] = {}
        self._deals: set[str] = set()  # names
        self.board, self.is_inherited = _take_board(plan)
        try:
            self.folder = make_runtime_folder(plan.name)
            for component in plan.components:
                self.board.add(component.name)
                for output in component.outputs:
                    segment = make_segment(plan.name, output)
                    self._segments[segment.name] = segment
            self._forget_the_gone()
            self._open_deals(plan)
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

    def _open_deals(self, plan: Plan) -> None:
        """Make what deals records to pools, and give up what no pool needs any more; raises ChannelError."""
        before, self._deals = self._deals, set()
        for component in plan.components:
            for item in component.inputs:
                name = deal_name(plan.name, component.pool or component.name, item.attribute)
                if item.share and name not in self._deals:
                    self._deals.add(name)
                    shut(open_deal(name, self._segments[segment_name(plan.name, item.channel)]))
        for name in before - self._deals:
            sweep(name)

    def _sweep(self) -> None:
        """Remove what an earlier run of this system left and this one has no use for."""
        own = {*self._segments, *self._deals, self.board.name}
        for name in segments(segment_prefix(self._plan.name)):
            if name not in own:
                sweep(name)

    def prepare(self, plan: Plan, changes: Changes) -> dict[str, Segment]:
        """Reserve the memory of the channels that a new plan makes or replaces, under no name yet.

        Raises ChannelError, ValueError; then nothing was made.
        """
        if len(plan.components) > ROWS:
            raise ValueError(
                f"{len(plan.components)} components are more than the {ROWS} that a system may have"
            )
        prepared: dict[str, Segment] = {}
        wanted = {*changes.made, *changes.replaced}
        try:
            for output in (o for c in plan.components for o in c.outputs if o.channel in wanted):
                name = segment_name(plan.name, output.channel)
                header = new_header(output.dtype, output.shape, output.record_size, output.keep)
                prepared[name] = Segment.prepare(name, header)
                if name not in self._segments:
                    sweep(name)
            self._remember(changes)
        except BaseException:
            for segment in prepared.values():
                segment.close()
            raise
        return prepared

    def settled(self) -> None:
        """Note that every process runs what the plan says."""
        with contextlib.suppress(OSError):  # what is written down says less, and nothing that is wrong
            remember(self.folder, self._plan)

    def _remember(self, changes: Changes) -> None:
        """Write the plan down without those that change: who finds them alive can't know what they run."""
        remember(self.folder, self._plan, {*changes.added, *changes.removed, *changes.restarted})

    def rewire(self, plan: Plan, changes: Changes, prepared: dict[str, Segment]) -> None:
        """Give up, replace and make channels, and take the rows of who is gone; nobody uses them now."""
        self._plan = plan
        with contextlib.suppress(OSError):
            self._remember(changes)
        for channel in changes.given_up:
            self._segments.pop(segment_name(plan.name, channel)).close()
        for name, segment in prepared.items():
            segment.appear(self._segments.get(name))
            self._segments[name] = segment
        for component in changes.removed:
            index = self.board.find(component)
            if index is not None:
                self.board.forget(index)
        for component in changes.added:
            self.board.add(component)
        with contextlib.suppress(ChannelError):  # no room: an instance that needs it tries, and says so
            self._open_deals(plan)

    def give_up(self) -> None:
        """Let go after a launch that came to nothing; what others live on stays."""
        if not self.is_inherited:
            self.remove()
            return
        for segment in self._segments.values():
            segment.close(unlink=False)
        self.board.close()

    def remove(self) -> None:
        """Remove everything: the last act of an orderly end."""
        for name in self._deals:
            sweep(name)
        for segment in self._segments.values():
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


DESCRIPTORS = 100
"""Of a parent beside those of its processes and channels: sockets, clients, spares, bundles (chosen)."""
DESCRIPTORS_OF_PROCESS = 5
"""Two pipes of what it says, the timer, a descriptor of the process, and its line."""


def check_open_files(plan: Plan) -> None:
    """Check that the system has room below the hard limit of descriptors.

    Raises LaunchError: else it would start, and find at the worst moment that it can't restart anything.
    """
    import resource

    processes = {component.process for component in plan.components}
    channels = sum(len(component.outputs) for component in plan.components)
    need = DESCRIPTORS + DESCRIPTORS_OF_PROCESS * len(processes) + channels
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < need:
        raise LaunchError(
            f"{len(processes)} processes and {channels} channels take {need} open files, and the hard limit "
            f"is {hard}: raise it (ulimit -Hn {need}; LimitNOFILE= of a systemd unit)"
        )


def raise_open_files() -> int:
    """Allow this process as many descriptors as the hard limit does; gives the soft limit before."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft
