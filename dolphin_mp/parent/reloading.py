"""Takes a system from its present plan to what its configuration says now, or says why not.

The configuration is checked beside the loop. Nothing changes unless it is without faults and all memory that
it needs could be reserved. One reload at a time; a shutdown ends it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dolphin_mp.faults import ConfigurationError
from dolphin_mp.ipc import ChannelError
from dolphin_mp.parent.commands import result_of
from dolphin_mp.parent.control import BadRequestError
from dolphin_mp.parent.spawner import SpawnError
from dolphin_mp.supervision.replan import changes_between
from dolphin_mp.supervision.vocabulary import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dolphin_mp.ipc.segment import Segment
    from dolphin_mp.parent.changeover import Changeover
    from dolphin_mp.parent.control import Request
    from dolphin_mp.parent.inspection import Inspection, Outcome
    from dolphin_mp.parent.spawner import Spawner
    from dolphin_mp.plan import Plan
    from dolphin_mp.supervision.replan import Changes
    from dolphin_mp.supervision.vocabulary import ComponentStatus

ON_THE_WAY = frozenset({State.STARTING, State.STOPPING})
_OVER = "the system was shut down meanwhile"
NO_FILE = "this system was not launched from a file: launch it anew, or steer its components one by one"


class Reloader:
    """Carries out one reload after the other.

    Args:
        changeover: carries out the steps of a change.
        config: the absolute path of the configuration, "" for a system without a file.
        answer: sends a result.
        fail: sends an error.
        tell: publishes an event for people.
        is_brief: components stop with their parent, whatever the configuration says.
    """

    def __init__(
        self,
        changeover: Changeover,
        config: str,
        answer: Callable[[Request, Any], None],
        fail: Callable[[Request, BadRequestError], None],
        tell: Callable[[dict[str, Any]], None],
        *,
        is_brief: bool = False,
    ) -> None:
        self._changeover = changeover
        self._config = config
        self._answer = answer
        self._fail = fail
        self._tell = tell
        self._is_brief = is_brief
        self._request: Request | None = None
        self._is_dry = False
        self._inspection: Inspection | None = None
        self._spawner: Spawner | None = None
        self._prepared: dict[str, Segment] = {}
        self._changes: Changes | None = None
        self._event = "reload"
        self._holds = False
        self._is_over = False

    @property
    def deadline(self) -> float | None:
        """When `tick` is to be called."""
        return self._inspection.deadline if self._inspection is not None else None

    @property
    def is_busy(self) -> bool:
        """Whether a reload is under way."""
        return self._inspection is not None or self._changes is not None

    def begin(self, request: Request | None, *, dry_run: bool = False, config: str | None = None) -> None:
        """Begin a reload; None is a request whose answer nobody waits for. Raises BadRequestError."""
        if self._is_over:
            raise BadRequestError("shutting_down", _OVER)
        if not self._config:
            raise BadRequestError("no_configuration", NO_FILE)
        if config not in {None, self._config}:
            raise BadRequestError(
                "bad_request", f"this system was launched from {self._config}, not {config}"
            )
        if self.is_busy:
            raise BadRequestError("busy", "a reload is under way: ask again when it is done")
        self._request, self._is_dry, self._event = request, dry_run, "reload"
        spawner = self._changeover.new_spawner()
        try:
            self._inspection = self._changeover.inspect(self._config, spawner, self._inspected)
        except SpawnError as error:
            spawner.close()
            raise BadRequestError("failed", str(error)) from None
        self._spawner = spawner

    def begin_unasked(self) -> None:
        """Begin a reload that nobody waits for; why it can't be is told."""
        try:
            self.begin(None)
        except BadRequestError as error:
            self._tell({"event": "reload", "ok": False, "reason": str(error), "faults": [str(error)]})

    def scale(self, plan: Plan) -> None:
        """Go over to a plan of the same code with other instances. Raises BadRequestError."""
        if self._is_over:
            raise BadRequestError("shutting_down", _OVER)
        if self.is_busy:
            raise BadRequestError("busy", "the system is about to change: ask again when it has")
        changes = changes_between(self._changeover.present_plan(), plan)
        if changes.is_nothing:
            return
        try:
            self._prepared = self._changeover.prepare(plan, changes)
        except (ChannelError, OSError, ValueError) as error:
            raise BadRequestError("failed", f"nothing was changed: {error}") from None
        self._request, self._is_dry, self._event = None, False, "scale"
        self._changes, self._holds = changes, False
        self._changeover.change(plan, None, trusted=True)

    def tick(self) -> None:
        """Give up on a check that takes too long."""
        if self._inspection is not None:
            self._inspection.tick()

    # the check is over --------------------------------------------------------------------------------------

    def _inspected(self, outcome: Outcome) -> None:
        self._inspection = None
        if isinstance(outcome, Exception):
            self._refuse(outcome)
            return
        plan, trusted = outcome
        if self._is_brief:
            plan = replace(plan, orphan="stop")
        present = self._changeover.present_plan()
        if plan.name != present.name:
            text = f"system.name: it is {plan.name} now, but the system that runs is {present.name}"
            self._refuse(ConfigurationError([f"{text}: shut that down and launch this"]))
            return
        changes = changes_between(present, plan)
        if self._is_dry or changes.is_nothing:
            self._let_spawner_go()
            self._finish(changes, {})
            return
        self._apply(plan, changes, trusted=trusted)

    def _apply(self, plan: Plan, changes: Changes, *, trusted: bool) -> None:
        try:
            self._prepared = self._changeover.prepare(plan, changes)
        except (ChannelError, OSError, ValueError) as error:
            self._refuse(error)
            return
        spawner, self._spawner = self._spawner, None
        assert spawner is not None
        self._changes, self._holds = changes, False
        self._changeover.change(plan, spawner, trusted=trusted)

    def take_prepared(self) -> dict[str, Segment]:
        """Give the segments that were prepared, now that the new plan holds."""
        self._holds = True
        prepared, self._prepared = self._prepared, {}
        return prepared

    def look(self, rows: Mapping[str, ComponentStatus]) -> None:
        """Answer, if all that the new plan concerns has got where it can get for now."""
        if self._changes is None or not self._holds:
            return
        concerned = [*self._changes.added, *self._changes.restarted]
        if not any(rows[name].state in ON_THE_WAY for name in concerned):
            changes, self._changes = self._changes, None
            self._changeover.has_changed()
            self._finish(changes, {name: rows[name] for name in concerned})

    # how it ends --------------------------------------------------------------------------------------------

    def _finish(self, changes: Changes, rows: Mapping[str, ComponentStatus]) -> None:
        request, self._request = self._request, None
        result = {
            "system": self._changeover.present_plan().name,
            "config": self._config,
            "dry_run": self._is_dry,
            **changes.to_data(),
            "components": [result_of(row) for row in rows.values()],
        }
        if not self._is_dry:
            self._tell({"event": self._event, "ok": True, **result})
        if request is not None:
            self._answer(request, result)

    def _refuse(self, error: Exception) -> None:
        self._let_spawner_go()
        request, self._request = self._request, None
        faults = list(error.faults) if isinstance(error, ConfigurationError) else [str(error)]
        code = "bad_configuration" if isinstance(error, ConfigurationError) else "failed"
        what = "nothing was changed" if not self._is_dry else "nothing would be changed"
        message = f"{len(faults)} faults, {what}: {faults[0]}" if len(faults) > 1 else f"{what}: {faults[0]}"
        told = {"event": "reload", "ok": False, "config": self._config, "reason": message, "faults": faults}
        if not self._is_dry:
            self._tell(told)
        if request is not None:
            self._fail(request, BadRequestError(code, message, faults))

    def _let_spawner_go(self) -> None:
        if self._spawner is not None:
            self._changeover.retire(self._spawner)
            self._spawner = None

    def cancel(self) -> None:
        """The system shuts down: whatever was under way is dropped."""
        self._is_over = True
        if self._inspection is not None:
            self._inspection.close()
            self._inspection = None
        self._let_spawner_go()
        for segment in self._prepared.values():
            segment.close()
        self._prepared = {}
        self._changes = None
        request, self._request = self._request, None
        if request is not None:
            self._fail(request, BadRequestError("shutting_down", _OVER))
