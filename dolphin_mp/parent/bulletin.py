"""What a parent tells of its components: on the board, among their words, and as events for who listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dolphin_mp.ipc import _core
from dolphin_mp.ipc.board import ParentPart, pack_parent, unpack_parent
from dolphin_mp.supervision.vocabulary import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.logs.keeper import Keeper
    from dolphin_mp.parent.control import ControlServer
    from dolphin_mp.parent.roster import Roster
    from dolphin_mp.supervision.vocabulary import ComponentStatus, Report

ON_THE_WAY = frozenset({State.STARTING, State.STOPPING})


class Bulletin:
    """Tells what becomes of a system.

    Args:
        roster: who belongs to it.
        control: publishes events.
        logs: takes what is said of a component.
        listener: hears each event as well.

    Attributes: codes (exit code of each process' last death, as the board is to have it).
    """

    def __init__(
        self,
        roster: Roster,
        control: ControlServer,
        logs: Keeper,
        listener: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self._roster = roster
        self._board = roster.board
        self._control = control
        self._logs = logs
        self._listener = listener
        self.codes: dict[str, int] = {}
        self._settled = True  # before the launch there is nothing to say
        self._latest = ""  # one that was on its way when all were looked at

    def tell(self, event: dict[str, Any]) -> None:
        """Publish an event."""
        self._control.publish(event)
        if self._listener is not None:
            self._listener(event)

    def report(self, action: Report, row: ComponentStatus) -> None:
        """Tell, everywhere, that a component is seen in another state; the row says the same."""
        self.write_down(row)
        self._say(action)
        self.tell(
            {
                "event": "state",
                "component": action.component,
                "state": action.state.value,
                "reason": action.reason,
                "restarts": action.restarts,
                "incarnation": action.incarnation,
                "pid": row.pid,
            }
        )

    def write_down(self, row: ComponentStatus) -> None:
        """Bring a component's row on the board up to date."""
        cell = self._board.parent_cell(self._roster.rows[row.name])
        text = cell.read()
        old = unpack_parent(text) if text else ParentPart()
        is_news = (row.state.value, row.incarnation) != (old.state, old.incarnation)
        part = ParentPart(
            row.state.value,
            row.incarnation,
            row.restarts,
            _core.boottime_ns() if is_news else old.since_ns,
            row.pid or 0,
            self.codes.get(self._roster.parts[row.name].process, 0),
            row.reason,
        )
        cell.write(pack_parent(part))

    def _say(self, action: Report) -> None:
        """Write a state down among the component's own words; one that starts for a reason has died."""
        level = "info"
        if action.state is State.FAILED:
            level = "error"
        elif action.state is State.BACKOFF or (action.state is State.STARTING and action.reason):
            level = "warning"
        text = f"{action.state}: {action.reason}" if action.reason else str(action.state)
        self._logs.say(level, text, action.component)

    def tell_of_bundle(self, event: dict[str, Any]) -> None:
        """Say among a dead component's words where to find more, or why there is no more."""
        level, text = "info", f"`dolphin-mp crashes {event.get('id')}` shows all that is known of this crash"
        if "error" in event:
            level, text = "error", event["error"]
        for name in self._roster.members_of(event["process"]):
            self._logs.say(level, text, name)
        self.tell(event)

    def launched(self, seen: dict[str, ComponentStatus]) -> None:
        """All has been told to start: it is news from now on when nothing is on its way any more."""
        self._settled = False
        self.settle(seen)

    def settle(self, seen: dict[str, ComponentStatus]) -> None:
        """Say once that nothing is on its way any more: who still waits, waits for one in trouble."""
        latest = seen.get(self._latest)
        if self._settled or (latest is not None and latest.state in ON_THE_WAY):
            return
        # from the last, where a start ends: to look at all after each event costs 1,000 of them a second
        on_the_way = (name for name in reversed(seen) if seen[name].state in ON_THE_WAY)
        self._latest = next(on_the_way, "")
        if not self._latest:
            self._settled = True
            states = {name: row.state.value for name, row in seen.items()}
            self.tell({"event": "settled", "system": self._roster.plan.name, "states": states})
