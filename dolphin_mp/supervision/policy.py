"""What follows a death: pure rules on exit codes, rests and restart limits, for one process.

A process with several members (components that share it) has one fate, so their policies are joined into one
`Unit`: the policy that restarts most, the longest patience, the tightest limit, the gravest consequence.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolphin_mp.plan import BackoffPlan, ComponentPlan

# Source: sysexits.h; systemd's RestartPreventExitStatus is commonly set to 78.
EXIT_CONFIG = 78

_RESTART_ORDER = ("always", "on-failure", "never")
_ON_FAILED_ORDER = ("stop", "restart-readers", "ignore")


class Verdict(Enum):
    """What a death leads to, before restart limits are looked at."""

    DONE = "done"
    AGAIN = "again"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Unit:
    """What is supervised as one: a process, its members, and the policy that they have together."""

    process: str
    members: tuple[str, ...]
    restart: str
    backoff: BackoffPlan
    max_restarts: int | None
    within_s: float
    on_failed: str
    ready_within_s: float
    stop_within_s: float


def unit_of(members: Sequence[ComponentPlan]) -> Unit:
    """Join the policies of the components of one process; the first member's back-off counts."""
    limited = [m for m in members if m.max_restarts is not None]
    tightest = min(limited, key=lambda m: m.max_restarts or 0, default=members[0])
    return Unit(
        process=members[0].process,
        members=tuple(m.name for m in members),
        restart=min((m.restart for m in members), key=_RESTART_ORDER.index),
        backoff=members[0].backoff,
        max_restarts=tightest.max_restarts,
        within_s=tightest.within_s,
        on_failed=min((m.on_failed for m in members), key=_ON_FAILED_ORDER.index),
        ready_within_s=max(m.ready_within_s for m in members),
        stop_within_s=max(m.stop_within_s for m in members),
    )


def judge(restart: str, code: int | None) -> Verdict:
    """Say what an exit leads to; ``code`` None is a failure without one (no process, or never ready)."""
    if code == EXIT_CONFIG:
        return Verdict.FAILED
    if code == 0:
        return Verdict.AGAIN if restart == "always" else Verdict.DONE
    return Verdict.FAILED if restart == "never" else Verdict.AGAIN


def next_rest_s(backoff: BackoffPlan, rest_s: float | None) -> float:
    """Give the rest that follows a rest of ``rest_s`` (None: there was none yet), before jitter.

    Grown step by step rather than as ``factor ** n``, which overflows for a component that dies all night.
    """
    if rest_s is None:
        return 0.0
    if rest_s == 0.0:
        return min(backoff.first_s, backoff.max_s)
    return min(rest_s * backoff.factor, backoff.max_s)


def jittered_s(backoff: BackoffPlan, rest_s: float, random: float) -> float:
    """Spread a rest by the plan's jitter; ``random`` is uniform in [0, 1)."""
    return max(0.0, rest_s * (1.0 + backoff.jitter * (2.0 * random - 1.0)))


def within_window(times: tuple[float, ...], now: float, within_s: float) -> tuple[float, ...]:
    """Keep the times that are younger than ``within_s``."""
    return tuple(t for t in times if now - t < within_s)


def exit_text(code: int | None, reason: str = "") -> str:
    """Say how a process ended, tersely; nobody may have seen it."""
    if code is None:
        how = "died unseen"
    elif code == EXIT_CONFIG:
        how = f"bad configuration (exit {code})"
    elif code >= 0:
        how = f"exit {code}"
    else:
        try:
            how = f"killed by {signal.Signals(-code).name}"
        except ValueError:
            how = f"killed by signal {-code}"
    return f"{how}: {reason}" if reason else how
