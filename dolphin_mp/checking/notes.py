"""What is no fault and yet not likely meant: a restart limit out of reach, restarts without a rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dolphin_mp.plan import BackoffPlan, ComponentPlan


def policy_notes(components: Iterable[ComponentPlan]) -> tuple[str, ...]:
    """Give a line for each policy that can't do what it says."""
    notes = []
    processes = {component.process: component for component in components}  # whose members agree
    for component in processes.values():
        if component.restart == "never":
            continue
        place = f"components.{component.name}"
        most = most_restarts(component.backoff, component.within_s, component.max_restarts or 0)
        if most is not None:
            notes.append(
                f"{place}.max_restarts = {component.max_restarts} is never passed: the back-off lets at most "
                f"{most} restarts come within {component.within_s:g} s"
            )
        if component.max_restarts is None and (cause := restless(component.backoff)):
            notes.append(
                f"{place}.backoff: {cause} has it restarted without a rest each time: that costs a core"
            )
    return tuple(notes)


def most_restarts(backoff: BackoffPlan, within_s: float, limit: int) -> int | None:
    """Give how many restarts can come within the window if that is less than the limit takes; else None.

    One that dies as soon as it starts is restarted at once and then after the growing rests, the jitter in
    its favour. Nothing is said where the back-off may be reset inside the window.
    """
    if backoff.reset_after_s < within_s:
        return None
    passed_s, rest_s, count = 0.0, min(backoff.first_s, backoff.max_s), 1
    while count < limit:
        passed_s += rest_s * (1.0 - backoff.jitter)
        if passed_s >= within_s:
            return count
        rest_s = min(rest_s * backoff.factor, backoff.max_s)
        count += 1
    return None


def restless(backoff: BackoffPlan) -> str:
    """Say what makes a back-off rest for nothing; empty if nothing does."""
    if backoff.first_s == 0.0:
        return "first = 0"
    return "reset_after = 0" if backoff.reset_after_s == 0.0 else ""
