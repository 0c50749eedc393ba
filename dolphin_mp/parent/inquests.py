"""What is found out about processes that died, or are about to, and what of that is kept."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from dolphin_mp.crashes.coroner import Coroner
from dolphin_mp.crashes.reporter import Reporter
from dolphin_mp.crashes.shelf import crashes_folder
from dolphin_mp.hang.stacks import ask_for_stacks, kernel_view
from dolphin_mp.ipc import _core
from dolphin_mp.parent.estate import born_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dolphin_mp.crashes.coroner import Finding
    from dolphin_mp.parent.child import Child
    from dolphin_mp.parent.estate import Estate
    from dolphin_mp.parent.poller import Poller
    from dolphin_mp.parent.roster import Roster
    from dolphin_mp.plan import Plan
    from dolphin_mp.supervision.vocabulary import ComponentStatus, Exited


class Inquests:
    """One about each death.

    Args:
        roster: who belongs to the system.
        poller: tells when something has been written.
        folder: the system's runtime folder.
        tell: publishes what became of a bundle.
    """

    def __init__(
        self, roster: Roster, poller: Poller, folder: str, tell: Callable[[dict[str, Any]], None]
    ) -> None:
        self._roster = roster
        self._coroner = Coroner(roster.plan, roster.board, folder)
        self._reporter = Reporter(poller, crashes_folder(roster.plan.name), tell)

    def take_plan(self, plan: Plan) -> None:
        """Go over to another plan."""
        self._coroner.take_plan(plan)

    def catch_up(self, estate: Estate) -> None:
        """Examine who died unseen before this parent, but for those whose death is still to be told."""
        spared = {(found.process, found.incarnation) for found in estate.adoptees}
        spared |= {(death.process, death.incarnation) for death in estate.deaths}
        for finding in self._coroner.examine_unread(spared):
            self._reporter.report(finding)

    def note_plight(
        self, process: str, incarnation: int, names: Iterable[str], *, pid: int, pidfd: int
    ) -> None:
        """Have a process say where it is, and note what the kernel says of it."""
        self._coroner.note_plight(process, incarnation, self._roster.parts_of(names), kernel_view(pid))
        ask_for_stacks(pid, pidfd)

    def open(
        self, death: Exited, child: Child, seen: Mapping[str, ComponentStatus], *, forced: bool
    ) -> Callable[[], Finding | None]:
        """Give what examines a death, now that it is known; to be called once, as soon as there is time."""
        return partial(
            self._coroner.examine,
            death,
            self._roster.parts_of(child.members),
            seen,
            spawned_ns=child.spawned_ns or born_ns(self._roster.read(child.members)) or _core.boottime_ns(),
            died_ns=_core.boottime_ns(),
            forced=forced,
        )

    def report(self, finding: Finding | None) -> None:
        """Have it written down, if it is of a crash."""
        if finding is not None:
            self._reporter.report(finding)

    def close(self) -> None:
        """Wait, within a bound, until what was found is written."""
        self._reporter.close()
