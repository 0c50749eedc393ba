"""The one loop: descriptors and deadlines in, the supervisor's events; its actions out, processes.

Nothing here decides: an `if` about states belongs in the supervisor. Nothing here waits but the poll, whose
time-out is the least deadline; an idle system never wakes it.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dolphin_mp.ipc import _core
from dolphin_mp.ipc.board import ParentPart, pack_parent
from dolphin_mp.parent import commands
from dolphin_mp.parent.control import BadRequestError, ControlServer, Request
from dolphin_mp.parent.spawner import Line, Spawner, SpawnError
from dolphin_mp.process.assignment import Assignment
from dolphin_mp.process.notify import Listener
from dolphin_mp.status import status_of
from dolphin_mp.supervisor import Supervisor
from dolphin_mp.vocabulary import (
    Ask,
    BecameDone,
    BecameReady,
    Exited,
    Finish,
    Forced,
    Kill,
    Launched,
    Report,
    ShutdownRequested,
    Spawn,
    Spawned,
    SpawnFailed,
    State,
    Terminate,
    Ticked,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.parent.ground import Ground
    from dolphin_mp.plan import Plan
    from dolphin_mp.vocabulary import Action, Event

SETTLED = frozenset({State.READY, State.DONE, State.FAILED, State.STOPPED, State.BACKOFF})


@dataclass
class Child:
    """A forked process: its line until it has reported, then its pid and pidfd."""

    process: str
    incarnation: int
    members: tuple[str, ...]
    line: Line | None
    pid: int = 0
    pidfd: int = -1
    reason: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What children go back to after the fork: the launcher's environment, folder and descriptor limit."""

    environment: dict[str, str]
    cwd: str
    open_files: int


