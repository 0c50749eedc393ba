"""The life of one supervised process as a pure machine: ``step(life, event, now, random) -> life, actions``.

All state is in `Life`. Time comes in as ``now`` (monotonic seconds), chance as ``random``; what is to happen
by itself stands in ``deadline``, and the driver hands in `Ticked` when that has passed. `TABLE` lists every
pair of phase and event that can meet, those without effect included; any other pair raises
`InvalidTransition`, and then nothing has changed.

Four rules that the handlers share:

- ``then`` says what the death of the process leads to, so a stop or a restart may change its mind until then.
- Members that said Done stay done when the process that they share restarts; only an operator who names such
  a member revives it. When all are done the process is on its way out, helped along as one asked to stop.
- A command or a verdict that meets a spawn in flight is carried out when the process arrives.
- What an earlier parent left (`Adopted`, `Remembered`) comes before anything else and starts nothing itself.
- A driver that comes late was stopped or suspended, and its processes perhaps too: what is due of a living
  one is put off once, so that they can use the time that they did not have. A rest that is over is over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from dolphin_mp.supervision import policy
from dolphin_mp.supervision.life import (
    GOING,
    OVER,
    RELOAD,
    RESTING,
    RUNNING,
    Admitted,
    Life,
    Phase,
    ProducerFailed,
    ReadersLeft,
    Renewed,
    ShutdownBegan,
    Then,
    Withdrawn,
)
from dolphin_mp.supervision.policy import Verdict
from dolphin_mp.supervision.vocabulary import (
    ON_REQUEST,
    Action,
    Adopted,
    Ask,
    BecameDone,
    BecameReady,
    DumpStacks,
    Exited,
    Forced,
    HungDetected,
    InvalidTransition,
    Kill,
    Remembered,
    RestartRequested,
    Spawn,
    Spawned,
    SpawnFailed,
    StartRequested,
    State,
    StopRequested,
    Terminate,
    Ticked,
)

# Chosen: faulthandler writes a hundred threads in a few ms; a process past answering is not waited for.
STACKS_WITHIN_S = 0.5

# Chosen: a gigabyte is given back in a tenth of it. What lives longer is in D state, and nobody can help it.
DEAD_WITHIN_S = 5.0

# Chosen: a loop on a machine under load is late by tens of ms; a second that passed unseen is a freeze.
LATE_S, GRACE_S = 1.0, 2.0


@dataclass(frozen=True, slots=True)
class Moment:
    """When an event is handled, and the chance that goes with it."""

    now: float
    random: Callable[[], float]


Step = tuple[Life, tuple[Action, ...]]
Handler = Callable[[Life, Any, Moment], Step]


def step(life: Life, event: object, now: float, random: Callable[[], float]) -> Step:
    """Give the life after an event, and what to do; an event of another incarnation is no news.

    Raises:
        InvalidTransition: The event cannot happen in this phase; nothing has changed.
    """
    if getattr(event, "incarnation", life.incarnation) != life.incarnation:
        return life, ()
    handler = TABLE.get((life.phase, type(event)))
    if handler is None:
        raise InvalidTransition(life.unit.process, life.phase.name, event)
    if isinstance(event, Ticked) and _was_frozen(life, now):
        return replace(life, deadline=now + GRACE_S, granted=now + GRACE_S), ()
    return handler(life, event, Moment(now, random))


def _was_frozen(life: Life, now: float) -> bool:
    is_late = life.deadline is not None and now - life.deadline > LATE_S
    return is_late and life.deadline != life.granted and life.phase is not Phase.BACKOFF


def _ignore(life: Life, _event: object, _at: Moment) -> Step:
    return life, ()


# ------------------------------------------------------------------ what an earlier parent left


def _adopt(life: Life, event: Adopted, at: Moment) -> Step:
    deadline = at.now + life.unit.ready_within_s
    life = replace(_with_past(life, event), phase=Phase.STARTING, pid=event.pid, deadline=deadline)
    if event.leaves and not life.all_done:
        return _ask(replace(life, then=Then.START, reason="was asked to stop"), at)
    return _settle(replace(life, ready=event.ready), at)


_REMAINS = {State.STOPPED: Phase.STOPPED, State.DONE: Phase.DONE, State.FAILED: Phase.FAILED}


def _remember(life: Life, event: Remembered, at: Moment) -> Step:
    life = _with_past(life, event)
    if event.state in _REMAINS:
        return _down(life, _REMAINS[event.state], event.reason), ()
    if event.state is State.BACKOFF:  # it died before: the next death is not its first
        return replace(_down(life, Phase.BACKOFF, event.reason), deadline=at.now, rest_s=0.0), ()
    return life, ()


def _with_past(life: Life, event: Adopted | Remembered) -> Life:
    past = event.past
    return replace(life, incarnation=past.incarnation, restarts=past.restarts, done=past.done)


# ------------------------------------------------------------------ starting


def _admit(life: Life, _event: Admitted, at: Moment) -> Step:
    if life.all_done:  # what was left to do went with another plan
        return _down(life, Phase.DONE, ""), ()
    return _spawn(life, at, reason="")


def _spawn(life: Life, at: Moment, reason: str) -> Step:
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


def _respawn(life: Life, at: Moment) -> Step:
    """Restart by policy: the kind that is counted."""
    recent = (*life.recent, at.now) if life.unit.max_restarts is not None else ()
    return _spawn(replace(life, restarts=life.restarts + 1, recent=recent), at, life.reason)


def _rested(life: Life, _event: Ticked, at: Moment) -> Step:
    return _respawn(life, at)


def _spawned(life: Life, event: Spawned, at: Moment) -> Step:
    return _settle(replace(life, phase=Phase.STARTING, pid=event.pid), at)


def _settle(life: Life, at: Moment) -> Step:
    """Move a living process on if its members' words so far allow it."""
    if life.phase is Phase.SPAWNING:  # their words overtook Spawned
        return life, ()
    if life.all_done:
        return _leave(replace(life, reason=""), at), ()
    if life.phase is Phase.STARTING and (life.ready | life.done).issuperset(life.unit.members):
        life = replace(life, phase=Phase.READY, reason="", deadline=None, ready_since=at.now)
    return life, ()


