"""How a process comes to be ready: what an earlier parent left of it, its start, what its members say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dolphin_mp.supervision.life import Life, Phase, Then
from dolphin_mp.supervision.stopping import ask, leave
from dolphin_mp.supervision.vocabulary import Spawn, State

if TYPE_CHECKING:
    from dolphin_mp.supervision.life import Admitted
    from dolphin_mp.supervision.moment import Moment, Step
    from dolphin_mp.supervision.vocabulary import (
        Adopted,
        BecameDone,
        BecameReady,
        Remembered,
        Spawned,
        Ticked,
    )

_REMAINS = {State.STOPPED: Phase.STOPPED, State.DONE: Phase.DONE, State.FAILED: Phase.FAILED}


# ------------------------------------------------------------------ what an earlier parent left


def adopt(life: Life, event: Adopted, at: Moment) -> Step:
    """Take over one that lives; if it was on its way out, a fresh start follows."""
    deadline = at.now + life.unit.ready_within_s
    life = replace(_with_past(life, event), phase=Phase.STARTING, pid=event.pid, deadline=deadline)
    if event.leaves and not life.all_done:
        return ask(replace(life, then=Then.START, reason="was asked to stop"), at)
    return _settle(replace(life, ready=event.ready), at)


def remember(life: Life, event: Remembered, at: Moment) -> Step:
    """Leave one that does not live where it was, if it was there to stay."""
    life = _with_past(life, event)
    if event.state in _REMAINS:
        return life.down(_REMAINS[event.state], event.reason), ()
    if event.state is State.BACKOFF:  # it died before: the next death is not its first
        return replace(life.down(Phase.BACKOFF, event.reason), deadline=at.now, rest_s=0.0), ()
    return life, ()


def _with_past(life: Life, event: Adopted | Remembered) -> Life:
    past = event.past
    return replace(life, incarnation=past.incarnation, restarts=past.restarts, done=past.done)


# ------------------------------------------------------------------ the start


def admit(life: Life, _event: Admitted, at: Moment) -> Step:
    """Start one that waits for nobody any more."""
    if life.all_done:  # what was left to do went with another plan
        return life.down(Phase.DONE, ""), ()
    return spawn(life, at, reason="")


def spawn(life: Life, at: Moment, reason: str) -> Step:
    """Start the next incarnation, of the members that are not done."""
    members = tuple(m for m in life.unit.members if m not in life.done)
    life = replace(
        life,
        phase=Phase.SPAWNING,
        then=Then.JUDGE,
        reason=reason,
        incarnation=life.incarnation + 1,
        pid=None,
        deadline=at.now + life.unit.ready_within_s,
        ready=frozenset(),
        ready_since=None,
    )
    return life, (Spawn(life.unit.process, life.incarnation, members),)


def respawn(life: Life, at: Moment) -> Step:
    """Restart by policy: the kind that is counted."""
    recent = (*life.recent, at.now) if life.unit.max_restarts is not None else ()
    return spawn(replace(life, restarts=life.restarts + 1, recent=recent), at, life.reason)


def rested(life: Life, _event: Ticked, at: Moment) -> Step:
    """Restart one whose rest is over."""
    return respawn(life, at)


# ------------------------------------------------------------------ what it says


def spawned(life: Life, event: Spawned, at: Moment) -> Step:
    """Note that it lives."""
    return _settle(replace(life, phase=Phase.STARTING, pid=event.pid), at)


def _settle(life: Life, at: Moment) -> Step:
    """Move a living process on if its members' words so far allow it."""
    if life.phase is Phase.SPAWNING:  # their words overtook Spawned
        return life, ()
    if life.all_done:
        return leave(replace(life, reason=""), at), ()
    if life.phase is Phase.STARTING and (life.ready | life.done).issuperset(life.unit.members):
        life = replace(life, phase=Phase.READY, reason="", deadline=None, ready_since=at.now)
    return life, ()


def member_ready(life: Life, event: BecameReady, at: Moment) -> Step:
    """Note it; the process is ready when all members are."""
    return _settle(replace(life, ready=life.ready | {event.component}), at)


def member_done(life: Life, event: BecameDone, at: Moment) -> Step:
    """Note it; the process leaves when all members are done."""
    return _settle(replace(life, done=life.done | {event.component}), at)


def member_done_late(life: Life, event: BecameDone, _at: Moment) -> Step:
    """Note it, unless a fresh start was ordered: that order is newer than what the component meant."""
    if life.then in {Then.START, Then.RELOAD}:
        return life, ()
    return replace(life, done=life.done | {event.component}), ()
