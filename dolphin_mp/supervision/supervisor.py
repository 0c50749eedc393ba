"""The system's machine: events and a clock in, actions out; it starts no process and reads no clock.

It keeps one `Life` a process and decides what lies between them: whom the data flow lets start, who is asked
next when the system shuts down, what a failure means for others, what is reported. Its own stages are four
(`Stage`), and `SYSTEM` lists every pair of stage and event.

What the driver must keep to:

- Actions are carried out in order. Each `Spawn` is answered by one `Spawned` or `SpawnFailed`, each `Spawned`
  by one `Exited` in the end.
- What components said (`BecameReady`, `BecameDone`) is handed in before the `Exited` of their process, or a
  component that is done for good would be started again.
- What an earlier parent left (`Adopted`, `Remembered`) is handed in right before `Launched`, once a process.
- `Ticked` is handed in once `deadline` has passed; nothing else needs to wake.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

from dolphin_mp.supervision import lifecycle
from dolphin_mp.supervision.flow import Ebb, Gates, flow_of, members_of
from dolphin_mp.supervision.ledger import Ledger
from dolphin_mp.supervision.life import (
    GOING,
    OVER,
    RUNNING,
    Admitted,
    Life,
    Phase,
    ProducerFailed,
    ReadersLeft,
    Renewed,
    ShutdownBegan,
    Withdrawn,
)
from dolphin_mp.supervision.policy import unit_of
from dolphin_mp.supervision.reload import Reload
from dolphin_mp.supervision.vocabulary import (
    Action,
    Adopted,
    Ask,
    BecameDone,
    BecameReady,
    ComponentStatus,
    DumpStacks,
    Event,
    Exited,
    Finish,
    Forced,
    HungDetected,
    InvalidTransition,
    Kill,
    Launched,
    Remembered,
    Replanned,
    Report,
    RestartRequested,
    Rewire,
    ShutdownRequested,
    Spawn,
    Spawned,
    SpawnFailed,
    StartRequested,
    State,
    StopRequested,
    Terminate,
    Ticked,
)

if TYPE_CHECKING:
    from dolphin_mp.plan import Plan
    from dolphin_mp.supervision.vocabulary import Command, ComponentEvent, Inheritance, ProcessEvent

__all__ = [
    "Action",
    "Adopted",
    "Ask",
    "BecameDone",
    "BecameReady",
    "ComponentStatus",
    "DumpStacks",
    "Event",
    "Exited",
    "Finish",
    "Forced",
    "HungDetected",
    "InvalidTransition",
    "Kill",
    "Launched",
    "Remembered",
    "Replanned",
    "Report",
    "RestartRequested",
    "Rewire",
    "ShutdownRequested",
    "Spawn",
    "SpawnFailed",
    "Spawned",
    "StartRequested",
    "State",
    "StopRequested",
    "Supervisor",
    "Terminate",
    "Ticked",
]


class Stage(Enum):
    """Where the system is."""

    NEW = "not launched"
    UP = "up"
    CLOSING = "shutting down"
    CLOSED = "finished"


class Supervisor:
    """Decides what a system of processes does next.

    Args:
        plan: The checked system.
        random: Gives uniform numbers in [0, 1), for the jitter of back-offs.
        until_done: Shut down by itself when nothing lives and nothing can start any more; exit code 1 if a
            component failed or still waits for one that did not come.
    """

    def __init__(self, plan: Plan, random: Callable[[], float], until_done: bool = False) -> None:
        self._random = random
        self._until_done = until_done
        self._lives = {process: Life(unit_of(members)) for process, members in members_of(plan).items()}
        self._ledger = Ledger(())
        self._take_plan(plan)
        self._reload: Reload | None = None
        self._stage = Stage.NEW
        self._exit_code = 0
        self._deadlines: dict[str, float] = {}
        self._queue: deque[tuple[str, object]] = deque()
        self._touched: dict[str, None] = {}

    def _take_plan(self, plan: Plan) -> None:
        self._plan = plan
        self._process_of = {c.name: c.process for c in plan.components}
        self._flow = flow_of(plan)
        self._gates = Gates(self._flow)
        self._ebb = Ebb(self._flow)
        self._ledger.hold(self._process_of)

    @property
    def is_reloading(self) -> bool:
        """Whether a new plan was given that does not hold yet: processes are on their way down first."""
        return self._reload is not None

    @property
    def deadline(self) -> float | None:
        """When `Ticked` is next to be handed in; None: nothing will happen by itself."""
        return min(self._deadlines.values(), default=None)

    def rows(self) -> dict[str, ComponentStatus]:
        """Give what is seen of every component now."""
        return self._ledger.rows()

    def row(self, component: str) -> ComponentStatus:
        """Give what is seen of one component now."""
        return self._ledger.row(component)

    def foresee(self, process: str, incarnation: int, now: float) -> Spawn | None:
        """Give the start that would follow at once if that incarnation were killed now; nothing changes.

        Until the death is told and its cause known it is a guess, good enough to prepare a process by.
        """
        life = self._lives.get(process)
        if life is None or self._stage is not Stage.UP or self._reload is not None:
            return None
        death = Exited(process, incarnation, -9)
        if (life.phase, Exited) not in lifecycle.TABLE:
            return None
        _, commands = lifecycle.step(life, death, now, lambda: 0.5)
        return next((command for command in commands if isinstance(command, Spawn)), None)

    def handle(self, event: Event, now: float) -> list[Action]:
        """Give what to do about an event: commands first, then reports, `Finish` last.

        Raises:
            InvalidTransition: The event cannot happen now: a bug of the caller's.
            KeyError: The event names a component or process that the system does not have.
        """
        entry = SYSTEM.get((self._stage, type(event)))
        if entry is None:
            raise InvalidTransition("the system", self._stage.value, event)
        entry(self, event)
        actions = self._settle(now)
        if self._reload is not None and self._reload.is_drained:
            actions += self._change_plan(self._reload)
            actions += self._settle(now)
        while isinstance(event, Ticked) and self._queue_due(now):
            actions += self._settle(now)
        if self._until_done and self._stage is Stage.UP and self._is_exhausted():
            self._shut_down(self._outcome())
            actions += self._settle(now)
        actions += self._reports(now)
        if self._stage is Stage.CLOSING and self._ebb.is_over:
            self._stage = Stage.CLOSED
            actions.append(Finish(self._exit_code))
        return actions

    # -------------------------------------------------------------- what comes from outside

    def _ignore(self, _event: Event) -> None:
        """Do nothing: the stage says that it no longer matters."""

    def _launch(self, _event: Launched) -> None:
        self._stage = Stage.UP
        for process in self._lives:
            self._touched[process] = None
            self._admit_if_free(process)

    def _to_member(self, event: Command | ComponentEvent) -> None:
        self._queue.append((self._process_of[event.component], event))

    def _to_process(self, event: ProcessEvent | Inheritance) -> None:
        self._queue.append((event.process, event))

    def _tick(self, _event: Ticked) -> None:
        """Leave it to `handle`, which goes on until nothing is due."""

    def _shutdown(self, event: ShutdownRequested) -> None:
        self._shut_down(event.exit_code)

    def _force(self, event: Forced) -> None:
        self._queue.extend((process, event) for process in self._lives)
        if self._stage is not Stage.CLOSING:
            self._shut_down(1)

    def _replan(self, event: Replanned) -> None:
        if self._reload is not None:
            raise InvalidTransition("the system", "about to change its plan", event)
        self._reload = Reload(self._plan, event.plan, self._flow)
        self._queue.extend((process, Withdrawn()) for process in self._reload.first())

    # -------------------------------------------------------------- what lies between processes

    def _settle(self, now: float) -> list[Action]:
        """Hand on what is queued, and what follows from that, until nothing does."""
        actions: list[Action] = []
        while self._queue:
            process, event = self._queue.popleft()
            old = self._lives[process]
            life, commands = lifecycle.step(old, event, now, self._random)
            if self._reload is not None:
                life = self._reload.held(life)
            actions.extend(commands)
            self._lives[process] = life
            self._touched[process] = None
            if life.deadline is None:
                self._deadlines.pop(process, None)
            else:
                self._deadlines[process] = life.deadline
            if self._reload is not None:
                turns = self._reload.heard(process, event, life)
                self._queue.extend((producer, Withdrawn()) for producer in turns)
            self._consequences(process, old, life)
            if (
                life.phase is Phase.FAILED
                and life.phase is not old.phase
                and not isinstance(event, Remembered)
            ):
                self._on_failed(process, life)
        return actions

    def _consequences(self, process: str, old: Life, life: Life) -> None:
        proven = _proven(life)
        for member in life.unit.members:
            for reader in self._gates.prove(member) if member in proven else ():
                self._admit_if_free(reader)
                self._touched[reader] = None
        if life.phase is not old.phase:
            self._touched.update(dict.fromkeys(self._flow.readers[process]))  # they may wait for it
            self._admit_if_free(process)
        if self._stage is Stage.CLOSING and life.phase not in RUNNING | GOING:
            self._queue.extend((producer, ReadersLeft()) for producer in self._ebb.went_down(process))

    def _admit_if_free(self, process: str) -> None:
        waits = self._lives[process].phase is Phase.WAITING
        is_held = self._reload is not None and self._reload.holds_back(process)
        if waits and self._stage is Stage.UP and not is_held and not self._gates.blockers(process):
            self._queue.append((process, Admitted()))

    def _change_plan(self, reload: Reload) -> list[Action]:
        """Have the new plan hold, now that whoever had to be down is."""
        proven = self._gates.proven
        self._reload = None
        self._lives = reload.lives_after(self._lives)
        self._take_plan(reload.plan)
        for name in self._process_of:
            if name in proven and reload.still_proven(name, self._lives[self._process_of[name]]):
                self._gates.prove(name)
        self._deadlines = {p: life.deadline for p, life in self._lives.items() if life.deadline is not None}
        self._touched = dict.fromkeys(self._lives)
        for life in self._lives.values():
            for name in _proven(life):
                self._gates.prove(name)
        for process, life in self._lives.items():
            if life.phase is Phase.WAITING:
                self._admit_if_free(process)
            elif reload.is_renewed(process, life.unit.members):
                self._queue.append((process, Renewed()))
        return [Rewire(reload.plan, reload.changes)]

    def _on_failed(self, process: str, life: Life) -> None:
        match life.unit.on_failed:
            case "stop":
                self._shut_down(1)
            case "restart-readers":
                failed = ProducerFailed(process)
                self._queue.extend((reader, failed) for reader in self._flow.consumers[process])

    def _queue_due(self, now: float) -> bool:
        due = sorted((deadline, process) for process, deadline in self._deadlines.items() if deadline <= now)
        self._queue.extend((process, Ticked()) for _, process in due)
        return bool(due)

    def _shut_down(self, exit_code: int) -> None:
        self._exit_code = max(self._exit_code, exit_code)
        if self._stage is not Stage.CLOSING:
            self._stage = Stage.CLOSING
            self._reload = None
            self._queue.extend((process, ShutdownBegan()) for process in self._lives)
            self._queue.extend((process, ReadersLeft()) for process in self._ebb.first())

    def _is_exhausted(self) -> bool:
        """True if nothing lives and nothing will by itself: who still waits, waits in vain."""
        return all(life.phase in OVER or life.phase is Phase.WAITING for life in self._lives.values())

    def _outcome(self) -> int:
        return int(any(life.phase in {Phase.FAILED, Phase.WAITING} for life in self._lives.values()))

    # -------------------------------------------------------------- what is seen

    def _reports(self, now: float) -> list[Report]:
        reports: list[Report] = []
        for process in self._touched:
            life = self._lives[process]
            reports += self._ledger.enter(life, self._blockers_of(process), now)
        self._touched.clear()
        return reports

    def _blockers_of(self, process: str) -> dict[str, State]:
        names = () if self._stage is Stage.NEW else self._gates.blockers(process)
        return {name: self._lives[self._process_of[name]].state_of(name) for name in names}


def _proven(life: Life) -> frozenset[str]:
    """Give the members that hold no reader up any more."""
    return frozenset(life.unit.members) if life.phase is Phase.DONE else life.ready | life.done


Entry = Callable[[Supervisor, Any], None]

_COMMANDS = (StartRequested, StopRequested, RestartRequested)
_WORDS = (BecameReady, BecameDone)
_NEWS = (Spawned, SpawnFailed, Exited, HungDetected)

ROWS: tuple[tuple[tuple[type, ...], tuple[Stage, ...], Entry], ...] = (
    ((Adopted, Remembered), (Stage.NEW,), Supervisor._to_process),
    ((Launched,), (Stage.NEW,), Supervisor._launch),
    (_COMMANDS, (Stage.NEW, Stage.UP), Supervisor._to_member),
    (_COMMANDS, (Stage.CLOSING, Stage.CLOSED), Supervisor._ignore),
    ((ShutdownRequested,), (Stage.NEW, Stage.UP, Stage.CLOSING), Supervisor._shutdown),
    ((Forced,), (Stage.NEW, Stage.UP, Stage.CLOSING), Supervisor._force),
    ((ShutdownRequested, Forced), (Stage.CLOSED,), Supervisor._ignore),
    (_WORDS, (Stage.NEW, Stage.UP, Stage.CLOSING), Supervisor._to_member),
    (_NEWS, (Stage.NEW, Stage.UP, Stage.CLOSING), Supervisor._to_process),
    ((*_WORDS, *_NEWS), (Stage.CLOSED,), Supervisor._ignore),
    ((Ticked,), tuple(Stage), Supervisor._tick),
    ((Replanned,), (Stage.NEW, Stage.UP), Supervisor._replan),
    ((Replanned,), (Stage.CLOSING, Stage.CLOSED), Supervisor._ignore),
)

SYSTEM: dict[tuple[Stage, type], Entry] = {
    (stage, event): entry for events, stages, entry in ROWS for event in events for stage in stages
}
