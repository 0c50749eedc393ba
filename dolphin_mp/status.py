"""What a system is seen to do, read from its board alone: beside a busy parent, or after its death."""

from __future__ import annotations

from typing import NamedTuple

from dolphin_mp.ipc.board import UNSEEN

TYPE_CHECKING = False  # this module is on the way of a command that has few milliseconds
if TYPE_CHECKING:
    from typing import Any

    from dolphin_mp.ipc.board import Board, ParentPart, Row

ALL_WELL, TROUBLED, NOTHING_LIVES = 0, 1, 3
TROUBLE = frozenset({"failed", "backoff"})
_PHASES_OF_THE_LIVING = {"starting": "starting", "ready": "ready", "stopping": "stopping"}
_ENDS = frozenset({"stopped", "done", "failed"})
_ENDED = _ENDS | {"backoff"}
_FAIR_ENDS = frozenset({"stopped", "done", "failed"})


class Seen(NamedTuple):
    """A component's state, and why, if that is not plain."""

    state: str
    reason: str


def status_of(board: Board, now_ns: int) -> dict[str, Any]:
    """Give the whole status as plain data.

    Args:
        board: of the system.
        now_ns: CLOCK_BOOTTIME.
    """
    supervised = board.parent_alive
    rows = [row for row in map(board.read, range(board.used)) if row.name]
    return {
        "system": board.system,
        "pid": board.parent_pid if supervised else None,
        "supervised": supervised,
        "uptime_s": _age_s(board.launched_ns, now_ns) if supervised else _oldest_s(rows, now_ns),
        "components": [component_status(row, now_ns, supervised=supervised) for row in rows],
    }


def exit_code(status: dict[str, Any]) -> int:
    """Give what the command says to its shell of a whole status."""
    components = status["components"]
    if not status["supervised"] and all(component["pid"] is None for component in components):
        return NOTHING_LIVES
    return TROUBLED if any(component["state"] in TROUBLE for component in components) else ALL_WELL


def component_status(row: Row, now_ns: int, *, supervised: bool) -> dict[str, Any]:
    """Give one component's status."""
    seen = _seen_by_parent(row) if supervised else _seen_alone(row)
    mine, its = row.parent, row.component
    begun_ns = row.step_begun_ns if row.alive else 0
    sampled = its is not None and row.alive and its.sampled_ns != 0
    return {
        "name": row.name,
        "state": seen.state,
        "pid": row.pid if row.alive else None,
        "restarts": mine.restarts if mine else 0,
        "beats": row.beats,
        "last_step_age_s": _age_s(row.last_step_ns, now_ns),
        "cpu_percent": round(its.cpu_percent, 1) if its and sampled else None,
        "rss_bytes": its.rss_bytes if its and sampled else None,
        "reason": seen.reason,
        "incarnation": mine.incarnation if mine else its.incarnation if its else 0,
        "missed": its.missed if its else 0,
        "dealt": row.dealt[0],
        "redealt": row.dealt[1],
        "lost": row.dealt[2],
        "state_age_s": _age_s(mine.since_ns, now_ns) if mine else None,
        "step_age_s": _age_s(begun_ns, now_ns),
        "exit_code": mine.exit_code if mine and _has_ended_once(mine) and mine.exit_code != UNSEEN else None,
    }


def _has_ended_once(mine: ParentPart) -> bool:
    return mine.incarnation > 1 or (mine.incarnation == 1 and mine.state in _ENDED)


def _seen_by_parent(row: Row) -> Seen:
    """What a living parent recorded, unless the lock says more: the parent learns of a death later."""
    if row.parent is None or not row.parent.state:
        return Seen("waiting", "")
    state = row.parent.state
    if state == "ready" and not row.alive:
        return Seen("backoff", "died a moment ago")
    return Seen(state, row.parent.reason)


def _seen_alone(row: Row) -> Seen:
    """Without a parent: the component's own word while it lives, else how it ended."""
    phase = row.component.phase if row.component else ""
    if row.alive:
        return Seen(
            _PHASES_OF_THE_LIVING.get(phase, "starting"), row.component.reason if row.component else ""
        )
    if row.parent is not None and row.parent.state in _ENDS:
        return Seen(row.parent.state, row.parent.reason)
    if phase in _FAIR_ENDS and row.component is not None and _is_current(row):
        return Seen(phase, row.component.reason)
    if row.pid == 0 and (row.parent is None or row.parent.incarnation == 0):
        return Seen("waiting", "never started")
    return Seen("failed", "died while no parent lived")


def _is_current(row: Row) -> bool:
    """Whether the component's word is of the parent's last incarnation, not of one before."""
    return row.parent is None or row.component is None or row.component.incarnation >= row.parent.incarnation


def _age_s(then_ns: int, now_ns: int) -> float | None:
    return round(max(0, now_ns - then_ns) * 1e-9, 6) if then_ns else None


def _oldest_s(rows: list[Row], now_ns: int) -> float | None:
    """For how long the longest-lived component has been ready, where no parent says how long all has run."""
    ages = [_age_s(row.component.ready_ns, now_ns) for row in rows if row.alive and row.component]
    return max((age for age in ages if age is not None), default=None)
