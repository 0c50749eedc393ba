"""A world of processes that do as they like, around the supervisor, which has to keep its promises in it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dolphin_mp.plan import BackoffPlan, ComponentPlan, InputPlan, OutputPlan, Plan
from dolphin_mp.supervision.supervisor import (
    Action,
    Adopted,
    Ask,
    BecameDone,
    BecameReady,
    Event,
    Exited,
    Finish,
    Forced,
    Kill,
    Launched,
    Remembered,
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
    Supervisor,
    Terminate,
    Ticked,
)
from dolphin_mp.supervision.vocabulary import Past

NAMES = ("a", "b", "c", "d", "e", "f")
DURATIONS = st.sampled_from([0.0, 0.5, 1.0, 3.0, 10.0])
OVER = {State.STOPPED, State.DONE, State.FAILED}
ABSENT = {State.WAITING, State.BACKOFF, State.STOPPED, State.FAILED}
ALIVE = ["starting", "ready", "half", "leaving"]
LEFT = ["nothing", *ALIVE, "waiting", "backoff", "stopped", "done", "failed"]
COMMANDS = (StartRequested, StopRequested, RestartRequested)


@st.composite
def components(draw: st.DrawFn, name: str, earlier: tuple[str, ...]) -> ComponentPlan:
    after = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3)) if earlier else []
    backoff = BackoffPlan(
        first_s=draw(DURATIONS),
        max_s=draw(DURATIONS),
        jitter=draw(st.sampled_from([0, 0.2])),
        reset_after_s=draw(DURATIONS),
    )
    return ComponentPlan(
        name=name,
        run="x:X",
        process=draw(st.sampled_from([name, name, "p", "q"])),
        blob=b"",
        after=tuple(after),
        outputs=(OutputPlan("out", f"{name}.out", "<f8", (), 8, 8),),
        inputs=tuple(InputPlan(f"i{n}", f"{source}.out") for n, source in enumerate(after)),
        restart=draw(st.sampled_from(["always", "on-failure", "never"])),
        backoff=backoff,
        max_restarts=draw(st.sampled_from([None, 0, 1, 2])),
        within_s=draw(st.sampled_from([1.0, 10.0])),
        on_failed=draw(st.sampled_from(["restart-readers", "ignore", "stop", "restart-readers"])),
        ready_within_s=draw(st.sampled_from([10.0, 30.0, 1.0, 0.0])),
        stop_within_s=draw(DURATIONS),
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    count = draw(st.integers(1, len(NAMES)))
    return Plan("world", tuple(draw(components(name, NAMES[:i])) for i, name in enumerate(NAMES[:count])))


class Order:
    """The data flow between processes, computed the slow and obvious way."""

    def __init__(self, plan: Plan) -> None:
        self.process_of = {c.name: c.process for c in plan.components}
        direct: dict[str, set[str]] = {p: set() for p in self.process_of.values()}
        for c in plan.components:
            direct[c.process] |= {self.process_of[a] for a in c.after} - {c.process}
        reach = {p: self._closure(direct, p) for p in direct}
        self.producers = {p: {q for q in direct[p] if p not in reach[q]} for p in direct}
        self.readers = {
            p: {r for r in direct if p in self._closure(self.producers, r) and r != p} for p in direct
        }
        self.waits_for = {
            p: {
                a
                for c in plan.components
                if c.process == p
                for a in c.after
                if self.process_of[a] in self.producers[p]
            }
            for p in direct
        }

    @staticmethod
    def _closure(graph: dict[str, set[str]], start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for name in graph[todo.pop()]:
                if name not in seen:
                    seen.add(name)
                    todo.append(name)
        return seen | {start}


ongoing = precondition(lambda self: not self.finished)


class World(RuleBasedStateMachine):
    """Keeps its own, simpler account of what goes on and compares it with every action."""

    @initialize(
        plan=plans(),
        until_done=st.sampled_from([False, False, True]),
        random=st.sampled_from([0.0, 0.5, 0.999]),
        launched=st.sampled_from([True, True, True, False]),
        left=st.one_of(
            st.just([]), st.lists(st.sampled_from(LEFT), min_size=len(NAMES), max_size=len(NAMES))
        ),
    )
    def begin(self, plan: Plan, until_done: bool, random: float, launched: bool, left: list[str]) -> None:
        self.steps = 0
        self.take(plan)
        self.supervisor = Supervisor(plan, lambda: random, until_done)
        self.now = 0.0
        self.in_flight: dict[str, int] = {}
        self.alive: dict[str, int] = {}
        self.asked: dict[str, float] = {}
        self.killed: set[str] = set()
        self.incarnations: dict[str, int] = dict.fromkeys(self.processes, 0)
        self.proven: set[str] = set()  # may have been ready once, or done
        self.seen_proven: set[str] = set()  # was seen to be so
        self.words: set[tuple[str, int]] = set()  # who said ready, and as which incarnation
        self.unwanted: set[str] = set()
        self.veterans: set[str] = set()  # of an earlier parent: to restart they wait for nobody
        self.restarted: dict[str, list[float]] = defaultdict(list)
        self.launched = self.closing = self.finished = False
        self.excused: set[str] = set()
        self.mirror = {
            n: (r.state, r.reason, r.restarts, r.incarnation) for n, r in self.supervisor.rows().items()
        }
        for process, what in zip(self.processes, left, strict=False):
            self.inherit(process, what)
        if launched or left:
            self.launch()

    def take(self, plan: Plan) -> None:
        self.plan = plan
        self.order = Order(plan)
        self.processes = sorted(self.order.producers)
        self.members = {p: [c for c in plan.components if c.process == p] for p in self.processes}

    def inherit(self, process: str, what: str) -> None:
        """Leave a process as an earlier parent may have left it."""
        names = [member.name for member in self.members[process]]
        done = frozenset(names if what == "done" else names[:1] if what == "half" else ())
        past = Past(3, 2, done)
        never = any(member.max_restarts == 0 for member in self.members[process])
        if what == "nothing" or (what == "backoff" and never):
            return
        self.incarnations[process] = 3
        if what in ALIVE:
            ready = frozenset(names) - done if what in {"ready", "half"} else frozenset[str]()
            self.alive[process] = 3
            self.veterans.add(process)
            self.proven |= ready
            self.words |= {(name, 3) for name in ready}
            self.tell(Adopted(process, past, 7, ready, leaves=what == "leaving"))
        else:
            self.unwanted |= {process} if what == "stopped" else set()
            self.veterans |= {process} if what == "backoff" else set()
            self.tell(Remembered(process, past, State(what)))
        assert not self.in_flight, "an inheritance starts something"

    # -------------------------------------------------------------- telling and checking

    def tell(self, event: Event) -> None:
        self.steps += 1
        before = self.supervisor.rows()
        foreseen = self._foresee(event)
        self._note(event, before)
        actions = self.supervisor.handle(event, self.now)
        assert foreseen is None or foreseen in actions, "another start was foreseen"
        assert not (self.finished and actions), "something happens after the end"
        after = self.supervisor.rows()
        before = self._note_plan(actions, before, after)
        if not isinstance(event, Remembered):  # its failure has had its consequences
            self._note_failures(before, after)
        self.proven |= {n for n, row in after.items() if row.state is State.DONE}
        for action in actions:
            self._check(action, event, before)
        if not isinstance(event, Adopted | Remembered):
            self._check_tally(before, after, actions)
        self.seen_proven |= {n for n, row in after.items() if row.state in {State.READY, State.DONE}}
        assert {n: (r.state, r.reason, r.restarts, r.incarnation) for n, r in after.items()} == self.mirror
        if isinstance(event, Ticked):
            deadline = self.supervisor.deadline
            assert deadline is None or deadline > self.now, "a deadline was left in the past"

    def _note(self, event: Event, before: dict[str, Any]) -> None:
        match event:
            case Launched():
                self.launched = True
            case ShutdownRequested() | Forced():
                self._note_closing(before)
            case BecameReady(name, incarnation):
                self.proven.add(name)
                self.words.add((name, incarnation))
            case Exited(process, incarnation) if self.alive.get(process) == incarnation:
                del self.alive[process]
                self.killed.discard(process)
                self.asked.pop(process, None)
            case SpawnFailed(process, incarnation) if self.in_flight.get(process) == incarnation:
                del self.in_flight[process]
            case Spawned(process, incarnation) if self.in_flight.get(process) == incarnation:
                self.alive[process] = self.in_flight.pop(process)
            case StopRequested(name) if not self.closing:
                self.unwanted.add(self.order.process_of[name])
            case StartRequested(name) | RestartRequested(name) if not self.closing:
                process = self.order.process_of[name]
                self.unwanted.discard(process)
                running = {before[m.name].state for m in self.members[process]} & {
                    State.STARTING,
                    State.READY,
                }
                if isinstance(event, RestartRequested) or not running:
                    self.restarted[process].clear()

    def _note_plan(
        self, actions: list[Action], before: dict[str, Any], _after: dict[str, Any]
    ) -> dict[str, Any]:
        """Give the rows to compare with: others, if another plan holds by now."""
        assert not any(isinstance(action, Rewire) for action in actions)
        return before

    def _note_closing(self, before: dict[str, Any]) -> None:
        if not self.closing:
            self.closing = True
            stopping = {self.order.process_of[n] for n, row in before.items() if row.state is State.STOPPING}
            self.excused = stopping | (self.unwanted & set(self.in_flight))

    def _note_failures(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        for process in self.processes:
            failed = any(
                after[m.name].state is State.FAILED and before[m.name].state is not State.FAILED
                for m in self.members[process]
            )
            if failed and any(m.on_failed == "stop" for m in self.members[process]):
                self._note_closing(before)

    def _check(self, action: Action, event: Event, before: dict[str, Any]) -> None:
        match action:
            case Spawn(process, incarnation, members):
                self._check_spawn(process, event, before)
                assert incarnation == self.incarnations[process] + 1
                assert members, "a process with nothing to run"
                if not isinstance(event, COMMANDS):
                    assert not any(before[m].state is State.DONE for m in members), "done, and started anew"
                assert set(members) <= {m.name for m in self.members[process]}
                self.incarnations[process] = self.in_flight[process] = incarnation
            case Ask(process, incarnation):
                assert self.alive.get(process) == incarnation
                assert process not in self.asked, "asked twice"
                if self.closing and process not in self.excused:
                    up = self.order.readers[process] & (set(self.alive) | set(self.in_flight))
                    assert not up, "asked before its readers were down"
                self.asked[process] = self.now
            case Terminate(process, incarnation) | Kill(process, incarnation):
                assert self.alive.get(process) == incarnation
                self._check_patience(action, process, event)
            case Report(name, state, reason, restarts, incarnation):
                seen = (state, reason, restarts, incarnation)
                assert self.mirror[name] != seen, "a report without news"
                self.mirror[name] = seen
            case Finish():
                assert not self.alive, "finished while something lives"
                assert not self.in_flight
                self.finished = self.closing = True

    def _check_spawn(self, process: str, event: Event, before: dict[str, Any]) -> None:
        assert process not in self.alive, "two of one"
        assert process not in self.in_flight, "two of one"
        assert not self.closing, "spawned after the shutdown began"
        assert self.launched
        assert process not in self.unwanted, "spawned although stopped"
        if {before[m.name].state for m in self.members[process]} <= OVER:
            assert isinstance(event, StartRequested | RestartRequested), "spawned unasked"
            assert self.order.process_of[event.component] == process, "spawned unasked"
        waited = self.order.waits_for[process] <= self.proven or process in self.veterans
        assert waited, "started before its producers"

    def _check_patience(self, action: Action, process: str, event: Event) -> None:
        patience = max(m.stop_within_s for m in self.members[process])
        if isinstance(action, Terminate):
            if process in self.asked:
                assert self.now >= self.asked[process] + patience / 2
        else:
            if process in self.asked and not isinstance(event, Forced):
                assert self.now >= self.asked[process] + patience
            self.killed.add(process)

    def _check_tally(self, before: dict[str, Any], after: dict[str, Any], actions: list[Action]) -> None:
        spawned = {a.process for a in actions if isinstance(a, Spawn)}
        for process, members in self.members.items():
            name = members[0].name
            if after[name].restarts == before[name].restarts:
                continue
            assert after[name].restarts == before[name].restarts + 1
            assert process in spawned
            times = self.restarted[process]
            times.append(self.now)
            limits = [(m.max_restarts, m.within_s) for m in members if m.max_restarts is not None]
            if limits:
                limit, within_s = min(limits, key=lambda pair: pair[0])
                assert sum(self.now - t < within_s for t in times) <= limit, "too many restarts"

    @invariant()
    def states_fit_the_processes(self) -> None:
        if not hasattr(self, "plan"):
            return
        for name, row in self.supervisor.rows().items():
            process = self.order.process_of[name]
            there = process in self.alive or process in self.in_flight
            if row.state in ABSENT:
                assert not there
            elif row.state is State.READY:
                assert process in self.alive
                assert row.pid is not None
                assert (name, row.incarnation) in self.words, "ready without a word"
            elif row.state is not State.DONE:
                assert there
            if row.state is State.WAITING and self.launched and not self.is_held(process):
                assert not self.closing
                assert row.reason.startswith("waits for ")
                assert not self.order.waits_for[process] <= self.seen_proven, "waits for nobody"
            if row.state is State.BACKOFF:
                assert self.supervisor.deadline is not None

    def is_held(self, _process: str) -> bool:
        return False

    # -------------------------------------------------------------- what can happen

    @precondition(lambda self: not self.launched and not self.finished and not self.closing)
    @rule()
    def launch(self) -> None:
        self.tell(Launched())

    @ongoing
    @rule(index=st.integers(0, 5), kind=st.sampled_from(COMMANDS))
    def command(self, index: int, kind: type[StartRequested | StopRequested | RestartRequested]) -> None:
        self.tell(kind(self.plan.components[index % len(self.plan.components)].name))

    @precondition(lambda self: self.in_flight)
    @rule(index=st.integers(0, 5), fails=st.sampled_from([False, False, False, True]))
    def answer_a_spawn(self, index: int, fails: bool) -> None:
        process, incarnation = sorted(self.in_flight.items())[index % len(self.in_flight)]
        self.tell(SpawnFailed(process, incarnation, "x") if fails else Spawned(process, incarnation, 7))

    @precondition(lambda self: self.in_flight or self.alive)
    @rule(index=st.integers(0, 5), kind=st.sampled_from([BecameReady, BecameReady, BecameReady, BecameDone]))
    def speak(self, index: int, kind: type[BecameReady | BecameDone]) -> None:
        there = self.in_flight | self.alive
        names = [c.name for c in self.plan.components if c.process in there]
        name = names[index % len(names)]
        self.tell(kind(name, there[self.order.process_of[name]]))

    @precondition(lambda self: self.in_flight or self.alive)
    @rule(ready=st.booleans())
    def go_well(self, ready: bool) -> None:
        while self.in_flight:
            self.answer_a_spawn(0, fails=False)
            for component in self.plan.components if ready else ():
                if component.process in self.alive:
                    self.tell(BecameReady(component.name, self.alive[component.process]))

    @rule(index=st.integers(0, 5), kind=st.sampled_from([BecameReady, BecameDone]))
    def speak_from_the_grave(self, index: int, kind: type[BecameReady | BecameDone]) -> None:
        component = self.plan.components[index % len(self.plan.components)]
        if component.process not in self.alive and component.process not in self.in_flight:
            before = self.supervisor.rows()
            event = kind(component.name, self.incarnations[component.process])
            assert self.supervisor.handle(event, self.now) == []
            assert self.supervisor.rows() == before

    @precondition(lambda self: self.alive)
    @rule(index=st.integers(0, 5), code=st.sampled_from([0, 1, 1, 75, 78, -9, -11]))
    def die(self, index: int, code: int) -> None:
        process, incarnation = sorted(self.alive.items())[index % len(self.alive)]
        self.tell(Exited(process, incarnation, code))

    def _foresee(self, event: Event) -> Spawn | None:
        """Ask what a death would bring at once, which nothing but its cause may change."""
        before = self.supervisor.rows()
        found = [self.supervisor.foresee(p, n, self.now) for p, n in sorted(self.alive.items())]
        assert self.supervisor.rows() == before, "to foresee has changed something"
        told = dict(zip(sorted(self.alive), found, strict=True))
        is_kill = isinstance(event, Exited) and event.code == -9 and not event.reason
        return told.get(event.process) if is_kill and isinstance(event, Exited) else None

    @precondition(lambda self: self.killed)
    @rule()
    def obey_a_kill(self) -> None:
        process = min(self.killed)
        self.tell(Exited(process, self.alive[process], -9))

    @ongoing
    @rule(passed_s=st.sampled_from([0.1, 0.5, 2.0, 30.0]))
    def let_time_pass(self, passed_s: float) -> None:
        self.now += passed_s
        self.tell(Ticked())

    @precondition(lambda self: self.supervisor.deadline is not None)
    @rule()
    def reach_the_deadline(self) -> None:
        deadline = self.supervisor.deadline
        assert deadline is not None
        self.now = max(self.now, deadline)
        self.tell(Ticked())

    @rule(
        index=st.integers(0, 5), kind=st.sampled_from([Spawned, SpawnFailed, Exited, BecameReady, BecameDone])
    )
    def hear_old_news(self, index: int, kind: Any) -> None:
        component = self.plan.components[index % len(self.plan.components)]
        old = self.incarnations[component.process] - 1
        if old < 1:
            return
        details = {Spawned: (7,), SpawnFailed: ("x",), Exited: (0,)}
        subject = component.process if kind in details else component.name
        before = self.supervisor.rows()
        assert self.supervisor.handle(kind(subject, old, *details.get(kind, ())), self.now) == []
        assert self.supervisor.rows() == before

    @ongoing
    @precondition(lambda self: self.steps > 25)
    @rule(code=st.integers(0, 3), force=st.booleans())
    def shut_down(self, code: int, force: bool) -> None:
        self.tell(Forced() if force else ShutdownRequested(code))

    @precondition(lambda self: self.finished)
    @rule()
    def go_on_after_the_end(self) -> None:
        name, process = self.plan.components[0].name, self.processes[0]
        for event in (StartRequested(name), ShutdownRequested(1), Forced(), Exited(process, 1, 0), Ticked()):
            self.tell(event)

    # -------------------------------------------------------------- how it ends

    def teardown(self) -> None:
        """Whatever has happened: a shutdown ends it if processes obey SIGKILL, and nothing else."""
        if not hasattr(self, "plan"):
            return
        if not self.finished:
            self.tell(ShutdownRequested())
        for _ in range(10 * len(NAMES)):
            if self.finished:
                break
            if self.in_flight:
                self.answer_a_spawn(0, fails=False)
            elif self.killed:
                self.obey_a_kill()
            else:
                assert self.supervisor.deadline is not None, "the shutdown hangs"
                self.reach_the_deadline()
            self.states_fit_the_processes()
        assert self.finished, "the shutdown does not end"
        assert {row.state for row in self.supervisor.rows().values()} <= OVER
        assert self.supervisor.deadline is None


World.TestCase.settings = settings(
    max_examples=400,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
TestWorld = World.TestCase
