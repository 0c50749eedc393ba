"""What a request over the control socket means: an event for the supervisor, and when it is answered."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dolphin_mp.parent.control import BadRequestError, Request
from dolphin_mp.vocabulary import RestartRequested, ShutdownRequested, StartRequested, State, StopRequested

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dolphin_mp.vocabulary import ComponentStatus

    Event = StartRequested | StopRequested | RestartRequested | ShutdownRequested

COMMANDS = ("ping", "read", "restart", "shutdown", "start", "status", "stop")
_EVENTS = {"start": StartRequested, "stop": StopRequested, "restart": RestartRequested}
_DOWN = frozenset({State.STOPPED, State.DONE, State.FAILED})
_UP = frozenset({State.READY, State.DONE})


@dataclass(frozen=True, slots=True)
class Pending:
    """A request whose answer waits for its component to get where it should."""

    request: Request
    component: str
    before: int  # the incarnation when it was asked

    def outcome(self, row: ComponentStatus) -> dict[str, Any] | BadRequestError | None:
        """Give the result or the failure once there is one, else None."""
        if self.request.command == "stop":
            return _result(row) if row.state in _DOWN else None
        if row.state is State.FAILED or (row.state is State.BACKOFF and row.incarnation > self.before):
            return BadRequestError("failed", f"{row.name} is {row.state.value}: {row.reason}")
        again = self.request.command == "start" or row.incarnation > self.before
        return _result(row) if row.state in _UP and again else None


def event_of(request: Request, rows: Mapping[str, ComponentStatus]) -> Event:
    """Give the supervisor's event for a request that changes the system; raises BadRequestError."""
    known = {"wait"} if request.command == "shutdown" else {"component", "wait"}
    for key in request.args:
        if key not in known:
            raise BadRequestError(
                "bad_request", f"{request.command} takes {', '.join(sorted(known))}, not {key!r}"
            )
    if request.command == "shutdown":
        return ShutdownRequested()
    component = component_of(request, rows)
    return _EVENTS[request.command](component)  # type: ignore[return-value]


def component_of(request: Request, rows: Mapping[str, ComponentStatus]) -> str:
    """Give the component that a request names; raises BadRequestError with the nearest one there is."""
    component = request.args.get("component")
    if not isinstance(component, str):
        raise BadRequestError("bad_request", f'{request.command} needs {{"component": NAME}}')
    if component not in rows:
        near = difflib.get_close_matches(component, rows, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(rows))}"
        raise BadRequestError("no_such_component", f"no component {component!r}{hint}")
    return component


def unknown(command: str) -> BadRequestError:
    """Give the error for a command that does not exist."""
    near = difflib.get_close_matches(command, COMMANDS, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COMMANDS)}"
    return BadRequestError("bad_command", f"no command {command!r}; {hint}")


def _result(row: ComponentStatus) -> dict[str, Any]:
    return {
        "component": row.name,
        "state": row.state.value,
        "pid": row.pid,
        "restarts": row.restarts,
        "incarnation": row.incarnation,
        "reason": row.reason,
    }
