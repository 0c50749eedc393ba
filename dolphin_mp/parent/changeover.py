"""What a system goes over to with another plan: its zygote, its memory, and who belongs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolphin_mp.ipc import ChannelError
from dolphin_mp.parent.inspection import Inspection
from dolphin_mp.supervision.vocabulary import Replanned

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.ipc.segment import Segment
    from dolphin_mp.logs.keeper import Keeper
    from dolphin_mp.parent.assigning import Surroundings
    from dolphin_mp.parent.children import Children
    from dolphin_mp.parent.ground import Ground
    from dolphin_mp.parent.inquests import Inquests
    from dolphin_mp.parent.inspection import Outcome
    from dolphin_mp.parent.poller import Poller
    from dolphin_mp.parent.roster import Roster
    from dolphin_mp.parent.spawner import Spawner
    from dolphin_mp.plan import Plan
    from dolphin_mp.supervision.replan import Changes
    from dolphin_mp.supervision.vocabulary import Rewire


class Changeover:
    """The steps of a change of plan, for whoever knows when each is due.

    Args:
        roster: who belongs to the system.
        ground: has the memory.
        surroundings: of the launch.
        spawner: has the present zygote.
        poller: tells of a check's end.
        children: the processes.
        inquests: are to know the plan.
        logs: has a pipe of each process.
        handle: hands an event to the supervisor.
    """

    def __init__(
        self,
        roster: Roster,
        ground: Ground,
        surroundings: Surroundings,
        spawner: Spawner,
        poller: Poller,
        children: Children,
        inquests: Inquests,
        logs: Keeper,
        handle: Callable[[Replanned], None],
    ) -> None:
        self._roster = roster
        self._ground = ground
        self._surroundings = surroundings
        self._spawner = spawner
        self._poller = poller
        self._children = children
        self._inquests = inquests
        self._logs = logs
        self._handle = handle

    def present_plan(self) -> Plan:
        """Give the plan that holds now."""
        return self._roster.plan

    def new_spawner(self) -> Spawner:
        """Give a spawner like the present one, without a zygote yet."""
        return self._spawner.like()

    def retire(self, spawner: Spawner) -> None:
        """Let a spawner go, and see to it that its zygote ends."""
        self._children.retire(spawner)

    def inspect(self, config: str, spawner: Spawner, done: Callable[[Outcome], None]) -> Inspection:
        """Have a configuration checked beside the loop; raises SpawnError."""
        return Inspection(config, self._surroundings, spawner, self._poller, self._children, done)

    def prepare(self, plan: Plan, changes: Changes) -> dict[str, Segment]:
        """Reserve the memory of new channels; raises ChannelError, OSError, ValueError."""
        return self._ground.prepare(plan, changes)

    def change(self, plan: Plan, spawner: Spawner | None, *, trusted: bool) -> None:
        """Go over to another plan, and to another zygote if there is one; `Rewire` follows, maybe later."""
        if spawner is not None:
            self._spawner = spawner
            self._children.change_spawner(spawner)
            spawner.preload(plan, trusted=trusted)
        self._handle(Replanned(plan))

    def rewire(self, action: Rewire, prepared: dict[str, Segment]) -> None:
        """Have the new plan hold: its memory, its rows, its pipes."""
        plan = action.plan
        try:
            self._ground.rewire(plan, action.changes, prepared)
        except ChannelError as error:  # who needs the channel will say so too, again and again
            self._logs.say("error", str(error))
        self._roster.take_plan(plan)
        self._inquests.take_plan(plan)
        self._logs.hold([component.process for component in plan.components], tuple(self._roster.parts))

    def has_changed(self) -> None:
        """Note that every process runs what the new plan says."""
        self._ground.settled()
