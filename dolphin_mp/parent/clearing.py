"""What lives on after a parent's death and can't be taken over is ended first.

That is whoever runs another plan, or none, was started by another version of dolphin-mp, or whose row does
not tell who it is. They end in the order of the data flow before anything is started, so that there are never
two of one component.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolphin_mp import __version__
from dolphin_mp.ipc import _core, lock
from dolphin_mp.ipc.board import pack_parent
from dolphin_mp.ipc.elders import ElderBoard
from dolphin_mp.ipc.folder import segments
from dolphin_mp.ipc.segment import sweep
from dolphin_mp.parent.errors import LaunchError, RunningError
from dolphin_mp.parent.estate import rows_of, told_right, trace_of
from dolphin_mp.parent.plan_file import recall, sealed
from dolphin_mp.paths import board_name, segment_prefix
from dolphin_mp.process.kin import end_kin, mark_for
from dolphin_mp.remains import STOP_WITHIN_S, end_descendants, end_processes
from dolphin_mp.supervision.flow import members_of
from dolphin_mp.supervision.inheritance import differing, turns, was_stopped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dolphin_mp.ipc import Board
    from dolphin_mp.ipc.board import Row
    from dolphin_mp.ipc.elders import Elder
    from dolphin_mp.plan import Plan


def end_unfit(board: Board, plan: Plan, folder: str) -> bool:
    """End what lives and can't be taken over; tells whether anything lives that can.

    Raises RunningError for a component that runs as its own service, LaunchError for what can't be ended.
    """
    alive = {row.name: row for row in rows_of(board) if row.alive}
    alone = [row for row in alive.values() if row.parent is None]
    if alone:
        who = ", ".join(f"{row.name} (pid {row.pid})" for row in alone)
        raise RunningError(f"components of {plan.name!r} run on their own: {who}; end them first")
    old = recall(folder)
    known = old.plan if old.plan is not None and old.version == __version__ else None
    changed = differing(known, sealed(plan)) if known is not None else frozenset[str]()
    unfit = list(alive)
    if known is not None and known.orphan == "run":
        sure = frozenset(component.name for component in known.components) - changed
        unfit = _unfit(alive, sure, plan)
    _end(board, [[alive[name] for name in turn] for turn in _in_order(unfit, known)], known)
    for row in rows_of(board):
        if row.name in changed and not row.alive:
            _begin_anew(board, row)
    end_descendants(board)
    left = [row for row in rows_of(board) if row.alive]
    _refuse_stuck(row for row in left if row.name in unfit)
    return bool(left)


def end_elders(system: str) -> bool:
    """End what lives on a board of another layout, last come first, and remove that; tells if there was one.

    Raises RunningError for a living parent, LaunchError for what can't be ended.
    """
    board = ElderBoard.attach(board_name(system))
    if board is None:
        return False
    try:
        _clear(board, system)
    except BaseException:
        board.close()
        raise
    board.close(unlink=True)
    return True


def _clear(board: ElderBoard, system: str) -> None:
    if board.has_parent:
        who = f"pid {board.parent_pid}, of another version of dolphin-mp"
        raise RunningError(f"system {system!r} is running already ({who})")
    elders = board.living()
    for elder in reversed(elders):
        end_processes([elder], STOP_WITHIN_S, asked=False)
    end_kin({mark_for(elder.pid, elder.start) for elder in elders})
    _refuse_stuck(board.living())
    for name in segments(segment_prefix(system)):
        if name != board.name:
            sweep(name)


def _refuse_stuck(left: Iterable[Row | Elder]) -> None:
    stuck = ", ".join(f"{row.name} (pid {row.pid})" for row in left)
    if stuck:
        raise LaunchError(f"{stuck} of an earlier run can't be ended")


def _unfit(alive: dict[str, Row], sure: frozenset[str], plan: Plan) -> list[str]:
    """Give who can't stay, in the order of the rows; those of one process share its fate.

    Args:
        alive: who lives.
        sure: who is known to run what the plan says.
        plan: the new one.
    """
    pids: dict[str, set[int]] = {}
    for component in plan.components:
        if component.name in alive:
            pids.setdefault(component.process, set()).add(alive[component.name].pid)
    scattered = {process for process, found in pids.items() if len(found) > 1}
    process_of = {component.name: component.process for component in plan.components}
    bad = {
        row.pid
        for name, row in alive.items()
        if name not in sure or process_of.get(name, "") in {"", *scattered} or not _is_itself(row)
    }
    return [name for name, row in alive.items() if row.pid in bad]


def _is_itself(row: Row) -> bool:
    """Tell whether the row names who holds its lock, and the last parent knew of it."""
    return trace_of(row, asked=False).should_live and lock.start_time(row.pid) == row.start != 0


def _in_order(names: list[str], known: Plan | None) -> list[list[str]]:
    """Readers first; where the data flow is not known, last come first: rows stand as they were started."""
    if known is None:
        return [[name] for name in reversed(names)]
    members = {process: [m.name for m in found] for process, found in members_of(known).items()}
    going = frozenset(process for process, found in members.items() if not set(found).isdisjoint(names))
    listed = [[n for process in turn for n in members[process] if n in names] for turn in turns(known, going)]
    strange = [name for name in names if all(name not in turn for turn in listed)]
    return [*([name] for name in reversed(strange)), *(turn for turn in listed if turn)]


def _end(board: Board, order: Iterable[Sequence[Row]], known: Plan | None) -> None:
    patience = {c.name: c.stop_within_s for c in known.components} if known is not None else {}
    for rows in order:
        grace_s = max(patience.get(row.name, STOP_WITHIN_S) for row in rows)
        for row in rows:
            # If this parent is killed now, the next one sees that these were ended on purpose.
            _write(board, row, "stopping")
            board.doorbell(row.index).ring()
        end_processes([told_right(board, row) for row in rows], grace_s)


def _begin_anew(board: Board, row: Row) -> None:
    """Have what is done, failed or at rest be tried by its new plan; who was stopped by hand stays so."""
    if row.parent is not None and not was_stopped(row.parent.state, row.parent.reason):
        _write(board, row, "waiting")


def _write(board: Board, row: Row, state: str) -> None:
    if row.parent is not None:
        part = row.parent._replace(state=state, reason="", since_ns=_core.boottime_ns())
        board.parent_cell(row.index).write(pack_parent(part))