def _member_ready(life: Life, event: BecameReady, at: Moment) -> Step:
    return _settle(replace(life, ready=life.ready | {event.component}), at)


def _member_done(life: Life, event: BecameDone, at: Moment) -> Step:
    return _settle(replace(life, done=life.done | {event.component}), at)


def _member_done_late(life: Life, event: BecameDone, _at: Moment) -> Step:
    """Note it, unless a fresh start was ordered: that order is newer than what the component meant."""
    if life.then in {Then.START, Then.RELOAD}:
        return life, ()
    return replace(life, done=life.done | {event.component}), ()


# ------------------------------------------------------------------ stopping


def _leave(life: Life, at: Moment) -> Life:
    return replace(life, phase=Phase.LEAVING, deadline=at.now + life.unit.stop_within_s / 2)


def _ask(life: Life, at: Moment) -> Step:
    return _leave(life, at), (Ask(life.unit.process, life.incarnation),)


def _dismiss(life: Life, at: Moment) -> Step:
    """Ask a process to stop, or note that it is to be asked when it arrives."""
    if life.phase is Phase.SPAWNING:
        return replace(life, phase=Phase.CANCELLED, deadline=None), ()
    return _ask(life, at)


def _terminate(life: Life, _event: Ticked, _at: Moment) -> Step:
    # Counted on from the deadline that passed, so that a late tick does not put off the end.
    deadline = (life.deadline or 0.0) + life.unit.stop_within_s / 2
    life = replace(life, phase=Phase.TERMINATED, deadline=deadline)
    return life, (Terminate(life.unit.process, life.incarnation),)


def _kill(life: Life, at: Moment) -> Step:
    life = replace(life, phase=Phase.KILLED, deadline=at.now + DEAD_WITHIN_S)
    return life, (Kill(life.unit.process, life.incarnation),)


def _give_up(life: Life, reason: str, at: Moment) -> Step:
    """Kill a process, or note that it is to be killed when it arrives."""
    life = replace(life, reason=reason)
    if life.phase in {Phase.SPAWNING, Phase.CANCELLED, Phase.DOOMED}:
        return replace(life, phase=Phase.DOOMED, deadline=None), ()
    return _kill(life, at)


def _unready(life: Life, _event: Ticked, at: Moment) -> Step:
    return _give_up(life, f"not ready within {life.unit.ready_within_s:g} s", at)


def _outlived(life: Life, _event: Ticked, at: Moment) -> Step:
    return _kill(life, at)


def _survived(life: Life, _event: Ticked, _at: Moment) -> Step:
    """Say so and wait: its successor must not start beside it."""
    return replace(life, phase=Phase.UNKILLABLE, deadline=None), ()


def _examine(life: Life, event: HungDetected, at: Moment) -> Step:
    """Have it say where it hangs before it is killed, in bounded time, for it may be past answering."""
    life = replace(life, phase=Phase.HUNG, reason=event.reason, deadline=at.now + STACKS_WITHIN_S)
    return life, (DumpStacks(life.unit.process, life.incarnation),)


def _ask_arrival(life: Life, event: Spawned, at: Moment) -> Step:
    return _ask(replace(life, pid=event.pid), at)


