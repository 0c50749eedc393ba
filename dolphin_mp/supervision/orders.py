"""What is wanted of a process from outside: by an operator, for another plan, for the system's end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dolphin_mp.supervision.life import RELOAD, Life, Phase, Then
from dolphin_mp.supervision.stopping import dismiss, give_up
from dolphin_mp.supervision.vocabulary import ON_REQUEST

if TYPE_CHECKING:
    from dolphin_mp.supervision.life import ProducerFailed, ReadersLeft, Renewed, ShutdownBegan, Withdrawn
    from dolphin_mp.supervision.moment import Moment, Step
    from dolphin_mp.supervision.vocabulary import Forced, RestartRequested, StartRequested, StopRequested


# ------------------------------------------------------------------ commands


def stop(life: Life, _event: StopRequested, at: Moment) -> Step:
    """Bring it down, to stay down."""
    return dismiss(replace(life, then=Then.STOP, reason=ON_REQUEST), at)


def stop_once_gone(life: Life, _event: StopRequested, _at: Moment) -> Step:
    """It is on its way down: let it stay there."""
    return replace(life, then=Then.STOP, reason=ON_REQUEST), ()


def stop_at_once(life: Life, _event: StopRequested, _at: Moment) -> Step:
    """Nothing lives: do not start it."""
    return life.down(Phase.STOPPED, ON_REQUEST), ()


def start(life: Life, event: StartRequested | RestartRequested, _at: Moment) -> Step:
    """Have one that is down wait for its producers, and start then."""
    return replace(_revived(life, event.component), phase=Phase.WAITING, reason="", deadline=None), ()


def start_once_gone(life: Life, event: StartRequested | RestartRequested, _at: Moment) -> Step:
    """It is on its way down: start it anew from there."""
    return replace(_revived(life, event.component), then=Then.START, reason="restart requested"), ()


def restart(life: Life, event: RestartRequested, at: Moment) -> Step:
    """Bring it down, to start anew."""
    life = _revived(life, event.component)
    return dismiss(replace(life, then=Then.START, reason="restart requested"), at)


def _revived(life: Life, member: str) -> Life:
    """An operator's word clears what was counted, and that the named member has ended."""
    return replace(life, done=life.done - {member}, rest_s=None, recent=())


def renew(life: Life, event: ProducerFailed, at: Moment) -> Step:
    """Start it anew with its producer, unless it is done."""
    if life.all_done:
        return life, ()
    return dismiss(replace(life, then=Then.START, reason=f"restart, {event.component} failed"), at)


# ------------------------------------------------------------------ another plan


def reload(life: Life, _event: Withdrawn | Renewed, at: Moment) -> Step:
    """Bring it down, to come back under another plan."""
    return dismiss(replace(life, then=Then.RELOAD, reason=RELOAD), at)


def reload_once_gone(life: Life, _event: Withdrawn | Renewed, _at: Moment) -> Step:
    """Bring it back, unless an operator wants it down."""
    return (life if life.then is Then.STOP else replace(life, then=Then.RELOAD, reason=RELOAD)), ()


def reload_at_rest(life: Life, _event: Withdrawn | Renewed, _at: Moment) -> Step:
    """Nothing lives: have it wait for the other plan."""
    return life.down(Phase.WAITING, RELOAD), ()


# ------------------------------------------------------------------ the system's end


def close(life: Life, _event: ShutdownBegan, _at: Moment) -> Step:
    """Go on until its turn comes, but die without a successor."""
    reason = "shutdown" if life.then in {Then.START, Then.RELOAD} else life.reason
    return replace(life, then=Then.STOP, reason=reason), ()


def close_at_once(life: Life, _event: ShutdownBegan | Forced, _at: Moment) -> Step:
    """Nothing lives: do not start it any more."""
    return life.down(Phase.STOPPED, "shutdown"), ()


def turn(life: Life, _event: ReadersLeft, at: Moment) -> Step:
    """Bring it down, now that nobody reads from it."""
    return dismiss(replace(life, reason="shutdown"), at)


def force(life: Life, _event: Forced, at: Moment) -> Step:
    """Kill it, whatever was to become of it."""
    return give_up(replace(life, then=Then.STOP), "forced", at)
