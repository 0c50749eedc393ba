"""How a living process is brought down: asked, sent SIGTERM, killed; each step has its time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dolphin_mp.supervision.life import Life, Phase
from dolphin_mp.supervision.vocabulary import Ask, DumpStacks, Kill, Terminate

if TYPE_CHECKING:
    from dolphin_mp.supervision.moment import Moment, Step
    from dolphin_mp.supervision.vocabulary import HungDetected, Spawned, Ticked

# Chosen: faulthandler writes a hundred threads in a few ms; a process past answering is not waited for.
STACKS_WITHIN_S = 0.5

# Chosen: a gigabyte is given back in a tenth of it. What lives longer is in D state, and nobody can help it.
DEAD_WITHIN_S = 5.0


def leave(life: Life, at: Moment) -> Life:
    """Have a process on its way out; it is helped along when that takes too long."""
    return replace(life, phase=Phase.LEAVING, deadline=at.now + life.unit.stop_within_s / 2)


def ask(life: Life, at: Moment) -> Step:
    """Ask a process to stop."""
    return leave(life, at), (Ask(life.unit.process, life.incarnation),)


def dismiss(life: Life, at: Moment) -> Step:
    """Ask a process to stop, or note that it is to be asked when it arrives."""
    if life.phase is Phase.SPAWNING:
        return replace(life, phase=Phase.CANCELLED, deadline=None), ()
    return ask(life, at)


def terminate(life: Life, _event: Ticked, _at: Moment) -> Step:
    """Send SIGTERM to one that was asked in vain."""
    # Counted on from the deadline that passed, so that a late tick does not put off the end.
    deadline = (life.deadline or 0.0) + life.unit.stop_within_s / 2
    life = replace(life, phase=Phase.TERMINATED, deadline=deadline)
    return life, (Terminate(life.unit.process, life.incarnation),)


def _kill(life: Life, at: Moment) -> Step:
    life = replace(life, phase=Phase.KILLED, deadline=at.now + DEAD_WITHIN_S)
    return life, (Kill(life.unit.process, life.incarnation),)


def give_up(life: Life, reason: str, at: Moment) -> Step:
    """Kill a process, or note that it is to be killed when it arrives."""
    life = replace(life, reason=reason)
    if life.phase in {Phase.SPAWNING, Phase.CANCELLED, Phase.DOOMED}:
        return replace(life, phase=Phase.DOOMED, deadline=None), ()
    return _kill(life, at)


def unready(life: Life, _event: Ticked, at: Moment) -> Step:
    """Kill one whose members were not all ready in time."""
    return give_up(life, f"not ready within {life.unit.ready_within_s:g} s", at)


def outlived(life: Life, _event: Ticked, at: Moment) -> Step:
    """Kill one that has used up its last time."""
    return _kill(life, at)


def survived(life: Life, _event: Ticked, _at: Moment) -> Step:
    """Say so and wait: its successor must not start beside it."""
    return replace(life, phase=Phase.UNKILLABLE, deadline=None), ()


def examine(life: Life, event: HungDetected, at: Moment) -> Step:
    """Have it say where it hangs before it is killed, in bounded time, for it may be past answering."""
    life = replace(life, phase=Phase.HUNG, reason=event.reason, deadline=at.now + STACKS_WITHIN_S)
    return life, (DumpStacks(life.unit.process, life.incarnation),)


def ask_arrival(life: Life, event: Spawned, at: Moment) -> Step:
    """Ask one to stop that was cancelled while it was on its way."""
    return ask(replace(life, pid=event.pid), at)


def kill_arrival(life: Life, event: Spawned, at: Moment) -> Step:
    """Kill one that was given up while it was on its way."""
    return _kill(replace(life, pid=event.pid), at)
