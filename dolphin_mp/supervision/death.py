"""What follows the death of a process: what was ordered for it, else what its policy says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dolphin_mp.supervision import policy
from dolphin_mp.supervision.life import Life, Phase, Then
from dolphin_mp.supervision.policy import Verdict
from dolphin_mp.supervision.starting import respawn, spawn

if TYPE_CHECKING:
    from dolphin_mp.supervision.moment import Moment, Step
    from dolphin_mp.supervision.vocabulary import Exited, SpawnFailed


def died(life: Life, event: Exited, at: Moment) -> Step:
    """Bury a process that nobody wanted to die."""
    return _bury(life, event.code, policy.exit_text(event.code, event.reason), at)


def left(life: Life, event: Exited, at: Moment) -> Step:
    """Bury a process that was to die: how it did only matters if that was not well."""
    if life.then is Then.JUDGE and not life.all_done:
        return _bury(life, None, life.reason, at)
    how = policy.exit_text(event.code, event.reason) if event.code else ""
    return _bury(life, event.code, ", ".join(filter(None, (life.reason, how))), at)


def spawn_failed(life: Life, event: SpawnFailed, at: Moment) -> Step:
    """Bury a process that was never born."""
    return _bury(life, None, f"not spawned: {event.reason}", at)


def _bury(life: Life, code: int | None, reason: str, at: Moment) -> Step:
    """Say what follows, the process being gone."""
    if life.then is Then.START:
        return spawn(life, at, reason="")
    if life.then is Then.RELOAD:
        return replace(life.down(Phase.WAITING, life.reason), then=Then.JUDGE), ()
    if life.all_done:
        return life.down(Phase.DONE, reason), ()
    if life.then is Then.STOP:
        return life.down(Phase.STOPPED, reason), ()
    match policy.judge(life.unit.restart, code):
        case Verdict.DONE:
            return life.down(Phase.DONE, reason), ()
        case Verdict.FAILED:
            return life.down(Phase.FAILED, reason), ()
        case Verdict.AGAIN:
            return _again(life, reason, at)


def _again(life: Life, reason: str, at: Moment) -> Step:
    """Restart at once or after a rest, unless that would be one restart too many."""
    unit, now = life.unit, at.now
    recent = policy.within_window(life.recent, now, unit.within_s)
    if unit.max_restarts is not None and len(recent) >= unit.max_restarts:
        limit = f"past {unit.max_restarts} restarts within {unit.within_s:g} s"
        return life.down(Phase.FAILED, f"{reason}, {limit}"), ()
    rested = life.ready_since is not None and now - life.ready_since >= unit.backoff.reset_after_s
    rest_s = policy.next_rest_s(unit.backoff, None if rested else life.rest_s)
    life = replace(life.down(Phase.BACKOFF, reason), rest_s=rest_s, recent=recent)
    if rest_s == 0.0:
        return respawn(life, at)
    delay_s = policy.jittered_s(unit.backoff, rest_s, at.random())
    return replace(life, deadline=now + delay_s), ()
