"""Takes requests from the control socket and answers each when what it asks for has come about."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

from dolphin_mp.ipc import _core
from dolphin_mp.parent import commands
from dolphin_mp.parent.control import BadRequestError
from dolphin_mp.status import status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dolphin_mp.ipc import Board
    from dolphin_mp.parent.control import ControlServer, Request
    from dolphin_mp.plan import Plan
    from dolphin_mp.supervision.vocabulary import ComponentStatus

Entry = TypeVar("Entry")
MOST_WAITING = 256  # chosen: a client that floods must not fill the memory


class Desk:
    """Stands between clients and the supervisor.

    Args:
        control: the socket.
        board: what `status` is read from.
        rows: gives what is seen of every component now.
        change: hands an event to the supervisor.
        shut_down: begins the system's end.
        reload: begins a reload, which answers by itself.
        plan: gives the plan that holds.
        scale: goes over to a plan with other instances; raises BadRequestError.
    """

    def __init__(
        self,
        control: ControlServer,
        board: Board,
        rows: Callable[[], Mapping[str, ComponentStatus]],
        change: Callable[[commands.Event], None],
        shut_down: Callable[[], None],
        reload: Callable[..., None],
        plan: Callable[[], Plan],
        scale: Callable[[Plan], None],
    ) -> None:
        self._control = control
        self._board = board
        self._rows = rows
        self._change = change
        self._shut_down = shut_down
        self._reload = reload
        self._plan = plan
        self._scale = scale
        self._pending: list[commands.Pending | commands.PendingScale] = []
        self._farewells: list[Request] = []

    def serve(self) -> None:
        """Take what requests there are."""
        for request in self._control.requests():
            try:
                commands.check(request)
                self._obey(request)
            except BadRequestError as error:
                self._control.fail(request, error)

    def _obey(self, request: Request) -> None:
        match request.command:
            case "ping":
                self._control.answer(request, {"system": self._board.system, "pid": os.getpid()})
            case "status":
                self._control.answer(request, status_of(self._board, _core.boottime_ns()))
            case "reload":
                args = request.args
                self._reload(request, dry_run=args.get("dry_run", False), config=args.get("config"))
            case "shutdown":
                self._wait(request, self._farewells, request)
                self._shut_down()
            case "scale":
                plan, pending = commands.scaling_of(request, self._plan())
                self._scale(plan)
                self._wait(request, self._pending, pending)
                self.answer()  # nothing may have had to be waited for
            case _:
                rows = self._rows()
                event = commands.event_of(request, rows)
                before = rows[event.component].incarnation
                self._wait(request, self._pending, commands.Pending(request, event.component, before))
                self._change(event)

    def _wait(self, request: Request, queue: list[Entry], entry: Entry) -> None:
        """Answer at once who does not want to wait, else put the entry into the queue."""
        if request.args.get("wait", True) is False:
            self._control.answer(request, {"accepted": True})
        elif len(queue) >= MOST_WAITING:
            raise BadRequestError("busy", f"{len(queue)} requests are waiting already: ask again later")
        else:
            queue.append(entry)

    def answer(self) -> None:
        """Answer those whose component has got where it should, or can't."""
        if not self._pending:
            return
        rows, still = self._rows(), []
        for pending in self._pending:
            outcome = pending.outcome(rows)
            if outcome is None:
                still.append(pending)
            elif isinstance(outcome, BadRequestError):
                self._control.fail(pending.request, outcome)
            else:
                self._control.answer(pending.request, outcome)
        self._pending = still

    def say_goodbye(self, exit_code: int | None) -> None:
        """Answer who waits for the system's end, and tell the others that it came first."""
        for request in self._farewells:
            self._control.answer(request, {"system": self._board.system, "exit_code": exit_code})
        for pending in self._pending:
            refusal = BadRequestError("shutting_down", "the system was shut down meanwhile")
            self._control.fail(pending.request, refusal)