class Orchestrator:
    """Runs a checked system on its ground until the supervisor says that it is over."""

    def __init__(
        self,
        plan: Plan,
        ground: Ground,
        spawner: Spawner,
        surroundings: Surroundings,
        *,
        until_done: bool = False,
        for_s: float | None = None,
        listener: Callable[[dict[str, Any]], None] | None = None,
        tie: int = -1,
    ) -> None:
        self._plan = plan
        self._ground = ground
        self._board = ground.board
        self._spawner = spawner
        self._surroundings = surroundings
        self._supervisor = Supervisor(plan, random.random, until_done)
        self._listener = listener
        self._ends_at = None if for_s is None else time.monotonic() + for_s
        self._rows = {component.name: self._board.add(component.name) for component in plan.components}
        self._children: dict[str, Child] = {}
        self._events: deque[Event] = deque()
        self._pending: list[commands.Pending] = []
        self._farewells: list[Request] = []
        self._exit_code: int | None = None
        self._interrupted = False
        self._settled = False
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._words = Listener(f"{ground.folder}/notify")
        self._control = ControlServer(ground.folder)
        self._zygote_fd = -1
        self._poll(self._words.fileno(), self._hear)
        self._poll(self._control.fileno(), self._serve)
        if tie >= 0:
            self._poll(tie, self._launcher_left)
        self._catch_signals()

    # the loop ---------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Run to the end; gives the system's exit code."""
        self._watch_zygote()
        self._handle(Launched())
        while self._exit_code is None:
            for fd, _ in self._epoll.poll(self._timeout()):
                handler = self._handlers.get(fd)
                if handler is not None:
                    handler()
            now = time.monotonic()
            if self._ends_at is not None and now >= self._ends_at:
                self._ends_at = None
                self._handle(ShutdownRequested())
            if self._supervisor.deadline is not None and now >= self._supervisor.deadline:
                self._handle(Ticked())
            self._serve()
        return self._exit_code

    def _timeout(self) -> float | None:
        if self._control.more():
            return 0.0
        deadlines = [due for due in (self._supervisor.deadline, self._ends_at) if due is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def close(self) -> None:
        """Let go of everything but the control socket; the zygote and parked processes end."""
        for child in self._children.values():
            self._forget(child)
        self._spawner.close()
        self._words.close()
        self._epoll.close()
        signal.set_wakeup_fd(-1)
        self._signals.close()
        self._signals_in.close()

    def say_goodbye(self) -> None:
        """Answer who waits for the end, now that nothing of the system is left, and stop listening."""
        for request in self._farewells:
            self._control.answer(request, {"system": self._plan.name, "exit_code": self._exit_code})
        for pending in self._pending:
            self._control.fail(
                pending.request, BadRequestError("shutting_down", "the system is shutting down")
            )
        self._control.close()

    def _poll(self, fd: int, handler: Callable[[], None]) -> None:
        self._handlers[fd] = handler
        self._epoll.register(fd, select.EPOLLIN)

    def _unpoll(self, fd: int) -> None:
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    # events in --------------------------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        """Hand an event, and those that follow from carrying out its actions, to the supervisor."""
        self._events.append(event)
        if len(self._events) > 1:
            return  # called from an action: the loop below takes it next
        while self._events:
            for action in self._supervisor.handle(self._events[0], time.monotonic()):
                self._act(action)
            self._events.popleft()

    def _catch_signals(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self._signals, self._signals_in = ours, theirs
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        self._poll(ours.fileno(), self._signalled)

    def _signalled(self) -> None:
        for number in set(self._signals.recv(4096)):
            if number == signal.SIGCHLD:
                self._reap()
            elif self._interrupted:
                self._handle(Forced())
            else:
                self._interrupted = True
                self._handle(ShutdownRequested())

    def _launcher_left(self) -> None:
        for fd, handler in list(self._handlers.items()):
            if handler == self._launcher_left:
                self._unpoll(fd)
        self._handle(ShutdownRequested())

    def _hear(self) -> None:
        for word in self._words.words():
            if word.component not in self._rows:
                continue
            child = self._children.get(self._plan.component(word.component).process)
            if word.fact == "ready":
                self._handle(BecameReady(word.component, word.incarnation))
            elif word.fact == "done":
                self._handle(BecameDone(word.component, word.incarnation))
            elif child is not None and child.incarnation == word.incarnation:
                child.reason = word.reason

    def _reported(self, child: Child) -> None:
        """A forked process has said who it is, or died before it could."""
        if child.line is None:
            return
        pid = child.line.here()
        self._unpoll(child.line.socket.fileno())
        child.line.close()
        child.line = None
        if pid is None:
            del self._children[child.process]
            self._handle(SpawnFailed(child.process, child.incarnation, "it died at its birth"))
            return
        child.pid, child.pidfd = pid, os.pidfd_open(pid)
        self._poll(child.pidfd, lambda: self._died(child))
        self._handle(Spawned(child.process, child.incarnation, pid))

    def _died(self, child: Child) -> None:
        """The kernel says that a child is dead: end its group, then reap it, then say so."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        found = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED | os.WNOHANG)
        if found is None:
            return
        self._hear()
        self._forget(child)
        del self._children[child.process]
        code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        self._handle(Exited(child.process, child.incarnation, code, child.reason))

    def _forget(self, child: Child) -> None:
        if child.line is not None:
            self._unpoll(child.line.socket.fileno())
            child.line.close()
            child.line = None
        if child.pidfd >= 0:
            self._unpoll(child.pidfd)
            os.close(child.pidfd)
            child.pidfd = -1

    def _reap(self) -> None:
        """Reap whoever became ours as their subreaper; our own children go the way of their pidfds."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            for child in [c for c in self._children.values() if c.line is not None]:
                if select.select([child.line.socket], [], [], 0)[0]:  # type: ignore[union-attr]
                    self._reported(child)
            own = next((c for c in self._children.values() if c.pid == found.si_pid), None)
            if own is not None:
                self._died(own)
            elif found.si_pid == self._spawner.pid:
                self._zygote_died()
            else:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(found.si_pid, os.WNOHANG)

    # actions out ------------------------------------------------------------------------------------------

    def _act(self, action: Action) -> None:
        match action:
            case Spawn():
                self._spawn(action)
            case Ask(process=process):
                for name in self._members(process):
                    self._board.doorbell(self._rows[name]).ring()
            case Terminate(process=process):
                self._signal(process, signal.SIGTERM)
                self._signal(process, signal.SIGCONT)
            case Kill(process=process):
                self._kill(process)
            case Report():
                self._report(action)
            case Finish(exit_code=code):
                self._exit_code = code

    def _members(self, process: str) -> tuple[str, ...]:
        child = self._children.get(process)
        return child.members if child else ()

    def _spawn(self, action: Spawn) -> None:
        members = action.members or tuple(
            c.name for c in self._plan.components if c.process == action.process
        )
        for name in members:
            self._board.doorbell(self._rows[name]).reset()
        assignment = Assignment(
            self._plan.name,
            action.process,
            action.incarnation,
            self._plan.orphan,
            os.getpid(),
            self._surroundings.open_files,
            self._surroundings.environment,
            self._surroundings.cwd,
            f"{self._ground.folder}/notify",
            tuple(self._plan.component(name) for name in members),
        )
        try:
            line, memory = self._spawner.fork(b"run", assignment.to_json())
        except SpawnError as error:
            self._handle(SpawnFailed(action.process, action.incarnation, str(error)))
            return
        os.close(memory)
        child = Child(action.process, action.incarnation, members, line)
        self._children[action.process] = child
        self._poll(line.socket.fileno(), lambda: self._reported(child))
        self._watch_zygote()

    def _signal(self, process: str, number: int) -> None:
        child = self._children.get(process)
        if child is not None and child.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(child.pidfd, number)

    def _kill(self, process: str) -> None:
        child = self._children.get(process)
        if child is not None and child.pid:
            self._signal(process, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)

    def _report(self, action: Report) -> None:
        row = self._supervisor.rows()[action.component]
        part = ParentPart(
            action.state.value,
            action.incarnation,
            action.restarts,
            _core.boottime_ns(),
            row.pid or 0,
            0,
            action.reason,
        )
        self._board.parent_cell(self._rows[action.component]).write(pack_parent(part))
        self._tell(
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
        self._answer_pending()
        if not self._settled and all(r.state in SETTLED for r in self._supervisor.rows().values()):
            self._settled = True
            states = {name: r.state.value for name, r in self._supervisor.rows().items()}
            self._tell({"event": "settled", "system": self._plan.name, "states": states})

    def _tell(self, event: dict[str, Any]) -> None:
        self._control.publish(event)
        if self._listener is not None:
            self._listener(event)

    # the zygote -------------------------------------------------------------------------------------------

    def _watch_zygote(self) -> None:
        """Poll the present zygote's socket; a new one is started by the next fork, if it died."""
        fd = self._spawner.fileno()
        if fd == self._zygote_fd:
            if fd >= 0:
                more = self._spawner.flush()
                self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if more else 0))
            return
        self._zygote_fd = fd
        if fd >= 0:
            self._poll(fd, self._zygote_spoke)
            self._watch_zygote()

    def _zygote_spoke(self) -> None:
        if self._spawner.read():
            self._watch_zygote()
        else:
            self._zygote_died()

    def _zygote_died(self) -> None:
        if self._zygote_fd >= 0:
            self._unpoll(self._zygote_fd)
            self._zygote_fd = -1
        self._spawner.lost()
        self._tell({"event": "zygote", "reason": "the zygote died; the next start brings another"})

    # requests ---------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        for request in self._control.requests():
            try:
                self._obey(request)
            except BadRequestError as error:
                self._control.fail(request, error)
        self._answer_pending()

    def _obey(self, request: Request) -> None:
        if request.command == "ping":
            self._control.answer(request, {"system": self._plan.name, "pid": os.getpid()})
        elif request.command == "status":
            self._control.answer(request, status_of(self._board, _core.boottime_ns()))
        elif request.command in {"start", "stop", "restart", "shutdown"}:
            rows = self._supervisor.rows()
            event = commands.event_of(request, rows)
            if request.args.get("wait", True) is False:
                self._control.answer(request, {"accepted": True})
            elif request.command == "shutdown":
                self._farewells.append(request)
            else:
                component = request.args["component"]
                self._pending.append(commands.Pending(request, component, rows[component].incarnation))
            self._handle(event)
        else:
            raise commands.unknown(request.command)

    def _answer_pending(self) -> None:
        rows = self._supervisor.rows() if self._pending else {}
        for pending in list(self._pending):
            outcome = pending.outcome(rows[pending.component])
            if outcome is None or self._events:
                continue
            self._pending.remove(pending)
            if isinstance(outcome, BadRequestError):
                self._control.fail(pending.request, outcome)
            else:
                self._control.answer(pending.request, outcome)
