"""The parent's side: a timer a process among what the loop sleeps on, and no wake-up else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dolphin_mp.hang import timer
from dolphin_mp.hang.arming import PULSE_NS
from dolphin_mp.hang.lifeline import read_clock
from dolphin_mp.hang.stacks import plight
from dolphin_mp.hang.verdict import Again, Grace, Hung, Sight, judge
from dolphin_mp.supervision.vocabulary import HungDetected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dolphin_mp.ipc import Board
    from dolphin_mp.plan import ComponentPlan


class Sleeper(Protocol):
    """What the loop sleeps on; see `dolphin_mp.parent.poller`."""

    def add(self, fd: int, handler: Callable[[], None]) -> None:
        """Call the handler whenever the descriptor has something to read."""

    def remove(self, fd: int) -> None:
        """Forget a descriptor, before it is closed."""


@dataclass(slots=True)
class Watched:
    """A process and its timer."""

    process: str
    incarnation: int
    fd: int
    members: tuple[ComponentPlan, ...]


class HangWatch:
    """Tells which processes are stuck.

    Args:
        sleeper: calls back when a timer has fired.
        board: what the processes say of themselves.
        handle: takes each `HungDetected`.
        pid_of: gives a living process' pid.
    """

    def __init__(
        self,
        sleeper: Sleeper,
        board: Board,
        handle: Callable[[HungDetected], None],
        pid_of: Callable[[str], int],
    ) -> None:
        self._sleeper = sleeper
        self._board = board
        self._handle = handle
        self._pid_of = pid_of
        self._watched: dict[str, Watched] = {}
        now = read_clock()
        self._grace = Grace(0, now.boottime_ns - now.monotonic_ns)

    def begin(self, process: str, incarnation: int, members: Sequence[ComponentPlan]) -> int:
        """Make the timer of a process to be born; gives the descriptor to hand to it. Raises OSError."""
        self.end(process)
        watched = Watched(process, incarnation, timer.create_timer(), tuple(members))
        self._watch(watched)
        return watched.fd

    def adopt(
        self, process: str, incarnation: int, members: Sequence[ComponentPlan], pidfd: int, pid: int
    ) -> None:
        """Watch a process of an earlier parent; by its own timer, if the kernel lets this process have it.

        Else by one that only this process puts off: it fires, and the board says that all is well.
        Raises OSError.
        """
        self.end(process)
        number = self._board.timer(self._board.add(members[0].name))
        fd = timer.adopt(pidfd, pid, number)
        self._watch(Watched(process, incarnation, timer.create_timer() if fd is None else fd, tuple(members)))
        self.expect(process)

    def _watch(self, watched: Watched) -> None:
        self._watched[watched.process] = watched
        self._sleeper.add(watched.fd, lambda: self._fired(watched))

    def expect(self, process: str) -> None:
        """Watch it from now on: one of its members is ready. It puts the timer off by itself then."""
        watched = self._watched.get(process)
        if watched is not None:
            longest_s = max(member.hang_after_s for member in watched.members)
            timer.arm(watched.fd, read_clock().monotonic_ns + PULSE_NS + int(longest_s * 1e9))

    def end(self, process: str) -> None:
        """Forget a process."""
        watched = self._watched.pop(process, None)
        if watched is not None:
            self._sleeper.remove(watched.fd)
            os.close(watched.fd)

    def close(self) -> None:
        """Forget all."""
        for process in list(self._watched):
            self.end(process)

    def _fired(self, watched: Watched) -> None:
        fired = timer.fired(watched.fd)
        if not fired:  # it was put off in the last moment
            return
        sights = [self._look(member, watched.incarnation) for member in watched.members]
        verdict, self._grace = judge(read_clock(), fired, sights, self._grace)
        match verdict:
            case Again(due_ns):
                timer.arm(watched.fd, due_ns)
            case Hung(reason):
                timer.disarm(watched.fd)
                how = plight(self._pid_of(watched.process))
                text = f"{reason} ({how})" if how else reason
                self._handle(HungDetected(watched.process, watched.incarnation, text))
            case None:
                timer.disarm(watched.fd)

    def _look(self, member: ComponentPlan, incarnation: int) -> Sight:
        row = self._board.read(self._board.add(member.name))
        its = row.component
        active = its is not None and its.phase == "ready" and its.incarnation == incarnation
        ready_ns = its.ready_ns if its else 0
        return Sight(
            member.name,
            active,
            row.step_begun_ns if row.step_begun_ns >= ready_ns else 0,  # else a dead predecessor's
            max(row.last_step_ns, ready_ns),
            its.sampled_ns if its else 0,
            int(member.hang_after_s * 1e9),
        )
