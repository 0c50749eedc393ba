"""The one loop: descriptors and deadlines in, the supervisor's events; its actions out, processes.

Nothing here decides: an `if` about states belongs in the supervisor. Nothing here waits but the poll, whose
time-out is the least deadline; an idle system never wakes it.
"""

from __future__ import annotations

import random
import signal
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from dolphin_mp.hang.watch import HangWatch
from dolphin_mp.ipc.board import UNSEEN
from dolphin_mp.logs.keeper import Keeper
from dolphin_mp.parent.assigning import Assigner
from dolphin_mp.parent.bulletin import Bulletin
from dolphin_mp.parent.changeover import Changeover
from dolphin_mp.parent.child import Child
from dolphin_mp.parent.children import Children
from dolphin_mp.parent.collector_watch import CollectorWatch
from dolphin_mp.parent.control import ControlServer
from dolphin_mp.parent.desk import Desk
from dolphin_mp.parent.estate import take_over, with_last_word
from dolphin_mp.parent.hearing import Hearing
from dolphin_mp.parent.inquests import Inquests
from dolphin_mp.parent.poller import Poller
from dolphin_mp.parent.reloading import Reloader
from dolphin_mp.parent.roster import Roster
from dolphin_mp.parent.signals import Signals
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
    Report,
    Rewire,
    ShutdownRequested,
    Spawn,
    Terminate,
    Ticked,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.parent.assigning import Surroundings
    from dolphin_mp.parent.ground import Ground
    from dolphin_mp.parent.spawner import Spawner
    from dolphin_mp.plan import Plan
    from dolphin_mp.process.assignment import Assignment
    from dolphin_mp.supervision.vocabulary import Action, Event


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
        self._board = board = ground.board
        self._roster = roster = Roster(plan, board)
        self._supervisor = Supervisor(plan, random.random, until_done)
        self._seen = self._supervisor.rows()
        self._ends_at = None if for_s is None else time.monotonic() + for_s
        self._events: deque[Event] = deque()
        self._exit_code: int | None = None
        self._interrupted = self._forced = False
        self._on_hangup = on_hangup
        self._poller = poller = Poller()
        self._words = Hearing(f"{ground.folder}/notify", board, roster.rows)
        self._control = control = ControlServer(ground.folder, plan.name)
        processes = dict.fromkeys(component.process for component in plan.components)
        self._logs = logs = Keeper(
            plan.name, ground.folder, processes, surroundings.environment, tuple(roster.parts)
        )
        self._bulletin = Bulletin(roster, control, logs, listener)
        tell = self._bulletin.tell
        self._collector_watch = CollectorWatch(poller, logs, tell)
        self._inquests = Inquests(roster, poller, ground.folder, self._bulletin.tell_of_bundle)
        self._watch = HangWatch(poller, board, self._handle, self._pid_of)
        self._assigner = Assigner(roster, surroundings, ground.folder, logs.folder)
        home = self._assigner.home()
        self._children = children = Children(
            spawner, poller, self._watch, self._handle, self._bury, self._hear, tell, self._foresee, home
        )
        self._changeover = Changeover(
            roster, ground, surroundings, spawner, poller, children, self._inquests, logs, self._handle
        )
        self._reloader = Reloader(
            self._changeover, config, control.answer, control.fail, tell, is_brief=for_s is not None
        )
        self._desk = Desk(
            control,
            board,
            lambda: self._seen,
            self._handle,
            lambda: self._shut_down("as asked", ShutdownRequested()),
            self._reloader.begin,
            self._changeover.present_plan,
            self._reloader.scale,
        )
        poller.add(self._words.fileno(), self._hear)
        for fd in control.filenos():
            poller.add(fd, self._desk.serve)
        self._tie = tie
        if tie >= 0:
            poller.add(tie, self._launcher_left)
        self._signals = Signals(poller, self._heed)

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
            self._collector_watch.tick()
            if self._supervisor.deadline is not None and now >= self._supervisor.deadline:
                self._handle(Ticked())
            self._desk.serve()
        return self._exit_code

    def _begin(self) -> None:
        """Launch, with what an earlier parent has left."""
        estate = take_over(self._board, self._roster.plan)
        self._bulletin.codes.update(estate.codes)
        self._inquests.catch_up(estate)
        for found in estate.adoptees:
            self._children.adopt(Child.of(found), self._roster.parts_of(found.members))
        self._handle(*estate.before, Launched())
        for death in estate.deaths:
            members = self._roster.members_of(death.process)
            self._bury(death, Child(death.process, death.incarnation, members, None))
        if estate.adoptees:
            names = [name for found in estate.adoptees for name in found.members]
            self._bulletin.tell({"event": "adopted", "system": self._roster.plan.name, "components": names})
        self._bulletin.launched(self._seen)

    def _timeout(self) -> float | None:
        if self._control.more():
            return 0.0
        theirs = (self._supervisor.deadline, self._collector_watch.deadline, self._reloader.deadline)
        deadlines = [due for due in (*theirs, self._ends_at) if due is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def close(self) -> None:
        """Let go of everything but the control socket; the zygote and parked processes end."""
        self._reloader.cancel()
        self._children.close()
        self._collector_watch.close()
        self._inquests.close()
        self._words.close()
        self._poller.close()
        self._signals.close()

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
        self._bulletin.settle(self._seen)

    def _heed(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._children.reap()
        elif number == signal.SIGHUP and self._on_hangup == "reload":
            self._reloader.begin_unasked()
        elif self._interrupted:
            self._shut_down(signal.Signals(number).name, Forced())
        else:
            self._interrupted = True
            self._shut_down(signal.Signals(number).name, ShutdownRequested())

    def _shut_down(self, why: str, event: ShutdownRequested | Forced) -> None:
        told = {"event": "shutdown", "system": self._roster.plan.name, "why": why}
        self._forced = self._forced or isinstance(event, Forced)
        self._reloader.cancel()
        self._bulletin.tell({**told, "forced": isinstance(event, Forced)})
        self._handle(event)

    def _launcher_left(self) -> None:
        self._poller.remove(self._tie)
        self._shut_down("its launcher ended", ShutdownRequested())

    def _hear(self) -> None:
        for word in self._words.words():
            process = self._roster.parts[word.component].process
            if word.fact == "ready":
                self._watch.expect(process)
                self._handle(BecameReady(word.component, word.incarnation))
            elif word.fact == "done":
                self._handle(BecameDone(word.component, word.incarnation))
            else:
                self._children.blame(process, word.incarnation, word.reason)
            self._children.arrived(process)

    def _bury(self, event: Exited, child: Child) -> None:
        """Handle a death; while its successor is on its way, look at what it has left."""
        if event.code is None:
            event = with_last_word(event, self._roster.read(child.members))
        self._bulletin.codes[event.process] = UNSEEN if event.code is None else event.code
        examine = self._inquests.open(event, child, self._seen, forced=self._forced)
        if self._supervisor.is_reloading:  # what it has left may be gone afterwards
            finding = examine()
            self._handle(event)
        else:
            self._handle(event)
            finding = examine()
        self._inquests.report(finding)

    def _pid_of(self, process: str) -> int:
        return self._children.handle_of(process)[0]

    # actions out ------------------------------------------------------------------------------------------

    def _act(self, action: Action) -> None:
        match action:
            case Spawn():
                self._spawn(action)
            case Ask(process=process):
                for name in self._children.members(process):
                    self._board.doorbell(self._roster.rows[name]).ring()
            case DumpStacks(process=process, incarnation=incarnation):
                self._examine(process, incarnation)
            case Terminate(process=process, incarnation=incarnation):
                self._examine(process, incarnation)  # what holds it up, if it has to be killed
                self._children.signal(process, signal.SIGTERM)
                self._children.signal(process, signal.SIGCONT)
            case Kill(process=process):
                self._children.kill(process)
            case Report():
                self._bulletin.report(action, self._seen[action.component])
            case Rewire():
                self._changeover.rewire(action, self._reloader.take_prepared())
            case Finish(exit_code=code):
                self._exit_code = code

    def _examine(self, process: str, incarnation: int) -> None:
        """Find out where a process is, if it lives."""
        pid, pidfd = self._children.handle_of(process)
        if pidfd >= 0:
            names = self._children.members(process)
            self._inquests.note_plight(process, incarnation, names, pid=pid, pidfd=pidfd)

    def _spawn(self, action: Spawn) -> None:
        for name in action.members:  # first: the next parent must know of every incarnation
            self._board.doorbell(self._roster.rows[name]).reset()
            self._bulletin.write_down(self._seen[name])
        self._children.spawn(self._assigner.assignment(action))

    def _foresee(self, process: str, incarnation: int) -> Assignment | None:
        """Give what its successor would be told, if the death of that incarnation brings one at once."""
        spawn = self._supervisor.foresee(process, incarnation, time.monotonic())
        return None if spawn is None else self._assigner.assignment(spawn)
