"""What a request over the control socket means: an event for the supervisor, and when it is answered."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dolphin_mp.parent.control import BadRequestError, Request
from dolphin_mp.scaling import ScaleError, instances_of, pools_of, scaled
from dolphin_mp.supervision.vocabulary import (
    RestartRequested,
    StartRequested,
    State,
    StopRequested,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dolphin_mp.plan import Plan
    from dolphin_mp.supervision.vocabulary import ComponentStatus

    Event = StartRequested | StopRequested | RestartRequested

ARGS: dict[str, frozenset[str]] = {
    "ping": frozenset(),
    "reload": frozenset({"config", "dry_run"}),
    "restart": frozenset({"component", "wait"}),
    "scale": frozenset({"pool", "instances", "wait"}),
    "shutdown": frozenset({"wait"}),
    "start": frozenset({"component", "wait"}),
    "status": frozenset(),
    "stop": frozenset({"component", "wait"}),
}
_EVENTS: dict[str, type[StartRequested | StopRequested | RestartRequested]] = {
    "start": StartRequested,
    "stop": StopRequested,
    "restart": RestartRequested,
}
Outcome = dict[str, Any] | BadRequestError | None
_DOWN = frozenset({State.STOPPED, State.DONE, State.FAILED})
_UP = frozenset({State.READY, State.DONE})


@dataclass(frozen=True, slots=True)
class Pending:
    """A request whose answer waits for its component to get where it should."""

    request: Request
    component: str
    before: int  # the incarnation when it was asked

    def outcome(self, rows: Mapping[str, ComponentStatus]) -> Outcome:
        """Give the result or the failure once there is one, else None."""
        row = rows.get(self.component)
        if row is None:
            return BadRequestError("no_such_component", f"{self.component} is no longer part of the system")
        if self.request.command == "stop":
            return result_of(row) if row.state in _DOWN else None
        if row.state is State.FAILED or (row.state is State.BACKOFF and row.incarnation > self.before):
            return BadRequestError("failed", f"{row.name} is {row.state.value}: {row.reason}")
        again = self.request.command == "start" or row.incarnation > self.before
        return result_of(row) if row.state in _UP and again else None


@dataclass(frozen=True, slots=True)
class PendingScale:
    """A request to scale a pool, answered when its new instances are up and those too many are gone."""

    request: Request
    pool: str
    names: tuple[str, ...]
    added: frozenset[str]

    def outcome(self, rows: Mapping[str, ComponentStatus]) -> Outcome:
        """Give the result or the failure once there is one, else None."""
        its = {name: row for name, row in rows.items() if name.startswith(f"{self.pool}@")}
        if its.keys() != set(self.names):
            return None
        for name in self.added:
            if its[name].state in {State.FAILED, State.BACKOFF}:
                return BadRequestError("failed", f"{name} is {its[name].state.value}: {its[name].reason}")
        if any(its[name].state not in _UP | _DOWN for name in self.added):
            return None
        return {"pool": self.pool, "instances": [result_of(its[name]) for name in self.names]}


def scaling_of(request: Request, plan: Plan) -> tuple[Plan, PendingScale]:
    """Give the plan that a request to scale a pool asks for; raises BadRequestError."""
    pool, count = request.args.get("pool"), request.args.get("instances")
    if not isinstance(pool, str) or not isinstance(count, int) or isinstance(count, bool):
        raise BadRequestError("bad_request", 'scale needs {"pool": NAME, "instances": NUMBER}')
    if pool not in pools_of(plan):
        pools = ", ".join(pools_of(plan)) or "none"
        raise BadRequestError("no_such_component", f"no pool {_short(pool)}; pools: {pools}")
    try:
        new = scaled(plan, pool, count)
    except ScaleError as error:
        raise BadRequestError("bad_request", str(error)) from None
    before = {component.name for component in instances_of(plan, pool)}
    names = tuple(component.name for component in instances_of(new, pool))
    return new, PendingScale(request, pool, names, frozenset(names) - before)


def check(request: Request) -> None:
    """Raise BadRequestError for a command that does not exist, with the nearest one, or args not its own."""
    known = ARGS.get(request.command)
    if known is None:
        near = difflib.get_close_matches(request.command, ARGS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(ARGS)}"
        raise BadRequestError("bad_command", f"no command {_short(request.command)}; {hint}")
    for key in request.args:
        if key not in known:
            takes = ", ".join(sorted(known)) or "no args"
            raise BadRequestError("bad_request", f"{request.command} takes {takes}, not {_short(key)}")
    for key in ("wait", "dry_run"):
        if not isinstance(request.args.get(key, True), bool):
            raise BadRequestError("bad_request", f'"{key}" is true or false')
    if not isinstance(request.args.get("config"), str | None):
        raise BadRequestError("bad_request", '"config" is an absolute path')


def event_of(request: Request, rows: Mapping[str, ComponentStatus]) -> Event:
    """Give the supervisor's event for a checked request that changes a component; raises BadRequestError."""
    return _EVENTS[request.command](component_of(request, rows))


def component_of(request: Request, rows: Mapping[str, ComponentStatus]) -> str:
    """Give the component that a request names; raises BadRequestError with the nearest one there is."""
    component = request.args.get("component")
    if not isinstance(component, str):
        raise BadRequestError("bad_request", f'{request.command} needs {{"component": NAME}}')
    instances = [name for name in rows if name.startswith(f"{component}@")]
    if component not in rows and instances:
        text = f"{_short(component)} is a pool: name one of {', '.join(instances[:8])}"
        raise BadRequestError("no_such_component", text + (", …" if len(instances) > 8 else ""))
    if component not in rows:
        near = difflib.get_close_matches(component, rows, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(rows))}"
        raise BadRequestError("no_such_component", f"no component {_short(component)}{hint}")
    return component


def _short(word: str) -> str:
    return repr(word if len(word) <= 60 else word[:60] + "…")


def result_of(row: ComponentStatus) -> dict[str, Any]:
    """Give what a client is told of a component."""
    return {
        "component": row.name,
        "state": row.state.value,
        "pid": row.pid,
        "restarts": row.restarts,
        "incarnation": row.incarnation,
        "reason": row.reason,
    }
