"""What the supervisor hears (events: past facts) and says (actions: commands), as frozen records.

An event about a process carries its *incarnation*: the number of the spawn it belongs to, counted per process
from 1. What arrives late from a predecessor is thereby told apart and is no news.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dolphin_mp.plan import Plan
    from dolphin_mp.supervision.replan import Changes

ON_REQUEST = "on request"  # the reason of a stop by an operator, which outlives the parent that heard it


class State(StrEnum):
    """What a component is seen to do."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ComponentStatus:
    """One component at an instant; ``since`` is the monotonic time at which it entered its state."""

    name: str
    state: State
    reason: str
    restarts: int
    incarnation: int
    pid: int | None
    since: float


# ------------------------------------------------------------------ events: what happened


@dataclass(frozen=True, slots=True)
class Launched:
    """The system begins: every component is wanted up."""


@dataclass(frozen=True, slots=True)
class Past:
    """What an earlier parent put down about a process.

    Attributes: incarnation (its last); restarts by policy; done (members that have ended for good).
    """

    incarnation: int = 0
    restarts: int = 0
    done: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Adopted:
    """A process that an earlier parent started is taken over; told before `Launched`.

    One that is found dead is told of as if it lived, and its `Exited` after `Launched`. ``ready`` are the
    members that are; one that ``leaves`` was asked to stop by somebody who is dead: it is started anew.
    """

    process: str
    past: Past
    pid: int
    ready: frozenset[str] = frozenset()
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class Remembered:
    """A process does not live, and rightly so; told before `Launched`.

    STOPPED, DONE and FAILED it stays; from BACKOFF it is restarted at once, from WAITING started in its turn.
    """

    process: str
    past: Past
    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StartRequested:
    """An operator wants the component up."""

    component: str


@dataclass(frozen=True, slots=True)
class StopRequested:
    """An operator wants the component down, and to stay so."""

    component: str


@dataclass(frozen=True, slots=True)
class RestartRequested:
    """An operator wants a fresh process for the component."""

    component: str


@dataclass(frozen=True, slots=True)
class ShutdownRequested:
    """The whole system is to end; of several requests the highest exit code counts."""

    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Forced:
    """Somebody lost patience: everything is killed now (a second Ctrl-C)."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """The process asked for lives."""

    process: str
    incarnation: int
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The process asked for could not be made; every Spawn is answered by this or by Spawned."""

    process: str
    incarnation: int
    reason: str


@dataclass(frozen=True, slots=True)
class BecameReady:
    """The component said that its setup() returned; may overtake Spawned, which takes another way."""

    component: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class BecameDone:
    """The component said that it has ended for good; must be handed in before its process' Exited."""

    component: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Exited:
    """The kernel said that the process is dead: its exit code, or minus the signal that killed it.

    None where nobody can tell any more: a process of an earlier parent was another's to reap.
    """

    process: str
    incarnation: int
    code: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HungDetected:
    """The process has a step that was begun or due longer ago than its ``hang_after``; the reason says so."""

    process: str
    incarnation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time went on: whatever is due by now happens."""


@dataclass(frozen=True, slots=True)
class Replanned:
    """The system is to become what another plan of the same name says."""

    plan: Plan


Command = StartRequested | StopRequested | RestartRequested
ProcessEvent = Spawned | SpawnFailed | Exited | HungDetected
ComponentEvent = BecameReady | BecameDone
Inheritance = Adopted | Remembered
Told = Launched | Inheritance | Command | Replanned | ShutdownRequested | Forced
Event = Told | ProcessEvent | ComponentEvent | Ticked


# ------------------------------------------------------------------ actions: what to do


@dataclass(frozen=True, slots=True)
class Spawn:
    """Make the process; ``members`` are the components to run in it (those done for good are left out)."""

    process: str
    incarnation: int
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the process to stop."""

    process: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """Send it SIGTERM."""

    process: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class DumpStacks:
    """Have the stacks of all its threads written down; `Kill` follows, whether it could or not."""

    process: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Send its process group SIGKILL."""

    process: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Report:
    """What is seen of a component has changed."""

    component: str
    state: State
    reason: str
    restarts: int
    incarnation: int


@dataclass(frozen=True, slots=True)
class Rewire:
    """The new plan holds from here on, and no process uses what it replaces or gives up: do that now."""

    plan: Plan
    changes: Changes


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing lives and nothing will: the orchestrator is to leave with this exit code."""

    exit_code: int


Action = Spawn | Ask | Terminate | DumpStacks | Kill | Report | Rewire | Finish


class InvalidTransition(RuntimeError):  # noqa: N818 - a bug of ours, not a condition to handle
    """An event met a phase in which it cannot happen: a bug in the driver or in the machine."""

    def __init__(self, subject: str, phase: str, event: object) -> None:
        super().__init__(f"{subject} is {phase}: {event!r} cannot happen there")
