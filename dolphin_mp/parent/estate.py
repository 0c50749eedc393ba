"""What lives on after a parent's death: found by the rows' kernel locks, taken over, or ended first.

A process is taken over as it is if it runs what the plan says. One that can't be (its plan changed, it left
the plan, another version of dolphin-mp started it, its row does not tell who it is) is ended in the order of
the data flow before anything else is done, so that there are never two of one component.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dolphin_mp import __version__
from dolphin_mp.exits import exit_code_of, is_dead
from dolphin_mp.ipc import _core, lock
from dolphin_mp.ipc.board import pack_parent
from dolphin_mp.ipc.holders import holder_of
from dolphin_mp.parent.errors import LaunchError, RunningError
from dolphin_mp.parent.plan_file import recall, sealed
from dolphin_mp.remains import STOP_WITHIN_S, end_processes
from dolphin_mp.supervision.flow import members_of
from dolphin_mp.supervision.inheritance import Trace, differing, legacy_of, turns, was_stopped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dolphin_mp.ipc import Board
    from dolphin_mp.ipc.board import Row
    from dolphin_mp.plan import ComponentPlan, Plan
    from dolphin_mp.supervision.vocabulary import Event, Exited


@dataclass(frozen=True, slots=True)
class Adoptee:
    """A living process of an earlier parent; `start` is its start time, `pidfd` the new parent's to close."""

    process: str
    incarnation: int
    members: tuple[str, ...]
    pid: int
    start: int
    pidfd: int


@dataclass(slots=True)
class Estate:
    """What a parent takes over.

    Attributes: adoptees; before (events before the launch); deaths (of those that died meanwhile, after it);
    codes (exit code of each process' last death, as the board has it).
    """

    adoptees: list[Adoptee] = field(default_factory=list)
    before: list[Event] = field(default_factory=list)
    deaths: list[Exited] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)


def rows_of(board: Board) -> list[Row]:
    """Give all rows."""
    return [board.read(index) for index in range(board.used)]


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
    unfit = list(alive) if known is None or known.orphan == "stop" else _unfit(alive, changed, plan)
    _end(board, [[alive[name] for name in turn] for turn in _in_order(unfit, known)], known)
    for row in rows_of(board):
        if row.name in changed and not row.alive:
            _begin_anew(board, row)
    left = [row for row in rows_of(board) if row.alive]
    stuck = [f"{row.name} (pid {row.pid})" for row in left if row.name in unfit]
    if stuck:
        raise LaunchError(f"{', '.join(stuck)} of an earlier run can't be ended")
    return bool(left)


def _unfit(alive: dict[str, Row], changed: frozenset[str], plan: Plan) -> list[str]:
    """Give who can't stay, in the order of the rows; those of one process share its fate."""
    pids: dict[str, set[int]] = {}
    for component in plan.components:
        if component.name in alive:
            pids.setdefault(component.process, set()).add(alive[component.name].pid)
    scattered = {process for process, found in pids.items() if len(found) > 1}
    process_of = {component.name: component.process for component in plan.components}
    bad = {
        row.pid
        for name, row in alive.items()
        if name in changed or process_of.get(name, "") in {"", *scattered} or not _is_itself(row)
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
        end_processes([_told_right(board, row) for row in rows], grace_s)


def _begin_anew(board: Board, row: Row) -> None:
    """Have what is done, failed or at rest be tried by its new plan; who was stopped by hand stays so."""
    if row.parent is not None and not was_stopped(row.parent.state, row.parent.reason):
        _write(board, row, "waiting")


def _write(board: Board, row: Row, state: str) -> None:
    if row.parent is not None:
        part = row.parent._replace(state=state, reason="", since_ns=_core.boottime_ns())
        board.parent_cell(row.index).write(pack_parent(part))


def _told_right(board: Board, row: Row) -> Row:
    """Give the row with the process that holds its lock, if its own word is of another."""
    if lock.start_time(row.pid) == row.start != 0:
        return row
    pid = holder_of(board.name, board.lock_of(row.index))
    return row._replace(pid=pid, group=pid, start=lock.start_time(pid)) if pid else row


# taking over ------------------------------------------------------------------------------------------------


def take_over(board: Board, plan: Plan) -> Estate:
    """Open what lives of the plan's processes, and say what has become of the others."""
    estate = Estate()
    for process, members in members_of(plan).items():
        rows = [board.read(board.add(member.name)) for member in members]
        estate.codes[process] = max((r.parent.exit_code for r in rows if r.parent), key=abs, default=0)
        _take_over(board, estate, process, members, rows)
    return estate


def _take_over(
    board: Board, estate: Estate, process: str, members: Sequence[ComponentPlan], rows: Sequence[Row]
) -> None:
    traces = [trace_of(row, asked=board.doorbell(row.index).rung) for row in rows]
    pid, start, pidfd = _open_one_of(board, rows)
    alive = pidfd >= 0 and not is_dead(pidfd)
    code = None if alive or pidfd < 0 else exit_code_of(pidfd, pid, start)
    legacy = legacy_of(process, traces, pid, alive=alive, code=code)
    if legacy.before is not None:
        estate.before.append(legacy.before)
    estate.deaths += legacy.deaths
    if alive and legacy.before is not None:
        names = tuple(member.name for member in members if member.name not in legacy.before.past.done)
        incarnation = legacy.before.past.incarnation
        estate.adoptees.append(Adoptee(process, incarnation, names, pid, start, pidfd))
    elif pidfd >= 0:
        os.close(pidfd)


def _open_one_of(board: Board, rows: Sequence[Row]) -> tuple[int, int, int]:
    """Give pid, start and pidfd of the process that the rows name; the last is -1 if there is none.

    One that has let go of its row, but not ended yet, counts as well.
    """
    for row in sorted(rows, key=lambda row: not row.alive):
        true = _told_right(board, row) if row.alive else row
        if not true.pid or not true.start:
            continue
        try:
            pidfd = os.pidfd_open(true.pid)
        except OSError:
            continue
        if lock.start_time(true.pid) == true.start:
            return true.pid, true.start, pidfd
        os.close(pidfd)
    return rows[0].pid, 0, -1


def trace_of(row: Row, *, asked: bool) -> Trace:
    """Give what a row says of its component."""
    mine, its = row.parent, row.component
    if mine is None:
        return Trace(row.name)
    is_current = its is not None and its.incarnation == mine.incarnation
    phase, word = (its.phase, its.reason) if its is not None and is_current else ("", "")
    return Trace(row.name, mine.state, mine.incarnation, mine.restarts, mine.reason, phase, word, asked=asked)
