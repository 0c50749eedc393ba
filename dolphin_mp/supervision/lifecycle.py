"""The life of one supervised process as a pure machine: ``step(life, event, now, random) -> life, actions``.

All state is in `Life`. Time comes in as ``now`` (monotonic seconds), chance as ``random``; what is to happen
by itself stands in ``deadline``, and the driver hands in `Ticked` when that has passed. `TABLE` lists every
pair of phase and event that can meet, those without effect included; any other pair raises
`InvalidTransition`, and then nothing has changed. Its handlers: `starting`, `stopping`, `orders`, `death`.

Rules that the handlers share:

- ``then`` says what the death of the process leads to, so a stop or a restart may change its mind until then.
- Members that said Done stay done when the process that they share restarts; only an operator who names such
  a member revives it. When all are done the process is on its way out, helped along as one asked to stop.
- A command or a verdict that meets a spawn in flight is carried out when the process arrives.
- What an earlier parent left (`Adopted`, `Remembered`) comes before anything else and starts nothing itself.
- A driver that comes late was stopped or suspended, and its processes perhaps too: what is due of a living
  one is put off once, so that they can use the time that they did not have. A rest that is over is over.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dolphin_mp.supervision import death, orders, starting, stopping
from dolphin_mp.supervision.life import (
    GOING,
    OVER,
    RESTING,
    RUNNING,
    Admitted,
    Phase,
    ProducerFailed,
    ReadersLeft,
    Renewed,
    ShutdownBegan,
    Withdrawn,
)
from dolphin_mp.supervision.moment import Moment
from dolphin_mp.supervision.vocabulary import (
    Adopted,
    BecameDone,
    BecameReady,
    Exited,
    Forced,
    HungDetected,
    InvalidTransition,
    Remembered,
    RestartRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
    Ticked,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.supervision.life import Life
    from dolphin_mp.supervision.moment import Handler, Step

# Chosen: a loop on a machine under load is late by tens of ms; a second that passed unseen is a freeze.
LATE_S, GRACE_S = 1.0, 2.0


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


_ALL = frozenset(Phase)
_IN_FLIGHT = frozenset({Phase.SPAWNING, Phase.CANCELLED, Phase.DOOMED})
_EARLY = frozenset({Phase.SPAWNING, Phase.STARTING})
_ALIVE = (RUNNING | GOING) - _IN_FLIGHT

ROWS: tuple[tuple[type, frozenset[Phase], Handler], ...] = (
    (Adopted, frozenset({Phase.WAITING}), starting.adopt),
    (Remembered, frozenset({Phase.WAITING}), starting.remember),
    (Admitted, frozenset({Phase.WAITING}), starting.admit),
    (StartRequested, RESTING | OVER, orders.start),
    (StartRequested, RUNNING, _ignore),
    (StartRequested, GOING, orders.start_once_gone),
    (RestartRequested, RESTING | OVER, orders.start),
    (RestartRequested, RUNNING, orders.restart),
    (RestartRequested, GOING, orders.start_once_gone),
    (StopRequested, RESTING, orders.stop_at_once),
    (StopRequested, RUNNING, orders.stop),
    (StopRequested, GOING, orders.stop_once_gone),
    (StopRequested, OVER, _ignore),
    (ProducerFailed, RUNNING, orders.renew),
    (ProducerFailed, _ALL - RUNNING, _ignore),
    (Withdrawn, RUNNING, orders.reload),
    (Withdrawn, GOING, orders.reload_once_gone),
    (Withdrawn, frozenset({Phase.BACKOFF}), orders.reload_at_rest),
    (Withdrawn, OVER | {Phase.WAITING}, _ignore),
    (Renewed, RUNNING, orders.reload),
    (Renewed, GOING, orders.reload_once_gone),
    (Renewed, frozenset({Phase.BACKOFF}), orders.reload_at_rest),
    (Renewed, OVER | {Phase.WAITING}, _ignore),
    (ShutdownBegan, RESTING, orders.close_at_once),
    (ShutdownBegan, RUNNING | GOING, orders.close),
    (ShutdownBegan, OVER, _ignore),
    (ReadersLeft, RUNNING, orders.turn),
    (ReadersLeft, GOING | OVER, _ignore),
    (Forced, RESTING, orders.close_at_once),
    (Forced, RUNNING | GOING, orders.force),
    (Forced, OVER, _ignore),
    (Spawned, frozenset({Phase.SPAWNING}), starting.spawned),
    (Spawned, frozenset({Phase.CANCELLED}), stopping.ask_arrival),
    (Spawned, frozenset({Phase.DOOMED}), stopping.kill_arrival),
    (SpawnFailed, _IN_FLIGHT, death.spawn_failed),
    (BecameReady, _EARLY, starting.member_ready),
    (BecameReady, _ALL - _EARLY, _ignore),
    (BecameDone, RUNNING, starting.member_done),
    (BecameDone, GOING, starting.member_done_late),
    (BecameDone, RESTING | OVER, _ignore),
    (Exited, RUNNING & _ALIVE, death.died),
    (Exited, GOING & _ALIVE, death.left),
    (HungDetected, frozenset({Phase.STARTING, Phase.READY}), stopping.examine),
    (HungDetected, _ALL - {Phase.STARTING, Phase.READY}, _ignore),
    (Ticked, _EARLY, stopping.unready),
    (Ticked, frozenset({Phase.BACKOFF}), starting.rested),
    (Ticked, frozenset({Phase.LEAVING}), stopping.terminate),
    (Ticked, frozenset({Phase.TERMINATED, Phase.HUNG}), stopping.outlived),
    (Ticked, frozenset({Phase.KILLED}), stopping.survived),
)

TABLE: dict[tuple[Phase, type], Handler] = {
    (phase, event): handler for event, phases, handler in ROWS for phase in phases
}
