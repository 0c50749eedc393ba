"""Policies that can't do what they say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dolphin_mp import Component, System
from dolphin_mp.checking.notes import most_restarts, policy_notes
from dolphin_mp.plan import BackoffPlan, ComponentPlan, Plan
from dolphin_mp.supervision.supervisor import Launched, SpawnFailed, State, Supervisor, Ticked


class Ticker(Component):
    every = "1s"

    def step(self):
        pass


def notes_of(**settings):
    return list(System("t", {"a": (Ticker, settings)}).plan().notes)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_restarts": 5},
        {"max_restarts": 0, "within": "1ms"},
        {"max_restarts": 1, "within": "1ms"},
        {"max_restarts": 100, "within": "2m"},  # a reset may come in between
        {"backoff": {"first": "0s"}, "max_restarts": 5},
        {"backoff": {"first": "0s"}, "restart": "never"},
        {"backoff": {"first": "1ms"}},
    ],
)
def test_what_can_be_meant_has_no_note(settings):
    assert notes_of(**settings) == []


def test_a_limit_out_of_reach_is_noted():
    (note,) = notes_of(max_restarts=20, within="1m")
    assert note.startswith("components.a.max_restarts = 20 is never passed: the back-off lets at most 9 ")


@pytest.mark.parametrize(("key", "cause"), [("first", "first = 0"), ("reset_after", "reset_after = 0")])
def test_restarts_without_a_rest_are_noted(key, cause):
    (note,) = notes_of(backoff={key: "0s", "factor": 3.0})
    assert note.startswith(f"components.a.backoff: {cause} has it restarted without a rest")


def test_a_demo_keeps_its_own_notes():
    assert any("simulated" in note for note in System.builtin_demo().plan().notes)


@given(
    first=st.floats(0.001, 10),
    factor=st.floats(1, 4),
    longest=st.floats(0.01, 60),
    jitter=st.floats(0, 1),
    within=st.floats(0.1, 60),
    limit=st.integers(0, 40),
)
def test_the_supervisor_agrees(first, factor, longest, jitter, within, limit):
    """One that dies at each start, the rests as short as can be, fails if and only if nothing is noted."""
    backoff = BackoffPlan(first, factor, longest, jitter, reset_after_s=within)
    part = ComponentPlan("a", "x:X", "a", b"", backoff=backoff, max_restarts=limit, within_s=within)
    supervisor = Supervisor(Plan("t", (part,)), lambda: 0.0)
    supervisor.handle(Launched(), 0.0)
    now = 0.0
    for _ in range(limit + 2):
        row = supervisor.row("a")
        if row.state is State.FAILED:
            break
        if row.state is State.BACKOFF:
            now = supervisor.deadline
            supervisor.handle(Ticked(), now)
        supervisor.handle(SpawnFailed("a", supervisor.row("a").incarnation, "x"), now)
    failed = supervisor.row("a").state is State.FAILED
    assert failed == (most_restarts(backoff, within, limit) is None)
    assert bool(policy_notes([part])) == (not failed)
