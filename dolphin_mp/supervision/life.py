"""All state that the supervisor keeps about one process, as one frozen record.

A phase is finer than the state that people see. The way of a process that lives, or is about to:

    WAITING --Admitted--> SPAWNING --Spawned--> STARTING --all members ready--> READY
                             |                     |                              |
                       stop or restart             +-------- stop or restart -----+
                             v                                  v
                         CANCELLED ----Spawned, Ask----------> LEAVING -> TERMINATED -> KILLED
                         DOOMED    ----Spawned, Kill------------------------------------^

    STARTING or READY --HungDetected--> HUNG --stacks written down, or not in time--> KILLED

    KILLED --not dead in time: in the kernel's uninterruptible sleep--> UNKILLABLE

It leaves STARTING, READY, LEAVING, TERMINATED, HUNG, KILLED and UNKILLABLE for BACKOFF, STOPPED, DONE, FAILED
or a new SPAWNING only when the kernel says that it is dead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

from dolphin_mp.supervision.vocabulary import State

if TYPE_CHECKING:
    from dolphin_mp.supervision.policy import Unit


class Phase(Enum):
    """Where a process is."""

    WAITING = auto()  # for its producers
    SPAWNING = auto()  # asked for, no pid yet
    STARTING = auto()  # alive, not all members ready
    READY = auto()
    BACKOFF = auto()
    CANCELLED = auto()  # to be asked to stop as soon as it arrives
    DOOMED = auto()  # to be killed as soon as it arrives
    LEAVING = auto()  # was asked to stop, or all its members are done
    TERMINATED = auto()  # got SIGTERM
    HUNG = auto()  # was found hung: its stacks are being written down
    KILLED = auto()  # got SIGKILL
    UNKILLABLE = auto()  # did not die of it yet: nobody can do more
    STOPPED = auto()
    DONE = auto()
    FAILED = auto()


RESTING = frozenset({Phase.WAITING, Phase.BACKOFF})
RUNNING = frozenset({Phase.SPAWNING, Phase.STARTING, Phase.READY})
DYING = frozenset({Phase.KILLED, Phase.UNKILLABLE})
GOING = DYING | {Phase.CANCELLED, Phase.DOOMED, Phase.LEAVING, Phase.TERMINATED, Phase.HUNG}
OVER = frozenset({Phase.STOPPED, Phase.DONE, Phase.FAILED})

STATE_OF = {
    Phase.WAITING: State.WAITING,
    Phase.SPAWNING: State.STARTING,
    Phase.STARTING: State.STARTING,
    Phase.READY: State.READY,
    Phase.BACKOFF: State.BACKOFF,
    **dict.fromkeys(GOING, State.STOPPING),
    Phase.STOPPED: State.STOPPED,
    Phase.DONE: State.DONE,
    Phase.FAILED: State.FAILED,
}


RELOAD = "reload"  # the reason of one that goes down to come back under another plan


class Then(Enum):
    """What the death of the process leads to."""

    JUDGE = "what its policy says"
    STOP = "rest"
    START = "a fresh start at once"
    RELOAD = "a fresh start when another plan holds, in its turn"


@dataclass(frozen=True, slots=True)
class Life:
    """One process: its current incarnation, or the last one if none lives.

    ``ready`` holds the members that the current incarnation has reported ready; ``done`` those that have
    ended for good, which outlives incarnations. ``rest_s`` is the last rest before jitter (None: the next
    restart comes at once), ``recent`` the times of automatic restarts inside the window (kept only if there
    is a limit), ``restarts`` the number of all of them. ``granted`` is a deadline that was put off
    because the driver came late.
    """

    unit: Unit
    phase: Phase = Phase.WAITING
    then: Then = Then.JUDGE
    reason: str = ""
    incarnation: int = 0
    pid: int | None = None
    deadline: float | None = None
    ready: frozenset[str] = frozenset()
    done: frozenset[str] = frozenset()
    ready_since: float | None = None
    rest_s: float | None = None
    restarts: int = 0
    recent: tuple[float, ...] = ()
    granted: float | None = None

    @property
    def all_done(self) -> bool:
        """True if no member has anything left to do."""
        return self.done.issuperset(self.unit.members)

    def down(self, phase: Phase, reason: str) -> Life:
        """Give the life in a phase in which there is no process."""
        return replace(self, phase=phase, reason=reason, pid=None, deadline=None)

    def state_of(self, member: str) -> State:
        """Give the state in which one member is seen."""
        if member in self.done:
            return State.DONE
        if self.phase is Phase.STARTING and member in self.ready:
            return State.READY
        return STATE_OF[self.phase]


# Events that only the system's machine makes for the processes in it; all others come from outside.


@dataclass(frozen=True, slots=True)
class Admitted:
    """All that the process waits for has been ready once, or is done."""


@dataclass(frozen=True, slots=True)
class ShutdownBegan:
    """Nothing may start any more."""


@dataclass(frozen=True, slots=True)
class ReadersLeft:
    """The system shuts down, and all that read from the process are down."""


@dataclass(frozen=True, slots=True)
class ProducerFailed:
    """A producer failed for good whose plan says that its readers start anew."""

    component: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Its channels are about to be replaced, or it loses a member: down until the new plan holds."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """The new plan holds, and says something else about the process."""
