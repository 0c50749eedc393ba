"""What a system is seen to do, read from its board alone: beside a busy parent, or after its death."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from dolphin_mp.ipc.board import ROWS, UNSEEN, unpack_component, unpack_parent

TYPE_CHECKING = False  # this module is on the way of a command that has few milliseconds
if TYPE_CHECKING:
    from typing import Any

    from dolphin_mp.ipc._board import Found
    from dolphin_mp.ipc.board import Board, ComponentPart, ParentPart, Row

ALL_WELL, TROUBLED, NOTHING_LIVES = 0, 1, 3
TROUBLE = frozenset({"failed", "backoff"})
_PHASES_OF_THE_LIVING = {"starting": "starting", "ready": "ready", "stopping": "stopping"}
_ENDS = frozenset({"stopped", "done", "failed"})
_ENDED = _ENDS | {"backoff"}
_FAIR_ENDS = frozenset({"stopped", "done", "failed"})


class _Parts(NamedTuple):
    """Of a row, what says how its component is."""

    pid: int
    alive: bool
    parent: ParentPart | None
    component: ComponentPart | None


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
    found = [(index, row) for index, row in enumerate(map(board.look, range(board.used))) if row[0]]
    components = [_component_status(row, now_ns, supervised) for _, row in found]
    if supervised:
        uptime_s = _age_s(board.launched_ns, now_ns)
    else:
        uptime_s = _oldest_s([board.read(index) for index, _ in found], now_ns)
    return {
        "system": board.system,
        "pid": board.parent_pid if supervised else None,
        "supervised": supervised,
        "uptime_s": uptime_s,
        "components": components,
    }


def exit_code(status: dict[str, Any]) -> int:
    """Give what the command says to its shell of a whole status."""
    components = status["components"]
    if not status["supervised"] and all(component["pid"] is None for component in components):
        return NOTHING_LIVES
    return TROUBLED if any(component["state"] in TROUBLE for component in components) else ALL_WELL


def _component_status(row: Found, now_ns: int, supervised: bool) -> dict[str, Any]:
    """Give one component's status: what lasts until somebody writes to its row, and what each look finds."""
    name, pid, _, _, alive, beats, last_ns, begun_ns, mine, its, dealt, redealt, lost = row
    lasting, since_ns = _lasting(name, pid, alive, mine, its, supervised)
    component = lasting.copy()
    component["beats"] = beats
    component["last_step_age_s"] = _age_s(last_ns, now_ns)
    component["dealt"] = dealt
    component["redealt"] = redealt
    component["lost"] = lost
    component["state_age_s"] = _age_s(since_ns, now_ns)
    component["step_age_s"] = _age_s(begun_ns, now_ns) if alive else None
    return component


@lru_cache(2 * ROWS)  # most of a system's rows are as they were: two thirds of the time
def _lasting(
    name: str, pid: int, alive: bool, mine: bytes | None, its: bytes | None, supervised: bool
) -> tuple[dict[str, Any], int]:
    """Give a component's status but for ages and counts, and since when its state is what it is."""
    parent = unpack_parent(mine) if mine else None
    component = unpack_component(its) if its else None
    row = _Parts(pid, alive, parent, component)
    seen = _seen_by_parent(row) if supervised else _seen_alone(row)
    sampled = component is not None and alive and component.sampled_ns != 0
    has_code = parent is not None and _has_ended_once(parent) and parent.exit_code != UNSEEN
    status = {
        "name": name,
        "state": seen.state,
        "pid": pid if alive else None,
        "restarts": parent.restarts if parent else 0,
        "beats": 0,
        "last_step_age_s": None,
        "cpu_percent": round(component.cpu_percent, 1) if component and sampled else None,
        "rss_bytes": component.rss_bytes if component and sampled else None,
        "reason": seen.reason,
        "incarnation": parent.incarnation if parent else component.incarnation if component else 0,
        "missed": component.missed if component else 0,
        "dealt": 0,
        "redealt": 0,
        "lost": 0,
        "state_age_s": None,
        "step_age_s": None,
        "exit_code": parent.exit_code if parent and has_code else None,
    }
    return status, parent.since_ns if parent else 0


def _has_ended_once(mine: ParentPart) -> bool:
    return mine.incarnation > 1 or (mine.incarnation == 1 and mine.state in _ENDED)


def _seen_by_parent(row: _Parts) -> Seen:
    """What a living parent recorded, unless the lock says more: the parent learns of a death later."""
    if row.parent is None or not row.parent.state:
        return Seen("waiting", "")
    state = row.parent.state
    if state == "ready" and not row.alive:
        return Seen("backoff", "died a moment ago")
    return Seen(state, row.parent.reason)


def _seen_alone(row: _Parts) -> Seen:
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


def _is_current(row: _Parts) -> bool:
    """Whether the component's word is of the parent's last incarnation, not of one before."""
    return row.parent is None or row.component is None or row.component.incarnation >= row.parent.incarnation


def _age_s(then_ns: int, now_ns: int) -> float | None:
    if not then_ns:
        return None
    return (now_ns - then_ns) // 1000 / 1e6 if now_ns > then_ns else 0.0


def _oldest_s(rows: list[Row], now_ns: int) -> float | None:
    """For how long the longest-lived component has been ready, where no parent says how long all has run."""
    ages = [_age_s(row.component.ready_ns, now_ns) for row in rows if row.alive and row.component]
    return max((age for age in ages if age is not None), default=None)
