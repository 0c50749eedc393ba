"""The world of test_supervisor_world, whose operator also changes the plan, again and again."""

from __future__ import annotations

import importlib.util
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from dolphin_mp.plan import ComponentPlan, OutputPlan, Plan
from dolphin_mp.supervision.supervisor import (
    Action,
    Ask,
    Event,
    Forced,
    HungDetected,
    Kill,
    Replanned,
    Rewire,
    ShutdownRequested,
    Spawn,
    State,
    Terminate,
)
from dolphin_mp.supervision.vocabulary import ComponentStatus


def _load_world() -> Any:
    path = Path(__file__).with_name("test_supervisor_world.py")
    specification = importlib.util.spec_from_file_location("_world_without_replans", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


base = _load_world()
TOLD_AT_BIRTH = (
    "run",
    "process",
    "blob",
    "outputs",
    "inputs",
    "every_s",
    "on",
    "schedule",
    "options",
    "code",
)
SIGNALS = (Ask, Terminate, Kill)


@st.composite
def other_plans(draw: st.DrawFn, old: Plan) -> Plan:
    """Draw a plan that has something in common with an old one."""
    was = {c.name: c for c in old.components}
    components: list[ComponentPlan] = []
    for name in base.NAMES:
        how = draw(
            st.sampled_from(
                ["as it was", "as it was", "tuned", "other option", "other dtype", "other", "gone"]
            )
        )
        names = {c.name for c in components}
        if how == "gone" or (name not in was and how in {"as it was", "tuned"}):
            continue
        part = was.get(name) if how != "other" else None
        part = part or draw(base.components(name, tuple(c.name for c in components)))
        part = replace(part, after=tuple(a for a in part.after if a in names))
        part = replace(part, inputs=tuple(i for i in part.inputs if i.channel.partition(".")[0] in names))
        if how == "tuned":
            part = replace(
                part, stop_within_s=draw(base.DURATIONS), max_restarts=draw(st.sampled_from([None, 0, 1]))
            )
        elif how == "other option":
            part = replace(part, options=(("depth", str(draw(st.integers(0, 9)))),))
        elif how == "other dtype":
            dtype = draw(st.sampled_from(["<f8", "<f4"]))
            part = replace(part, outputs=(OutputPlan("out", f"{name}.out", dtype, (), 8, int(dtype[2])),))
        components.append(part)
    components = components or [draw(base.components("a", ()))]
    return Plan("world", tuple(components))


class World(base.World):
    """Knows by a simpler account which processes a change of plan concerns."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted: Plan | None = None  # a plan that was asked for and does not hold yet
        self.rewired: list[Rewire] = []
        self.patience: dict[str, float] = defaultdict(float)
        self.excused_from_order: set[str] = set()
        self.judged: set[str] = set()  # may rest after a death that was judged by earlier limits

    # -------------------------------------------------------------- the simpler account

    def channels(self, plan: Plan) -> dict[str, str]:
        return {o.channel: o.dtype for c in plan.components for o in c.outputs}

    def touched_channels(self, new: Plan) -> set[str]:
        """Give the channels whose segment can't stay."""
        becomes = self.channels(new)
        return {name for name, dtype in self.channels(self.plan).items() if becomes.get(name) != dtype}

    def must_be_down(self, new: Plan) -> set[str]:
        """Give the processes of this plan that no longer may run when the other one holds."""
        touched = self.touched_channels(new)
        found = set()
        for plan in (self.plan, new):
            for c in plan.components:
                if touched & {item.channel for item in (*c.outputs, *c.inputs)}:
                    found |= {o.process for o in self.plan.components if o.name == c.name}
        for process in self.processes:
            if self.names(self.plan, process) != self.names(new, process):
                found.add(process)
        return found

    def unchanged(self, new: Plan) -> set[str]:
        """Give the processes that a change to another plan leaves alone."""
        becomes = {c.name: c for c in new.components}
        return {
            process
            for process in set(self.processes) - self.must_be_down(new)
            if all(
                getattr(c, field) == getattr(becomes[c.name], field)
                for c in self.members[process]
                for field in TOLD_AT_BIRTH
            )
        }

    @staticmethod
    def names(plan: Plan, process: str) -> set[str]:
        return {c.name for c in plan.components if c.process == process}

    # -------------------------------------------------------------- telling and checking

    def tell(self, event: Event) -> None:
        self.event = event
        if isinstance(event, base.COMMANDS):
            self.excused_from_order.add(self.order.process_of[event.component])
        super().tell(event)
        if self.closing:
            self.wanted = None
        assert self.supervisor.is_reloading == (self.wanted is not None)

    def _note_plan(
        self, actions: list[Action], before: dict[str, Any], after: dict[str, Any]
    ) -> dict[str, Any]:
        self.after = after
        self.has_failed = any(r.state is State.FAILED and before.get(n) != r for n, r in after.items())
        self.rewired = [action for action in actions if isinstance(action, Rewire)]
        if self.wanted is not None and isinstance(self.event, Replanned):
            concerned = {a.process for a in actions if isinstance(a, SIGNALS)}
            assert not concerned & self.unchanged(self.wanted), "a process that did not change is bothered"
        if not self.rewired:
            return before
        assert len(self.rewired) == 1
        assert actions.index(self.rewired[0]) <= min(
            (n for n, a in enumerate(actions) if isinstance(a, Spawn | Ask)), default=len(actions)
        ), "something starts or stops before the channels are replaced"
        new, self.wanted = self.wanted, None
        assert new is not None
        assert new == self.rewired[0].plan
        self.down = down = self.must_be_down(new)
        assert not down & (set(self.alive) | set(self.in_flight)), "a channel is replaced under a process"
        kept = self.unchanged(new)
        for action in actions:
            if isinstance(action, SIGNALS):
                assert action.process not in kept, "a process that did not change is bothered"
            elif isinstance(action, Spawn) and action.process in kept:
                states = {before[m.name].state for m in self.members[action.process]}
                assert states <= {State.WAITING, State.DONE}, "a process that did not change is started"
        self._forget(new, down, kept, before, after)
        assert list(after) == [c.name for c in new.components], "rows of others than the plan's"
        before = {n: before.get(n) or ComponentStatus(n, State.WAITING, "", 0, 0, None, 0.0) for n in after}
        self.mirror = {n: self.mirror.get(n, (State.WAITING, "", 0, 0)) for n in after}
        self.take(new)
        for process in kept:  # has started once, and may do so again whomever it would wait for now
            if any(before[c.name].state is not State.WAITING for c in self.members[process]):
                self.proven |= self.order.waits_for[process]
        return before

    def _note_closing(self, before: dict[str, Any]) -> None:
        if not self.closing and self.wanted is not None:
            super()._note_closing(before)
            self.excused |= self.must_be_down(self.wanted)
        super()._note_closing(before)

    def _forget(
        self, new: Plan, down: set[str], kept: set[str], before: dict[str, Any], after: dict[str, Any]
    ) -> None:
        """Drop what is said of names that are gone, and of those that start anew."""
        stopped = {n for n, row in after.items() if row.state is State.STOPPED}
        moved = {c.name for c in self.plan.components if c.process in down} - stopped
        names = {c.name for c in new.components}
        self.seen_proven = (self.seen_proven - moved) & names
        self.proven &= names
        processes = {c.process for c in new.components}
        rests = {
            State.STOPPED,
            State.STOPPING,
            State.WAITING,
        }  # to stop what is done or failed changes nothing
        self.unwanted &= processes & {self.order.process_of[n] for n, r in before.items() if r.state in rests}
        for process in processes:
            limits = [
                [(c.name, c.max_restarts, c.within_s) for c in plan.components if c.process == process]
                for plan in (self.plan, new)
            ]
            if process not in kept or limits[0] != limits[1]:
                self.restarted[process].clear()
                self.judged.add(process)
        for process in set(self.processes) - processes:
            self.incarnations.pop(process)
        self.incarnations = dict.fromkeys(processes, 0) | self.incarnations
        for process in set(self.asked) & processes:
            self.patience[process] = min(self.patience[process], self.patience_of(new, process))

    def _check(self, action: Action, event: Event, before: dict[str, Any]) -> None:
        match action:
            case Rewire():
                return
            case Spawn(process, incarnation, members) if self.rewired:
                self._check_spawn(process, event, before)
                self.check_order(process)
                assert incarnation == self.incarnations[process] + 1
                assert members, "a process with nothing to run"
                assert set(members) <= {m.name for m in self.members[process]}
                self.incarnations[process] = self.in_flight[process] = incarnation
                return
            case Ask(process):
                self.patience[process] = self.patience_of(self.plan, process)
                if self.wanted is not None and process in self.drained_now(event):
                    up = self.direct_readers(process) & (set(self.alive) | set(self.in_flight))
                    assert not up & self.must_be_down(self.wanted), "asked before its readers were down"
        super()._check(action, event, before)

    def check_order(self, process: str) -> None:
        """Of those that start anew together the producers come first."""
        for name in self.order.waits_for[process]:
            if self.order.process_of[name] in self.down:
                assert self.after[name].state in base.OVER, "started before its producer"

    def drained_now(self, event: Event) -> set[str]:
        """Give whom the change of plan takes down by itself, not an operator or a failure."""
        assert self.wanted is not None
        named = isinstance(event, (*base.COMMANDS, HungDetected, ShutdownRequested, Forced))
        excused = set() if self.closing or named or self.has_failed else self.must_be_down(self.wanted)
        return excused - self.excused_from_order

    def direct_readers(self, process: str) -> set[str]:
        return {reader for reader, names in self.order.producers.items() if process in names}

    def patience_of(self, plan: Plan, process: str) -> float:
        return max(c.stop_within_s for c in plan.components if c.process == process)

    def _check_spawn(self, process: str, event: Event, before: dict[str, Any]) -> None:
        if self.rewired:
            assert process not in self.alive, "two of one"
            assert process not in self.in_flight, "two of one"
            assert not self.closing
            assert process not in self.unwanted, "spawned although stopped"
            return
        super()._check_spawn(process, event, before)

    def _check_patience(self, action: Action, process: str, event: Event) -> None:
        if process in self.asked and not isinstance(event, Forced):
            share = 0.5 if isinstance(action, Terminate) else 1.0
            assert self.now >= self.asked[process] + share * self.patience[process]
        if isinstance(action, Kill):
            self.killed.add(process)

    def _check_tally(self, before: dict[str, Any], after: dict[str, Any], actions: list[Action]) -> None:
        if self.rewired:
            return
        for process in [p for p in self.judged if p in self.members]:
            name = self.members[process][0].name
            if before[name].state is not State.BACKOFF or after[name].state is not State.BACKOFF:
                self.judged.discard(process)
                before = {**before, name: replace(before[name], restarts=after[name].restarts)}
        super()._check_tally(before, after, actions)

    def is_held(self, process: str) -> bool:
        return self.wanted is not None and process in self.must_be_down(self.wanted)

    # -------------------------------------------------------------- what can happen

    @precondition(lambda self: not self.closing and not self.finished and self.wanted is None)
    @rule(data=st.data())
    def replan(self, data: st.DataObject) -> None:
        self.wanted = data.draw(other_plans(self.plan))
        self.excused_from_order = {
            self.order.process_of[n]
            for n, row in self.supervisor.rows().items()
            if row.state is State.STOPPING
        }
        self.tell(Replanned(self.wanted))


World.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
TestReplanWorld = World.TestCase
