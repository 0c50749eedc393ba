"""Stories about changes of plan: what happened when, as data, and what the supervisor made of it."""

from dataclasses import replace

import pytest

from dolphin_mp.plan import BackoffPlan, ComponentPlan, InputPlan, OutputPlan, Plan
from dolphin_mp.supervision.supervisor import (
    Ask,
    BecameDone,
    BecameReady,
    Exited,
    InvalidTransition,
    Launched,
    Replanned,
    Report,
    RestartRequested,
    Rewire,
    ShutdownRequested,
    Spawn,
    Spawned,
    StartRequested,
    StopRequested,
    Supervisor,
    Ticked,
)


def component(name, *reads, dtype="<f8", **rest):
    return ComponentPlan(
        name,
        "x:X",
        rest.pop("process", name),
        b"",
        after=reads,
        outputs=(OutputPlan("out", f"{name}.out", dtype, (), 8, 8),),
        inputs=tuple(InputPlan(f"from_{r}", f"{r}.out") for r in reads),
        **rest,
    )


def launched(*components, until_done=False, ready=True):
    """Give a system whose components are all ready, each as its first incarnation."""
    supervisor = Supervisor(Plan("s", components), lambda: 0.5, until_done)
    supervisor.handle(Launched(), 0.0)
    for c in components if ready else ():
        supervisor.handle(Spawned(c.process, 1, 100), 0.0)
        supervisor.handle(BecameReady(c.name, 1), 0.0)
    return supervisor


def did(supervisor, event, now=1.0):
    """Give the commands that follow an event."""
    words = []
    for action in supervisor.handle(event, now):
        if isinstance(action, Rewire):
            words.append("rewire")
        elif not isinstance(action, Report):
            words.append(f"{type(action).__name__.lower()} {getattr(action, 'process', '')}".strip())
    return words


def replan(*components):
    return Replanned(Plan("s", components))


def states(supervisor):
    return {name: row.state.value for name, row in supervisor.rows().items()}


A, B, C = component("a"), component("b", "a"), component("c")
A_OTHER = component("a", dtype="<f4")


def test_a_policy_is_changed_at_once_and_nobody_notices():
    s = launched(A, B)
    assert did(s, replan(replace(A, backoff=BackoffPlan(first_s=9.0)), B)) == ["rewire"]
    assert states(s) == {"a": "ready", "b": "ready"}
    assert did(s, Exited("a", 1, 1)) == ["spawn a"]
    did(s, Spawned("a", 2, 200))
    assert did(s, Exited("a", 2, 1), 2.0) == []
    assert s.deadline == 11.0


def test_an_option_restarts_its_component_as_an_operator_would():
    s = launched(A, B)
    assert did(s, replan(replace(A, options=(("x", "1"),)), B)) == ["rewire", "ask a"]
    assert did(s, Exited("a", 1, 0)) == ["spawn a"]
    did(s, Spawned("a", 2, 200))
    did(s, BecameReady("a", 2))
    row = s.row("a")
    assert (row.state.value, row.restarts, row.incarnation) == ("ready", 0, 2)


def test_the_readers_of_a_replaced_channel_go_first_and_come_last():
    s = launched(A, B, C)
    assert did(s, replan(A_OTHER, B, C)) == ["ask b"]
    assert s.is_reloading
    assert did(s, Exited("b", 1, 0)) == ["ask a"]
    assert states(s) == {"a": "stopping", "b": "waiting", "c": "ready"}
    assert s.row("b").reason == "reload"
    assert did(s, Exited("a", 1, 0)) == ["rewire", "spawn a"]
    assert s.row("b").reason == "waits for a"
    did(s, Spawned("a", 2, 200))
    assert did(s, BecameReady("a", 2)) == ["spawn b"]
    assert not s.is_reloading


def test_who_goes_is_forgotten_and_who_comes_waits_for_what_it_reads():
    s = launched(A, C)
    assert did(s, replan(A, component("d"), component("e", "d"))) == ["ask c"]
    assert did(s, Exited("c", 1, 0)) == ["rewire", "spawn d"]
    assert states(s) == {"a": "ready", "d": "starting", "e": "waiting"}
    with pytest.raises(KeyError):
        s.handle(StopRequested("c"), 2.0)


@pytest.mark.parametrize("order", [RestartRequested, StartRequested])
def test_nobody_comes_back_before_the_channels_are_replaced(order):
    s = launched(A, B)
    did(s, replan(A_OTHER, B))
    assert did(s, order("b")) == []
    assert did(s, Exited("b", 1, 0)) == ["ask a"]
    assert did(s, order("b")) == []
    assert did(s, StopRequested("b")) == []
    assert did(s, order("b")) == []
    assert did(s, Exited("a", 1, 0)) == ["rewire", "spawn a"]


