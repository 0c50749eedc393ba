"""The tables: every pair is listed at most once, and what is missing is a bug that changes nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from dolphin_mp.plan import ComponentPlan
from dolphin_mp.supervision import lifecycle, supervisor
from dolphin_mp.supervision.life import GOING, OVER, RESTING, RUNNING, STATE_OF, Life, Phase
from dolphin_mp.supervision.policy import unit_of
from dolphin_mp.supervision.vocabulary import (
    BecameReady,
    Exited,
    InvalidTransition,
    Spawned,
    SpawnFailed,
    State,
    Ticked,
)

LIFE = Life(unit_of([ComponentPlan("ob", "x:X", "ob", b"")]))

# A driver that kept its promises hands in none of these; all other pairs can meet.
IMPOSSIBLE = {
    **dict.fromkeys(("Spawned",), frozenset(Phase) - {Phase.SPAWNING, Phase.CANCELLED, Phase.DOOMED}),
    "SpawnFailed": frozenset(Phase) - {Phase.SPAWNING, Phase.CANCELLED, Phase.DOOMED},
    "Exited": RESTING | OVER | {Phase.SPAWNING, Phase.CANCELLED, Phase.DOOMED},
    "Ticked": OVER | {Phase.WAITING, Phase.READY, Phase.CANCELLED, Phase.DOOMED, Phase.UNKILLABLE},
    "Adopted": frozenset(Phase) - {Phase.WAITING},
    "Remembered": frozenset(Phase) - {Phase.WAITING},
    "Admitted": frozenset(Phase) - {Phase.WAITING},
    "ReadersLeft": RESTING,
}


def test_every_phase_belongs_to_one_group_and_one_state() -> None:
    groups = (RESTING, RUNNING, GOING, OVER)
    assert Counter(phase for group in groups for phase in group) == Counter(Phase)
    assert set(STATE_OF) == set(Phase)
    assert set(STATE_OF.values()) == set(State)


def test_the_table_of_a_process_lists_every_pair_that_can_meet_and_none_twice() -> None:
    listed = Counter((phase, event) for event, phases, _ in lifecycle.ROWS for phase in phases)
    assert set(listed.values()) == {1}
    events = {event for _, event in lifecycle.TABLE}
    missing = {(p, e.__name__) for p in Phase for e in events if (p, e) not in lifecycle.TABLE}
    assert missing == {(phase, name) for name, phases in IMPOSSIBLE.items() for phase in phases}


def test_the_table_of_a_system_lists_every_pair_but_a_second_launch_and_what_must_come_before_it() -> None:
    listed = Counter(
        (stage, event) for events, stages, _ in supervisor.ROWS for event in events for stage in stages
    )
    assert set(listed.values()) == {1}
    events = {event for _, event in supervisor.SYSTEM}
    missing = {(s, e) for s in supervisor.Stage for e in events if (s, e) not in supervisor.SYSTEM}
    once = (supervisor.Launched, supervisor.Adopted, supervisor.Remembered)
    assert missing == {(s, e) for e in once for s in supervisor.Stage if s is not supervisor.Stage.NEW}


@pytest.mark.parametrize(
    "event", [Spawned("ob", 0, 7), SpawnFailed("ob", 0, "x"), Exited("ob", 0, 0), Ticked()]
)
def test_a_pair_that_is_not_listed_is_a_bug_and_says_which(event: object) -> None:
    with pytest.raises(InvalidTransition, match=r"ob is WAITING: \w+\(.*\) cannot happen there"):
        lifecycle.step(LIFE, event, 0.0, lambda: 0.5)


def test_an_event_of_another_incarnation_is_no_news_in_any_phase() -> None:
    assert lifecycle.step(LIFE, Exited("ob", 3, 0), 0.0, lambda: 0.5) == (LIFE, ())
    assert lifecycle.step(LIFE, BecameReady("ob", 3), 0.0, lambda: 0.5) == (LIFE, ())