def _kill_arrival(life: Life, event: Spawned, at: Moment) -> Step:
    return _kill(replace(life, pid=event.pid), at)


# ------------------------------------------------------------------ commands


def _stop(life: Life, _event: StopRequested, at: Moment) -> Step:
    return _dismiss(replace(life, then=Then.STOP, reason=ON_REQUEST), at)


def _stop_once_gone(life: Life, _event: StopRequested, _at: Moment) -> Step:
    return replace(life, then=Then.STOP, reason=ON_REQUEST), ()


def _stop_at_once(life: Life, _event: StopRequested, _at: Moment) -> Step:
    return _down(life, Phase.STOPPED, ON_REQUEST), ()


def _start(life: Life, event: StartRequested | RestartRequested, _at: Moment) -> Step:
    return replace(_revived(life, event.component), phase=Phase.WAITING, reason="", deadline=None), ()


def _start_once_gone(life: Life, event: StartRequested | RestartRequested, _at: Moment) -> Step:
    return replace(_revived(life, event.component), then=Then.START, reason="restart requested"), ()


def _restart(life: Life, event: RestartRequested, at: Moment) -> Step:
    life = _revived(life, event.component)
    return _dismiss(replace(life, then=Then.START, reason="restart requested"), at)


def _revived(life: Life, member: str) -> Life:
    """An operator's word clears what was counted, and that the named member has ended."""
    return replace(life, done=life.done - {member}, rest_s=None, recent=())


def _renew(life: Life, event: ProducerFailed, at: Moment) -> Step:
    if life.all_done:
        return life, ()
    return _dismiss(replace(life, then=Then.START, reason=f"restart, {event.component} failed"), at)


# ------------------------------------------------------------------ another plan


def _reload(life: Life, _event: Withdrawn | Renewed, at: Moment) -> Step:
    return _dismiss(replace(life, then=Then.RELOAD, reason=RELOAD), at)


def _reload_once_gone(life: Life, _event: Withdrawn | Renewed, _at: Moment) -> Step:
    """Bring it back, unless an operator wants it down."""
    return (life if life.then is Then.STOP else replace(life, then=Then.RELOAD, reason=RELOAD)), ()


def _reload_at_rest(life: Life, _event: Withdrawn | Renewed, _at: Moment) -> Step:
    return _down(life, Phase.WAITING, RELOAD), ()


# ------------------------------------------------------------------ the system's end


def _close(life: Life, _event: ShutdownBegan, _at: Moment) -> Step:
    """Go on until its turn comes, but die without a successor."""
    reason = "shutdown" if life.then in {Then.START, Then.RELOAD} else life.reason
    return replace(life, then=Then.STOP, reason=reason), ()


def _close_at_once(life: Life, _event: ShutdownBegan | Forced, _at: Moment) -> Step:
    return _down(life, Phase.STOPPED, "shutdown"), ()


def _turn(life: Life, _event: ReadersLeft, at: Moment) -> Step:
    return _dismiss(replace(life, reason="shutdown"), at)


def _force(life: Life, _event: Forced, at: Moment) -> Step:
    return _give_up(replace(life, then=Then.STOP), "forced", at)


# ------------------------------------------------------------------ death


def _down(life: Life, phase: Phase, reason: str) -> Life:
    return replace(life, phase=phase, reason=reason, pid=None, deadline=None)


def _died(life: Life, event: Exited, at: Moment) -> Step:
    return _bury(life, event.code, policy.exit_text(event.code, event.reason), at)


def _left(life: Life, event: Exited, at: Moment) -> Step:
    """Bury a process that was to die: how it did only matters if that was not well."""
    if life.then is Then.JUDGE and not life.all_done:
        return _bury(life, None, life.reason, at)
    how = policy.exit_text(event.code, event.reason) if event.code else ""
    return _bury(life, event.code, ", ".join(filter(None, (life.reason, how))), at)


def _spawn_failed(life: Life, event: SpawnFailed, at: Moment) -> Step:
    return _bury(life, None, f"not spawned: {event.reason}", at)


def _bury(life: Life, code: int | None, reason: str, at: Moment) -> Step:
    """Say what follows, the process being gone."""
    if life.then is Then.START:
        return _spawn(life, at, reason="")
    if life.then is Then.RELOAD:
        return replace(_down(life, Phase.WAITING, life.reason), then=Then.JUDGE), ()
    if life.all_done:
        return _down(life, Phase.DONE, reason), ()
    if life.then is Then.STOP:
        return _down(life, Phase.STOPPED, reason), ()
    match policy.judge(life.unit.restart, code):
        case Verdict.DONE:
            return _down(life, Phase.DONE, reason), ()
        case Verdict.FAILED:
            return _down(life, Phase.FAILED, reason), ()
        case Verdict.AGAIN:
            return _again(life, reason, at)