def test_a_back_off_ends_where_its_channel_is_replaced():
    s = launched(A, B)
    did(s, Exited("b", 1, 1))
    did(s, Spawned("b", 2, 200))
    assert did(s, Exited("b", 2, 1)) == []
    assert did(s, replan(A_OTHER, B)) == ["ask a"]
    assert s.deadline == 6.0, "only a's patience is left"
    assert did(s, Exited("a", 1, 0)) == ["rewire", "spawn a"]


def test_what_an_operator_stopped_stays_down_and_holds_nobody_up():
    s = launched(A, B)
    did(s, StopRequested("a"))
    did(s, Exited("a", 1, 0))
    assert did(s, replan(A_OTHER, B)) == ["ask b"]
    assert did(s, Exited("b", 1, 0)) == ["rewire", "spawn b"]
    assert states(s) == {"a": "stopped", "b": "starting"}


def test_what_has_failed_gets_another_chance_if_it_changed():
    s = launched(replace(A, restart="never"), replace(C, restart="never"))
    did(s, Exited("a", 1, 1))
    did(s, Exited("c", 1, 1))
    changed = replace(A, restart="never", options=(("x", "1"),))
    assert did(s, replan(changed, replace(C, restart="never"))) == ["rewire", "spawn a"]
    assert states(s) == {"a": "starting", "c": "failed"}


def test_a_member_that_is_done_stays_done_unless_it_changed_itself():
    a, b = component("a", process="p"), component("b", process="p")
    for changed, members in [
        ([a, replace(b, every_s=1.0)], ("b",)),
        ([replace(a, every_s=1.0), b], ("a", "b")),
    ]:
        s = Supervisor(Plan("s", (a, b)), lambda: 0.5)
        for event in (Launched(), Spawned("p", 1, 7), BecameReady("b", 1), BecameDone("a", 1)):
            s.handle(event, 0.0)
        assert did(s, replan(*changed)) == ["rewire", "ask p"]
        (spawn,) = [x for x in s.handle(Exited("p", 1, 0), 2.0) if isinstance(x, Spawn)]
        assert spawn.members == members


def test_a_process_whose_last_working_member_leaves_is_done():
    a, b = component("a", process="p"), component("b", process="p")
    s = Supervisor(Plan("s", (a, b)), lambda: 0.5)
    for event in (Launched(), Spawned("p", 1, 7), BecameReady("b", 1), BecameDone("a", 1)):
        s.handle(event, 0.0)
    assert did(s, replan(a)) == ["ask p"]
    assert did(s, Exited("p", 1, 0)) == ["rewire"]
    assert states(s) == {"a": "done"}


def test_a_component_moves_only_when_its_old_process_is_down():
    a, b = component("a", process="p"), component("b", process="p")
    s = Supervisor(Plan("s", (a, b)), lambda: 0.5)
    for event in (Launched(), Spawned("p", 1, 7), BecameReady("a", 1), BecameReady("b", 1)):
        s.handle(event, 0.0)
    assert did(s, replan(a, replace(b, process="q"))) == ["ask p"]
    assert did(s, Exited("p", 1, 0)) == ["rewire", "spawn p", "spawn q"]


def test_a_shutdown_wins():
    s = launched(A, B)
    did(s, replan(A_OTHER, B, C))
    did(s, ShutdownRequested())
    assert not s.is_reloading
    assert did(s, Exited("b", 1, 0)) == ["ask a"]
    assert did(s, Exited("a", 1, 0)) == ["finish"]
    assert states(s) == {"a": "stopped", "b": "stopped"}
    assert did(s, replan(A)) == []


def test_a_system_that_is_to_end_when_all_is_done_does_not_end_in_between():
    s = launched(A, until_done=True)
    did(s, replan(A_OTHER))
    assert did(s, Exited("a", 1, 0)) == ["rewire", "spawn a"]


def test_a_second_change_has_to_wait_for_the_first():
    s = launched(A, B)
    did(s, replan(A_OTHER, B))
    with pytest.raises(InvalidTransition, match="about to change its plan"):
        s.handle(replan(A, B), 1.0)
    assert isinstance(s.handle(Ticked(), 1.0), list)


def test_a_change_before_the_launch_holds_at_once():
    s = Supervisor(Plan("s", (A,)), lambda: 0.5)
    assert did(s, replan(A_OTHER, B)) == ["rewire"]
    assert did(s, Launched()) == ["spawn a"]
    assert not any(isinstance(action, Ask) for action in s.handle(Ticked(), 0.0))
