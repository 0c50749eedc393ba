"""Stories about processes that hang: examined first, in bounded time, then killed, then as any that died."""

import pytest

from dolphin_mp.plan import ComponentPlan, Plan
from dolphin_mp.supervision.stopping import STACKS_WITHIN_S
from dolphin_mp.supervision.supervisor import (
    BecameDone,
    BecameReady,
    DumpStacks,
    Exited,
    Forced,
    HungDetected,
    Kill,
    Launched,
    Report,
    RestartRequested,
    ShutdownRequested,
    Spawn,
    Spawned,
    StartRequested,
    StopRequested,
    Supervisor,
    Ticked,
)

REASON = "hung: step begun 7.2 s ago"
HUNG = HungDetected("ob", 1, REASON)
SIGKILL = -9


def part(name="ob", process="", **policy):
    return ComponentPlan(name, "x:X", process or name, b"", **policy)


def ready(*parts):
    """Give a supervisor whose components, of one process each, are ready since 0."""
    supervisor = Supervisor(Plan("test", parts or (part(),)), lambda: 0.5)
    supervisor.handle(Launched(), 0)
    for process in dict.fromkeys(item.process for item in parts or (part(),)):
        supervisor.handle(Spawned(process, 1, 100), 0)
    for item in parts or (part(),):
        supervisor.handle(BecameReady(item.name, 1), 0)
    return supervisor


def commands(supervisor, *story):
    return [a for t, event in story for a in supervisor.handle(event, t) if not isinstance(a, Report)]


def test_a_hung_process_has_its_stacks_dumped_then_is_killed_then_restarted():
    s = ready()
    assert commands(s, (10, HUNG)) == [DumpStacks("ob", 1)]
    assert (s.row("ob").state, s.row("ob").reason) == ("stopping", REASON)
    assert s.deadline == 10 + STACKS_WITHIN_S
    assert commands(s, (10.5, Ticked())) == [Kill("ob", 1)]
    assert commands(s, (10.6, Exited("ob", 1, SIGKILL))) == [Spawn("ob", 2, ("ob",))]
    assert (s.row("ob").restarts, s.row("ob").reason) == (1, REASON)


def test_one_that_dies_of_the_question_is_restarted_as_well():
    s = ready()
    assert commands(s, (10, HUNG), (10.1, Exited("ob", 1, -11))) == [
        DumpStacks("ob", 1),
        Spawn("ob", 2, ("ob",)),
    ]
    assert s.row("ob").reason == REASON


def test_it_is_examined_once():
    assert commands(ready(), (10, HUNG), (10.1, HUNG)) == [DumpStacks("ob", 1)]


def test_a_hang_counts_as_a_failure_for_every_policy():
    s = ready(part(restart="never"))
    assert commands(s, (10, HUNG), (10.5, Ticked()), (10.6, Exited("ob", 1, SIGKILL)))[2:] == []
    assert (s.row("ob").state, s.row("ob").reason) == ("failed", REASON)
    s = ready(part(max_restarts=0))
    commands(s, (10, HUNG), (10.5, Ticked()), (10.6, Exited("ob", 1, SIGKILL)))
    assert s.row("ob").state == "failed"


def test_a_ready_member_of_a_process_that_still_starts_can_hang():
    s = Supervisor(Plan("test", (part("a", "p"), part("b", "p"))), lambda: 0.5)
    story = [(0, Launched()), (0, Spawned("p", 1, 7)), (1, BecameReady("a", 1))]
    commands(s, *story)
    assert commands(s, (9, HungDetected("p", 1, REASON))) == [DumpStacks("p", 1)]
    assert {name: row.state for name, row in s.rows().items()} == {"a": "stopping", "b": "stopping"}


@pytest.mark.parametrize("event", [StopRequested("ob"), ShutdownRequested()])
def test_one_that_is_asked_to_stop_is_not_called_hung_too(event):
    s = ready()
    before = commands(s, (5, event))
    assert before
    assert commands(s, (10, HUNG)) == []
    assert s.row("ob").reason != REASON


def test_one_that_still_starts_has_its_own_deadline():
    s = Supervisor(Plan("test", (part(),)), lambda: 0.5)
    commands(s, (0, Launched()))
    assert commands(s, (1, HUNG)) == []


def test_an_operator_may_change_what_follows_while_it_is_examined():
    s = ready()
    commands(s, (10, HUNG), (10.1, StopRequested("ob")), (10.5, Ticked()), (10.6, Exited("ob", 1, SIGKILL)))
    assert s.row("ob").state == "stopped"
    for event in (StartRequested("ob"), RestartRequested("ob")):
        s = ready()
        story = [(10, HUNG), (10.1, event), (10.5, Ticked()), (10.6, Exited("ob", 1, SIGKILL))]
        assert commands(s, *story)[-1] == Spawn("ob", 2, ("ob",))
        assert s.row("ob").restarts == 0


def test_lost_patience_cuts_the_examination_short():
    assert commands(ready(), (10, HUNG), (10.1, Forced())) == [DumpStacks("ob", 1), Kill("ob", 1)]


def test_a_shutdown_waits_for_the_end_of_an_examination():
    s = ready()
    assert commands(s, (10, HUNG), (10.1, ShutdownRequested())) == [DumpStacks("ob", 1)]
    assert commands(s, (10.5, Ticked())) == [Kill("ob", 1)]
    assert len(commands(s, (10.6, Exited("ob", 1, SIGKILL)))) == 1  # Finish


def test_its_last_words_are_heard():
    s = ready(part(restart="always"))
    commands(s, (10, HUNG), (10.1, BecameDone("ob", 1)), (10.5, Ticked()), (10.6, Exited("ob", 1, SIGKILL)))
    assert s.row("ob").state == "done"


def test_a_hang_of_an_earlier_incarnation_is_no_news():
    s = ready()
    commands(s, (1, Exited("ob", 1, 1)), (1, Spawned("ob", 2, 101)), (1, BecameReady("ob", 2)))
    assert commands(s, (2, HUNG)) == []
    assert s.row("ob").state == "ready"