def _again(life: Life, reason: str, at: Moment) -> Step:
    """Restart at once or after a rest, unless that would be one restart too many."""
    unit, now = life.unit, at.now
    recent = policy.within_window(life.recent, now, unit.within_s)
    if unit.max_restarts is not None and len(recent) >= unit.max_restarts:
        limit = f"past {unit.max_restarts} restarts within {unit.within_s:g} s"
        return _down(life, Phase.FAILED, f"{reason}, {limit}"), ()
    rested = life.ready_since is not None and now - life.ready_since >= unit.backoff.reset_after_s
    rest_s = policy.next_rest_s(unit.backoff, None if rested else life.rest_s)
    life = replace(_down(life, Phase.BACKOFF, reason), rest_s=rest_s, recent=recent)
    if rest_s == 0.0:
        return _respawn(life, at)
    delay_s = policy.jittered_s(unit.backoff, rest_s, at.random())
    return replace(life, deadline=now + delay_s), ()


# ------------------------------------------------------------------ the table

_ALL = frozenset(Phase)
_IN_FLIGHT = frozenset({Phase.SPAWNING, Phase.CANCELLED, Phase.DOOMED})
_EARLY = frozenset({Phase.SPAWNING, Phase.STARTING})
_ALIVE = (RUNNING | GOING) - _IN_FLIGHT

ROWS: tuple[tuple[type, frozenset[Phase], Handler], ...] = (
    (Adopted, frozenset({Phase.WAITING}), _adopt),
    (Remembered, frozenset({Phase.WAITING}), _remember),
    (Admitted, frozenset({Phase.WAITING}), _admit),
    (StartRequested, RESTING | OVER, _start),
    (StartRequested, RUNNING, _ignore),
    (StartRequested, GOING, _start_once_gone),
    (RestartRequested, RESTING | OVER, _start),
    (RestartRequested, RUNNING, _restart),
    (RestartRequested, GOING, _start_once_gone),
    (StopRequested, RESTING, _stop_at_once),
    (StopRequested, RUNNING, _stop),
    (StopRequested, GOING, _stop_once_gone),
    (StopRequested, OVER, _ignore),
    (ProducerFailed, RUNNING, _renew),
    (ProducerFailed, _ALL - RUNNING, _ignore),
    (Withdrawn, RUNNING, _reload),
    (Withdrawn, GOING, _reload_once_gone),
    (Withdrawn, frozenset({Phase.BACKOFF}), _reload_at_rest),
    (Withdrawn, OVER | {Phase.WAITING}, _ignore),
    (Renewed, RUNNING, _reload),
    (Renewed, GOING, _reload_once_gone),
    (Renewed, frozenset({Phase.BACKOFF}), _reload_at_rest),
    (Renewed, OVER | {Phase.WAITING}, _ignore),
    (ShutdownBegan, RESTING, _close_at_once),
    (ShutdownBegan, RUNNING | GOING, _close),
    (ShutdownBegan, OVER, _ignore),
    (ReadersLeft, RUNNING, _turn),
    (ReadersLeft, GOING | OVER, _ignore),
    (Forced, RESTING, _close_at_once),
    (Forced, RUNNING | GOING, _force),
    (Forced, OVER, _ignore),
    (Spawned, frozenset({Phase.SPAWNING}), _spawned),
    (Spawned, frozenset({Phase.CANCELLED}), _ask_arrival),
    (Spawned, frozenset({Phase.DOOMED}), _kill_arrival),
    (SpawnFailed, _IN_FLIGHT, _spawn_failed),
    (BecameReady, _EARLY, _member_ready),
    (BecameReady, _ALL - _EARLY, _ignore),
    (BecameDone, RUNNING, _member_done),
    (BecameDone, GOING, _member_done_late),
    (BecameDone, RESTING | OVER, _ignore),
    (Exited, RUNNING & _ALIVE, _died),
    (Exited, GOING & _ALIVE, _left),
    (HungDetected, frozenset({Phase.STARTING, Phase.READY}), _examine),
    (HungDetected, _ALL - {Phase.STARTING, Phase.READY}, _ignore),
    (Ticked, _EARLY, _unready),
    (Ticked, frozenset({Phase.BACKOFF}), _rested),
    (Ticked, frozenset({Phase.LEAVING}), _terminate),
    (Ticked, frozenset({Phase.TERMINATED, Phase.HUNG}), _outlived),
    (Ticked, frozenset({Phase.KILLED}), _survived),
)

TABLE: dict[tuple[Phase, type], Handler] = {
    (phase, event): handler for event, phases, handler in ROWS for phase in phases
}
