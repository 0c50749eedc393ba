"""What lives on after a parent's death: found by the rows' kernel locks, and taken over as it is."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dolphin_mp.exits import exit_code_of, is_dead
from dolphin_mp.ipc import lock
from dolphin_mp.ipc.holders import holder_of
from dolphin_mp.supervision.flow import members_of
from dolphin_mp.supervision.inheritance import Trace, exit_word, legacy_of

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def told_right(board: Board, row: Row) -> Row:
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
        true = told_right(board, row) if row.alive else row
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


# where the kernel does not tell -----------------------------------------------------------------------------


def with_last_word(death: Exited, rows: Sequence[Row]) -> Exited:
    """Take what the components said themselves for how their process ended."""
    code, why = exit_word([trace_of(row, asked=False) for row in rows])
    return replace(death, code=code, reason=death.reason or why)


def born_ns(rows: Sequence[Row]) -> int:
    """Give the birth of a process, CLOCK_BOOTTIME, by its members' rows; 0: nobody knows."""
    ticks = max((row.start for row in rows), default=0)
    return ticks * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))
