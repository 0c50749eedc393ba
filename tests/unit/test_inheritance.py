"""What a dead parent's board comes to: traces as data in, events for the next supervisor out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dolphin_mp.plan import ComponentPlan, InputPlan, OutputPlan, Plan
from dolphin_mp.supervision.inheritance import Legacy, Trace, differing, exit_word, legacy_of, turns
from dolphin_mp.supervision.supervisor import Supervisor
from dolphin_mp.supervision.vocabulary import (
    Action,
    Adopted,
    Ask,
    Exited,
    Launched,
    Past,
    Remembered,
    Report,
    Spawn,
    State,
)

PAST = Past(4, 2)


def trace(state: str, phase: str = "", **more: Any) -> Trace:
    return Trace("ob", state, 4, 2, phase=phase, **more)


def living(*traces: Trace) -> Adopted:
    found = legacy_of("ob", traces, 7, alive=True, code=None)
    assert isinstance(found.before, Adopted)
    assert not found.deaths
    return found.before


def dead(*traces: Trace, code: int | None = None) -> Legacy:
    return legacy_of("ob", traces, 7, alive=False, code=code)


@pytest.mark.parametrize(
    ("found", "ready", "leaves"),
    [
        (trace("ready", "ready"), {"ob"}, False),
        (trace("starting", "ready"), {"ob"}, False),
        (trace("starting", "starting"), set(), False),
        (trace("starting"), set(), False),
        (trace("ready", "ready", asked=True), {"ob"}, True),
        (trace("stopping", "ready"), {"ob"}, True),
        (trace("ready", "stopping"), set(), True),
        (trace("ready", "failed"), set(), True),
        (trace("ready", "stopped"), set(), True),
    ],
)
def test_who_lives_is_taken_over_as_it_is(found: Trace, ready: set[str], leaves: bool) -> None:
    assert living(found) == Adopted("ob", PAST, 7, frozenset(ready), leaves)


def test_of_several_in_one_process_those_that_are_done_stay_so() -> None:
    found = living(replace(trace("done", "done", asked=True), name="seed"), trace("ready", "ready"))
    assert found == Adopted("ob", Past(4, 2, frozenset({"seed"})), 7, frozenset({"ob"}), leaves=False)


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (trace("stopped", "stopped", reason="on request"), State.STOPPED),
        (trace("stopped", reason="on request, killed by SIGKILL"), State.STOPPED),
        (trace("stopped", "stopped", reason="shutdown"), State.WAITING),
        (trace("stopping", "stopped", reason="on request"), State.WAITING),
        (trace("ready", "stopped", asked=True), State.WAITING),
        (trace("starting", "stopped", word="terminated", asked=True), State.WAITING),
        (trace("failed", "failed", reason="exit 78"), State.FAILED),
        (trace("backoff", "failed", reason="exit 1"), State.BACKOFF),
        (trace("waiting"), State.WAITING),
        (trace("waiting", "done"), State.WAITING),
        (trace("done"), State.DONE),
        (trace("ready", "done"), State.DONE),
        (trace("starting"), State.WAITING),
    ],
)
def test_who_does_not_live_and_rightly_so_is_remembered(found: Trace, state: State) -> None:
    legacy = dead(found)
    assert isinstance(legacy.before, Remembered)
    assert (legacy.before.state, legacy.deaths) == (state, ())
    assert legacy.before.past.incarnation == 4


@pytest.mark.parametrize(
    ("found", "code", "end"),
    [
        (trace("ready", "ready"), -9, Exited("ob", 4, -9)),
        (trace("ready", "ready"), None, Exited("ob", 4, None)),
        (trace("starting", "starting"), None, Exited("ob", 4, None)),
        (trace("ready", "stopped"), None, Exited("ob", 4, 0)),
        (trace("ready", "failed", word="KeyError: x"), None, Exited("ob", 4, 1, "KeyError: x")),
        (trace("ready", "failed", word="exit 78"), None, Exited("ob", 4, 78)),
    ],
)
def test_who_died_meanwhile_is_told_of_as_if_it_had_lived_until_now(
    found: Trace, code: int | None, end: Exited
) -> None:
    legacy = dead(found, code=code)
    assert isinstance(legacy.before, Adopted)
    assert not legacy.before.leaves
    assert legacy.deaths == (end,)


def test_of_what_was_never_started_nothing_is_told() -> None:
    assert dead(Trace("ob")) == Legacy()
    assert dead(Trace("ob", "waiting")) == Legacy()


def test_the_last_words_of_a_process_are_those_of_the_member_that_failed() -> None:
    assert exit_word([trace("ready", "stopped", word="terminated")]) == (143, "")
    assert exit_word([trace("ready", "stopped"), trace("ready", "failed", word="no luck")]) == (1, "no luck")
    assert exit_word([trace("ready", "stopped"), trace("ready", "ready")]) == (None, "")
    assert exit_word([]) == (None, "")


# ------------------------------------------------------------------ what the supervisor makes of it


def component(name: str, *after: str, **more: Any) -> ComponentPlan:
    inputs = tuple(InputPlan(f"from_{a}", f"{a}.out") for a in after)
    outputs = (OutputPlan("out", f"{name}.out", "<i8", (), 8, 8),)
    return ComponentPlan(
        name, "x:X", name, b"", after=after, **{"inputs": inputs, "outputs": outputs, **more}
    )


def plan(*components: ComponentPlan, **more: Any) -> Plan:
    return Plan("test", components, **more)


def launch(supervisor: Supervisor, *events: Any) -> list[Action]:
    """Hand in events; give the commands."""
    actions = [action for event in events for action in supervisor.handle(event, 100.0)]
    return [action for action in actions if not isinstance(action, Report)]


def test_an_adopted_producer_holds_nobody_up_and_its_death_is_judged_with_its_history() -> None:
    s = Supervisor(plan(component("ob"), component("edge", "ob")), lambda: 0.5)
    found = Adopted("ob", PAST, 7, frozenset({"ob"}))
    assert launch(s, found, Launched()) == [Spawn("edge", 1, ("edge",))]
    assert (s.row("ob").state, s.row("ob").restarts, s.row("ob").pid) == (State.READY, 2, 7)
    assert launch(s, Exited("ob", 4, None)) == [Spawn("ob", 5, ("ob",))]
    assert (s.row("ob").reason, s.row("ob").restarts) == ("died unseen", 3)


def test_one_that_was_being_stopped_is_asked_again_and_started_anew() -> None:
    s = Supervisor(plan(component("ob", restart="never")), lambda: 0.5)
    assert launch(s, Adopted("ob", PAST, 7, leaves=True), Launched()) == [Ask("ob", 4)]
    assert s.row("ob").state is State.STOPPING
    assert launch(s, Exited("ob", 4, 0)) == [Spawn("ob", 5, ("ob",))]
    assert s.row("ob").restarts == 2


def test_one_that_never_gets_ready_has_its_time_from_the_adoption_on() -> None:
    s = Supervisor(plan(component("ob", ready_within_s=30.0)), lambda: 0.5)
    launch(s, Adopted("ob", PAST, 7), Launched())
    assert s.deadline == 130.0


@pytest.mark.parametrize("state", [State.STOPPED, State.DONE, State.FAILED])
def test_what_rests_goes_on_resting(state: State) -> None:
    s = Supervisor(plan(component("ob", on_failed="stop"), component("edge", "ob")), lambda: 0.5)
    expected = [Spawn("edge", 1, ("edge",))] if state is State.DONE else []
    assert launch(s, Remembered("ob", PAST, state, "as it was"), Launched()) == expected
    assert (s.row("ob").state, s.row("ob").reason, s.row("ob").incarnation) == (state, "as it was", 4)


# ------------------------------------------------------------------ what can't stay


def test_what_only_the_supervisor_knows_changes_under_a_running_process() -> None:
    old = plan(component("ob"))
    tuned = plan(component("ob", max_restarts=3, restart="never", stop_within_s=1.0))
    assert differing(old, tuned) == frozenset()
    assert differing(old, plan(component("ob", every_s=1.0))) == {"ob"}
    assert differing(old, plan(component("ob"), orphan="stop")) == {"ob"}
    assert differing(old, plan(component("other"))) == {"ob"}


def test_who_reads_a_channel_that_is_replaced_can_not_stay_either() -> None:
    old = plan(component("ob"), component("edge", "ob"), component("far", "edge"))
    wide = component("ob", outputs=(OutputPlan("out", "ob.out", "<f8", (), 8, 8),))
    assert differing(old, plan(wide, *old.components[1:])) == {"ob", "edge"}


def test_who_gets_or_loses_company_in_its_process_starts_anew_with_it() -> None:
    alone, pair = (
        component("ob"),
        (replace(component("ob"), process="p"), replace(component("mc"), process="p")),
    )
    assert differing(plan(*pair), plan(*pair)) == frozenset()
    assert differing(plan(pair[0]), plan(*pair)) == {"ob"}
    assert differing(plan(*pair), plan(pair[0])) == {"ob", "mc"}
    assert differing(plan(*pair), plan(alone, pair[1])) == {"ob", "mc"}


def test_readers_go_before_whom_they_read_from() -> None:
    system = plan(component("a"), component("b", "a"), component("c", "b"), component("d"))
    order = [turn for turn in turns(system, frozenset({"a", "c", "d"})) if turn]
    assert order == [["c", "d"], ["a"]]


def test_the_order_of_who_goes_needs_nobody_who_was_changing() -> None:
    """A parent killed in the midst of a reload has written a plan without those; readers name them yet."""
    left = plan(component("b", "a"), component("c", "b"))
    assert [turn for turn in turns(left, frozenset({"b", "c"})) if turn] == [["c"], ["b"]]
