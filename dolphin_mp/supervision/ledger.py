"""What is seen of every component, and what of that has changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dolphin_mp.supervision.life import Life, Phase
from dolphin_mp.supervision.vocabulary import ComponentStatus, Report, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Ledger:
    """One row a component, written from the lives of processes."""

    def __init__(self, components: Iterable[str]) -> None:
        self._rows: dict[str, ComponentStatus] = {}
        self.hold(components)

    def hold(self, components: Iterable[str]) -> None:
        """Have rows of these components, in this order: of those not known yet new ones, and no others."""
        new = ComponentStatus("", State.WAITING, "", 0, 0, None, 0.0)
        self._rows = {name: self._rows.get(name) or replace(new, name=name) for name in components}

    def rows(self) -> dict[str, ComponentStatus]:
        """Give all rows, in the order of the plan."""
        return dict(self._rows)

    def row(self, component: str) -> ComponentStatus:
        """Give the row of one component."""
        return self._rows[component]

    def enter(self, life: Life, blockers: Mapping[str, State], now: float) -> list[Report]:
        """Bring the rows of a process' members up to date; give a report of each that looks different.

        Args:
            life: The process.
            blockers: The components that it waits for, and their states.
            now: The time of the change.
        """
        reports: list[Report] = []
        for name in life.unit.members:
            old = self._rows[name]
            row = self._rows[name] = _row(name, life, blockers, old, now)
            report, before = _report(row), _report(old)
            if report != before:
                reports.append(report)
        return reports


def _row(
    name: str, life: Life, blockers: Mapping[str, State], old: ComponentStatus, now: float
) -> ComponentStatus:
    state = life.state_of(name)
    return ComponentStatus(
        name=name,
        state=state,
        reason=_reason(state, life, blockers),
        restarts=life.restarts,
        incarnation=life.incarnation,
        pid=None if state is State.DONE else life.pid,
        since=old.since if state is old.state else now,
    )


def _report(row: ComponentStatus) -> Report:
    return Report(row.name, row.state, row.reason, row.restarts, row.incarnation)


def _reason(state: State, life: Life, blockers: Mapping[str, State]) -> str:
    match state:
        case State.READY:
            return ""
        case State.DONE:
            return life.reason if life.phase is Phase.DONE else ""
        case State.WAITING:
            return _waits_for(blockers) if blockers else life.reason
        case _ if life.phase is Phase.UNKILLABLE:
            return f"unkillable: {life.reason}" if life.reason else "unkillable"
        case _:
            return life.reason


def _waits_for(blockers: Mapping[str, State]) -> str:
    """Name those waited for, and of each that will not come by itself why not."""
    gone = (State.STOPPED, State.FAILED)
    return "waits for " + ", ".join(f"{n} ({s})" if s in gone else n for n, s in blockers.items())
