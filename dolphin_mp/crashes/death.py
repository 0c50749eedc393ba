"""PURE: what is a crash, and what the parent knows of one."""

from __future__ import annotations

import re
import signal
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dolphin_mp.supervision.vocabulary import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dolphin_mp.ipc.board import Row
    from dolphin_mp.plan import ComponentPlan

TERMINATED = 143  # a component that obeyed SIGTERM
_OBEYED = frozenset({0, TERMINATED, -signal.SIGTERM})
_UNSAFE = re.compile(r"[^A-Za-z0-9@_.-]")


@dataclass(frozen=True, slots=True)
class Death:
    """A process that died as it should not have.

    Attributes: system; process; members; pid; incarnation; restarts (before this one's); code (exit code, or
    minus the signal); reason; spawned_ns and died_ns (CLOCK_BOOTTIME); died_at (seconds of UTC); oom_kills
    (how many processes the kernel killed for want of memory since the last look; None if that is not known).
    """

    system: str
    process: str
    members: tuple[ComponentPlan, ...]
    pid: int
    incarnation: int
    restarts: int
    code: int | None
    reason: str
    spawned_ns: int
    died_ns: int
    died_at: float
    oom_kills: int | None = None


def is_crash(before: Iterable[State], code: int | None, *, forced: bool = False) -> bool:
    """Tell whether a death is one to write down.

    Args:
        before: what was seen of the process' members until then.
        code: its exit code, or minus the signal that killed it; None if nobody knows.
        forced: somebody lost patience with the whole system, and everything was killed.
    """
    if State.STOPPING not in set(before):
        return code != 0
    return not forced and code is not None and code not in _OBEYED


def id_of(death: Death) -> str:
    """Give the name of the bundle's folder; names sort by time."""
    from datetime import UTC, datetime

    stamp = datetime.fromtimestamp(death.died_at, UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]
    return f"{stamp}-{_UNSAFE.sub('_', death.process)}-{death.incarnation}"


def signal_name(code: int | None) -> str | None:
    """Give the name of the signal that killed, None for an exit."""
    if code is None or code >= 0:
        return None
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def facts_of(death: Death, rows: Sequence[Row]) -> dict[str, Any]:
    """Give what the parent knows as plain data; `rows` are the members', as they were left on the board."""
    return {
        "id": id_of(death),
        "system": death.system,
        "process": death.process,
        "components": [member.name for member in death.members],
        "pid": death.pid,
        "incarnation": death.incarnation,
        "restarts": death.restarts,
        "exit_code": death.code if death.code is None or death.code >= 0 else None,
        "signal": signal_name(death.code),
        "reason": death.reason,
        "died_at": _utc(death.died_at),
        "started_at": _utc(death.died_at - (death.died_ns - death.spawned_ns) * 1e-9),
        "uptime_s": round((death.died_ns - death.spawned_ns) * 1e-9, 6),
        "machine_uptime_s": round(death.died_ns * 1e-9, 3),
        "died_ns": death.died_ns,
        "oom_kills": death.oom_kills,
        "steps": {row.name: _step(row, death) for row in rows if _is_its_own(row, death)},
        "plan": [_plan(member) for member in death.members],
    }


def _is_its_own(row: Row, death: Death) -> bool:
    """Tell whether the row's words are the dead one's, not another incarnation's."""
    return row.component is not None and row.component.incarnation == death.incarnation


def _step(row: Row, death: Death) -> dict[str, Any]:
    """What a component was at; a step in progress is one whose begin nobody took back."""
    its, died_ns = row.component, death.died_ns
    return {
        "in_progress": row.step_begun_ns != 0,
        "begun_ago_s": _ago(row.step_begun_ns, died_ns),
        "last_ended_ago_s": _ago(row.last_step_ns, died_ns),
        "beats": row.beats,
        "missed": its.missed if its else 0,
        "phase": its.phase if its else "",
        "cpu_percent": its.cpu_percent if its else None,
        "rss_bytes": its.rss_bytes if its else None,
        "said": its.reason if its else "",
    }


def _plan(member: ComponentPlan) -> dict[str, Any]:
    data = asdict(member)
    del data["blob"]  # pickled options: nobody reads them, and who knows what they hold
    del data["options"]  # digests of the same
    return data


def _ago(then_ns: int, died_ns: int) -> float | None:
    return round((died_ns - then_ns) * 1e-9, 6) if then_ns else None


def _utc(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
