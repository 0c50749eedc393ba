"""A change of plan under way: first those go down whose channels or members change, then the new one holds.

Until then the old plan is in force in every respect, so that a shutdown or a failure in the midst of it is
like any other. Those that go down do so against the data flow and stay down; all that the new plan says about
the others, and every start, comes after.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dolphin_mp.supervision.flow import Ebb, members_of, part_of
from dolphin_mp.supervision.life import GOING, RELOAD, RUNNING, Life, Phase, Then, Withdrawn
from dolphin_mp.supervision.policy import unit_of
from dolphin_mp.supervision.replan import changes_between

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dolphin_mp.plan import Plan
    from dolphin_mp.supervision.flow import Flow, Names
    from dolphin_mp.supervision.policy import Unit


class Reload:
    """One change of plan, until the new plan holds.

    Attributes: plan (the new one); changes.
    """

    def __init__(self, old: Plan, new: Plan, flow: Flow) -> None:
        self.plan = new
        self.changes = changes_between(old, new)
        self._ebb = Ebb(part_of(flow, self.changes.drained))
        self._withdrawn: set[str] = set()
        self._moves = {c.name for c in old.components if c.process in self.changes.drained}

    def first(self) -> Names:
        """Give the processes that are to go down first."""
        return self._ebb.first()

    def heard(self, process: str, event: object, life: Life) -> Names:
        """Note what an event made of a process; give those whose turn to go down has come by that."""
        if isinstance(event, Withdrawn):
            self._withdrawn.add(process)
        if process not in self._withdrawn or life.phase in RUNNING | GOING:
            return ()
        return self._ebb.went_down(process)

    def held(self, life: Life) -> Life:
        """Give the process, which an operator may have ordered back before it may come."""
        is_early = life.then is Then.START and self.holds_back(life.unit.process)
        return replace(life, then=Then.RELOAD) if is_early else life

    def holds_back(self, process: str) -> bool:
        """Whether a process may not start before the new plan holds."""
        return process in self._withdrawn

    @property
    def is_drained(self) -> bool:
        """Whether all that have to be down are."""
        return self._ebb.is_over

    def lives_after(self, lives: Mapping[str, Life]) -> dict[str, Life]:
        """Give the processes of the new plan: new ones, and what the others have become."""
        after: dict[str, Life] = {}
        for process, members in members_of(self.plan).items():
            life = lives.get(process)
            unit = unit_of(members)
            if life is None:
                after[process] = Life(unit)
            elif self.is_renewed(process, unit.members):
                after[process] = self._renewed(life, unit)
            else:
                after[process] = replace(life, unit=unit)
        return after

    def _renewed(self, life: Life, unit: Unit) -> Life:
        """Forget what was counted, and that it ended or failed; what an operator has stopped stays so."""
        done = life.done.intersection(unit.members) & self.changes.bound
        life = replace(life, unit=unit, done=done, rest_s=None, recent=())
        if life.phase in {Phase.FAILED, Phase.DONE}:
            life = replace(life, phase=Phase.WAITING, reason=RELOAD)
        return replace(life, ready=frozenset()) if unit.process in self.changes.drained else life

    def is_renewed(self, process: str, members: Names) -> bool:
        """Whether the new plan says something else about a process, so that it starts anew."""
        return process in self.changes.drained or any(name in self.changes.restarted for name in members)

    def still_proven(self, component: str, life: Life) -> bool:
        """Whether one that was proven is so under the new plan: not if its readers are to wait for it again.

        One that an operator has stopped holds up nobody, or they would wait for long.
        """
        return component not in self._moves or life.phase is Phase.STOPPED
