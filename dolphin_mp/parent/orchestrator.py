"""The one loop: descriptors and deadlines in, the supervisor's events; its actions out, processes.

Nothing here decides: an `if` about states belongs in the supervisor. Nothing here waits but the poll, whose
time-out is the least deadline; an idle system never wakes it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import time
from collections import deque
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dolphin_mp.crashes.coroner import Coroner
from dolphin_mp.crashes.reporter import Reporter
from dolphin_mp.crashes.shelf import crashes_folder
from dolphin_mp.hang.stacks import ask_for_stacks, kernel_view
from dolphin_mp.hang.watch import HangWatch
from dolphin_mp.ipc import ChannelError, _core
from dolphin_mp.ipc.board import UNSEEN, ParentPart, pack_parent, unpack_parent
from dolphin_mp.logs.keeper import Keeper
from dolphin_mp.parent.child import Child
from dolphin_mp.parent.children import Children
from dolphin_mp.parent.control import BadRequestError, ControlServer
from dolphin_mp.parent.desk import Desk
from dolphin_mp.parent.estate import take_over, trace_of
from dolphin_mp.parent.hearing import Hearing
from dolphin_mp.parent.inspection import Inspection, Outcome
from dolphin_mp.parent.poller import Poller
from dolphin_mp.parent.reloading import Reloader
from dolphin_mp.process.assignment import Assignment
from dolphin_mp.supervision.inheritance import exit_word
from dolphin_mp.supervision.supervisor import Supervisor
from dolphin_mp.supervision.vocabulary import (
    Ask,
    BecameDone,
    BecameReady,
    DumpStacks,
    Exited,
    Finish,
    Forced,
    Kill,
    Launched,
    Replanned,
    Report,
    Rewire,
    ShutdownRequested,
    Spawn,
    State,
    Terminate,
    Ticked,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.ipc.segment import Segment
    from dolphin_mp.parent.estate import Adoptee
    from dolphin_mp.parent.ground import Ground
    from dolphin_mp.parent.spawner import Spawner
    from dolphin_mp.plan import Plan
    from dolphin_mp.supervision.replan import Changes
    from dolphin_mp.supervision.vocabulary import Action, ComponentStatus, Event

ON_THE_WAY = frozenset({State.STARTING, State.STOPPING})


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
        config: str = "",
        on_hangup: str = "stop",
    ) -> None:
        self._plan = plan
        self._ground = ground
        self._board = ground.board
        self._surroundings = surroundings
        self._supervisor = Supervisor(plan, random.random, until_done)
        self._seen = self._supervisor.rows()
        self._listener = listener
        self._ends_at = None if for_s is None else time.monotonic() + for_s
        self._rows = {component.name: self._board.add(component.name) for component in plan.components}
        self._parts = {component.name: component for component in plan.components}
        self._codes: dict[str, int] = {}
        self._events: deque[Event] = deque()
        self._exit_code: int | None = None
        self._interrupted = False
        self._settled = True  # before the launch there is nothing to say
        self._latest = ""  # one that was on its way when all were looked at
        self._poller = Poller()
        self._words = Hearing(f"{ground.folder}/notify", self._board, self._rows)
        self._control = ControlServer(ground.folder, plan.name)
        self._on_hangup = on_hangup
        self._spawner = spawner
        self._reloader = Reloader(
            self, config, self._control.answer, self._control.fail, is_brief=for_s is not None
        )
        self._desk = Desk(
            self._control,
            self._board,
            lambda: self._seen,
            self._handle,
            lambda: self._shut_down("as asked", ShutdownRequested()),
            self._reloader.begin,
            self.present_plan,
            self._reloader.scale,
        )
        self._logs = Keeper(
            plan.name,
            ground.folder,
            dict.fromkeys(component.process for component in plan.components),
            surroundings.environment,
            components=tuple(self._parts),
        )
        self._watch_collector()
        self._forced = False
        self._coroner = Coroner(plan, self._board, ground.folder)
        self._reporter = Reporter(self._poller, crashes_folder(plan.name), self._tell_of_bundle)
        self._watch = HangWatch(self._poller, self._board, self._handle, self._pid_of)
        self._children = Children(
            spawner,
            self._poller,
            self._watch,
            self._handle,
            self._bury,
            self._hear,
            self._tell,
            self._foresee,
            json.dumps(self._assignment(Spawn("", 0, ())).home()).encode(),
        )
        self._poller.add(self._words.fileno(), self._hear)
        for fd in self._control.filenos():
            self._poller.add(fd, self._desk.serve)
        self._tie = tie
        if tie >= 0:
            self._poller.add(tie, self._launcher_left)
        self._catch_signals()

    # the loop ---------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Run to the end; gives the system's exit code."""
        self._begin()
        while self._exit_code is None:
            self._poller.poll(self._timeout())
            now = time.monotonic()
            if self._ends_at is not None and now >= self._ends_at:
                self._ends_at = None
                self._shut_down("its time is over", ShutdownRequested())
            self._reloader.tick()
            if self._logs.again_at is not None and now >= self._logs.again_at:
                self._look_after_collector()
            if self._supervisor.deadline is not None and now >= self._supervisor.deadline:
                self._handle(Ticked())
            self._desk.serve()
        return self._exit_code

    def _begin(self) -> None:
        """Launch, with what an earlier parent has left."""
        estate = take_over(self._board, self._plan)
        self._codes.update(estate.codes)
        spared = {(found.process, found.incarnation) for found in estate.adoptees}
        spared |= {(death.process, death.incarnation) for death in estate.deaths}
        for finding in self._coroner.examine_unread(spared):
            self._reporter.report(finding)
        for found in estate.adoptees:
            self._adopt(found)
        self._handle(*estate.before, Launched())
        for death in estate.deaths:
            self._bury(death, Child(death.process, death.incarnation, self._members(death.process), None))
        if estate.adoptees:
            names = [name for found in estate.adoptees for name in found.members]
            self._tell({"event": "adopted", "system": self._plan.name, "components": names})
        self._settled = False
        self._settle()

    def _adopt(self, found: Adoptee) -> None:
        child = Child(
            found.process, found.incarnation, found.members, None, found.pid, found.pidfd, start=found.start
        )
        self._children.adopt(child, [self._parts[name] for name in found.members])

    def _members(self, process: str) -> tuple[str, ...]:
        return tuple(name for name, part in self._parts.items() if part.process == process)

    def _timeout(self) -> float | None:
        if self._control.more():
            return 0.0
        dues = (self._supervisor.deadline, self._ends_at, self._logs.again_at, self._reloader.deadline)
        deadlines = [due for due in dues if due is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def close(self) -> None:
        """Let go of everything but the control socket; the zygote and parked processes end."""
        self._reloader.cancel()
        self._children.close()
        if self._logs.fileno() >= 0:
            self._poller.remove(self._logs.fileno())
        self._reporter.close()
        self._words.close()
        self._poller.close()
        signal.set_wakeup_fd(-1)
        self._signals.close()
        self._signals_in.close()

    @property
    def collector(self) -> int:
        """The pid of the process that writes down what is said; it ends after all others."""
        return self._logs.pid

    def end_logs(self) -> None:
        """Wait, within a bound, until the last words of the components are written."""
        self._logs.end()

    def say_goodbye(self) -> None:
        """Answer who waits for the end, now that nothing of the system is left, and stop listening."""
        self._desk.say_goodbye(self._exit_code)
        self._control.close()

    # events in --------------------------------------------------------------------------------------------

    def _handle(self, *events: Event) -> None:
        """Hand events, and those that follow from carrying out their actions, to the supervisor."""
        self._events.extend(events)
        if len(self._events) > len(events):
            return  # called from an action: the loop below takes it next
        while self._events:
            actions = self._supervisor.handle(self._events[0], time.monotonic())
            self._seen = self._supervisor.rows()
            for action in actions:
                self._act(action)
            self._events.popleft()
        self._desk.answer()
        self._reloader.look(self._seen)
        self._settle()

    def _catch_signals(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self._signals, self._signals_in = ours, theirs
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup(1)
                signal.signal(number, lambda *_: None)
        self._poller.add(ours.fileno(), self._signalled)

    def _signalled(self) -> None:
        for number in set(self._signals.recv(4096)):
            if number == signal.SIGCHLD:
                self._children.reap()
            elif number == signal.SIGHUP and self._on_hangup == "reload":
                self._reload_unasked()
            elif self._interrupted:
                self._shut_down(signal.Signals(number).name, Forced())
            else:
                self._interrupted = True
                self._shut_down(signal.Signals(number).name, ShutdownRequested())

    def _reload_unasked(self) -> None:
        try:
            self._reloader.begin(None)
        except BadRequestError as error:
            self._tell({"event": "reload", "ok": False, "reason": str(error), "faults": [str(error)]})

    def _shut_down(self, why: str, event: ShutdownRequested | Forced) -> None:
        told = {"event": "shutdown", "system": self._plan.name, "why": why}
        self._forced = self._forced or isinstance(event, Forced)
        self._reloader.cancel()
        self._tell({**told, "forced": isinstance(event, Forced)})
        self._handle(event)

    def _watch_collector(self) -> None:
        if self._logs.fileno() >= 0:
            self._poller.add(self._logs.fileno(), self._collector_died)

    def _collector_died(self) -> None:
        self._poller.remove(self._logs.fileno())
        self._look_after_collector()

    def _look_after_collector(self) -> None:
        if not self._logs.look_after():
            self._tell(
                {"event": "logs", "reason": "what is said is not written down: the collector keeps dying"}
            )
        self._watch_collector()

    def _launcher_left(self) -> None:
        self._poller.remove(self._tie)
        self._shut_down("its launcher ended", ShutdownRequested())

    def _hear(self) -> None:
        for word in self._words.words():
            if word.fact == "ready":
                self._watch.expect(self._parts[word.component].process)
                self._handle(BecameReady(word.component, word.incarnation))
            elif word.fact == "done":
                self._handle(BecameDone(word.component, word.incarnation))
            else:
                self._children.blame(self._parts[word.component].process, word.incarnation, word.reason)
            self._children.arrived(self._parts[word.component].process)

    def _bury(self, event: Exited, child: Child) -> None:
        """Handle a death; while its successor is on its way, look at what it has left."""
        spawned_ns = child.spawned_ns or self._born_ns(child) or _core.boottime_ns()
        if event.code is None:
            event = self._last_word(event, child)
        self._codes[event.process] = UNSEEN if event.code is None else event.code
        examine = partial(
            self._coroner.examine,
            event,
            [self._parts[name] for name in child.members],
            self._seen,
            spawned_ns=spawned_ns,
            died_ns=_core.boottime_ns(),
            forced=self._forced,
        )
        if self._supervisor.is_reloading:  # what it has left may be gone afterwards
            finding = examine()
            self._handle(event)
        else:
            self._handle(event)
            finding = examine()
        if finding is not None:
            self._reporter.report(finding)

    def _born_ns(self, child: Child) -> int:
        """Give the birth of an earlier parent's process, CLOCK_BOOTTIME, by its rows; 0: nobody knows."""
        ticks = max((self._board.read(self._rows[name]).start for name in child.members), default=0)
        return ticks * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))

    def _last_word(self, event: Exited, child: Child) -> Exited:
        """Take what the components said themselves for how it ended, where the kernel does not tell."""
        rows = [self._board.read(self._rows[name]) for name in child.members]
        code, why = exit_word([trace_of(row, asked=False) for row in rows])
        return replace(event, code=code, reason=event.reason or why)

    def _pid_of(self, process: str) -> int:
        return self._children.handle_of(process)[0]

    # actions out ------------------------------------------------------------------------------------------

    def _act(self, action: Action) -> None:
        match action:
            case Spawn():
                self._spawn(action)
            case Ask(process=process):
                for name in self._children.members(process):
                    self._board.doorbell(self._rows[name]).ring()
            case DumpStacks(process=process, incarnation=incarnation):
                self._examine(process, incarnation)
            case Terminate(process=process, incarnation=incarnation):
                self._examine(process, incarnation)  # what holds it up, if it has to be killed
                self._children.signal(process, signal.SIGTERM)
                self._children.signal(process, signal.SIGCONT)
            case Kill(process=process):
                self._children.kill(process)
            case Report():
                self._report(action)
            case Rewire():
                self._rewire(action)
            case Finish(exit_code=code):
                self._exit_code = code

    def _rewire(self, action: Rewire) -> None:
        plan = action.plan
        try:
            self._ground.rewire(plan, action.changes, self._reloader.take_prepared())
        except ChannelError as error:  # who needs the channel will say so too, again and again
            self._logs.say("error", str(error))
        self._plan = plan
        self._parts = {component.name: component for component in plan.components}
        self._rows.clear()  # in place: who hears the components' words looks into it too
        self._rows.update({name: self._board.add(name) for name in self._parts})
        self._coroner.take_plan(plan)
        self._logs.hold([component.process for component in plan.components], tuple(self._parts))

    # what a reload asks for -------------------------------------------------------------------------------

    def present_plan(self) -> Plan:
        """Give the plan that holds now."""
        return self._plan

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
        """Reserve the memory of new channels; raises ChannelError, ValueError."""
        return self._ground.prepare(plan, changes)

    def change(self, plan: Plan, spawner: Spawner | None, *, trusted: bool) -> None:
        """Go over to another plan, and to another zygote if there is one; `Rewire` follows, maybe later."""
        if spawner is not None:
            self._spawner = spawner
            self._children.change_spawner(spawner)
            spawner.preload(plan, trusted=trusted)
        self._handle(Replanned(plan))

    def has_changed(self) -> None:
        """Note that every process runs what the new plan says."""
        self._ground.settled()

    def tell(self, event: dict[str, Any]) -> None:
        """Publish an event."""
        self._tell(event)

    def _examine(self, process: str, incarnation: int) -> None:
        """Have a process say where it is, and note what the kernel says of it."""
        pid, pidfd = self._children.handle_of(process)
        if pidfd >= 0:
            members = [self._parts[name] for name in self._children.members(process)]
            self._coroner.note_plight(process, incarnation, members, kernel_view(pid))
            ask_for_stacks(pid, pidfd)

    def _spawn(self, action: Spawn) -> None:
        for name in action.members:
            self._board.doorbell(self._rows[name]).reset()
            self._write_down(self._seen[name])  # first: the next parent must know of every incarnation
        self._children.spawn(self._assignment(action))

    def _foresee(self, process: str, incarnation: int) -> Assignment | None:
        """Give what its successor would be told, if the death of that incarnation brings one at once."""
        spawn = self._supervisor.foresee(process, incarnation, time.monotonic())
        return None if spawn is None else self._assignment(spawn)

    def _assignment(self, action: Spawn) -> Assignment:
        return Assignment(
            self._plan.name,
            action.process,
            action.incarnation,
            self._plan.orphan,
            os.getpid(),
            self._surroundings.open_files,
            self._surroundings.environment,
            self._surroundings.cwd,
            f"{self._ground.folder}/notify",
            self._logs.folder,
            tuple(self._parts[name] for name in action.members),
            self._board.launched_ns,
            tuple(self._rows[name] for name in action.members),
        )

    def _write_down(self, row: ComponentStatus) -> None:
        cell = self._board.parent_cell(self._rows[row.name])
        text = cell.read()
        old = unpack_parent(text) if text else ParentPart()
        is_news = (row.state.value, row.incarnation) != (old.state, old.incarnation)
        part = ParentPart(
            row.state.value,
            row.incarnation,
            row.restarts,
            _core.boottime_ns() if is_news else old.since_ns,
            row.pid or 0,
            self._codes.get(self._parts[row.name].process, 0),
            row.reason,
        )
        cell.write(pack_parent(part))

    def _report(self, action: Report) -> None:
        pid = self._seen[action.component].pid
        self._write_down(self._seen[action.component])
        self._say(action)
        self._tell(
            {
                "event": "state",
                "component": action.component,
                "state": action.state.value,
                "reason": action.reason,
                "restarts": action.restarts,
                "incarnation": action.incarnation,
                "pid": pid,
            }
        )

    def _say(self, action: Report) -> None:
        """Write a state down among the component's own words; one that starts for a reason has died."""
        level = "info"
        if action.state is State.FAILED:
            level = "error"
        elif action.state is State.BACKOFF or (action.state is State.STARTING and action.reason):
            level = "warning"
        text = f"{action.state}: {action.reason}" if action.reason else str(action.state)
        self._logs.say(level, text, action.component)

    def _tell_of_bundle(self, event: dict[str, Any]) -> None:
        """Say among a dead component's words where to find more, or why there is no more."""
        level, text = "info", f"`dolphin-mp crashes {event.get('id')}` shows all that is known of this crash"
        if "error" in event:
            level, text = "error", event["error"]
        for name, part in self._parts.items():
            if part.process == event["process"]:
                self._logs.say(level, text, name)
        self._tell(event)

    def _settle(self) -> None:
        """Say once that nothing is on its way any more: who still waits, waits for one in trouble."""
        latest = self._seen.get(self._latest)
        if self._settled or (latest is not None and latest.state in ON_THE_WAY):
            return
        # from the last, where a start ends: to look at all after each event costs 1,000 of them a second
        on_the_way = (name for name in reversed(self._seen) if self._seen[name].state in ON_THE_WAY)
        self._latest = next(on_the_way, "")
        if not self._latest:
            self._settled = True
            states = {name: row.state.value for name, row in self._seen.items()}
            self._tell({"event": "settled", "system": self._plan.name, "states": states})

    def _tell(self, event: dict[str, Any]) -> None:
        self._control.publish(event)
        if self._listener is not None:
            self._listener(event)
