"""A system's processes: asked of the zygote, watched by their pidfds, killed, reaped."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

from dolphin_mp.exits import exit_code_of
from dolphin_mp.ipc import _core
from dolphin_mp.parent.burial import Burials
from dolphin_mp.parent.child import Child
from dolphin_mp.parent.nursery import Nursery
from dolphin_mp.parent.spawner import SpawnError
from dolphin_mp.process.kin import mark_of, may_have_kin
from dolphin_mp.supervision.vocabulary import Exited, Spawned, SpawnFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dolphin_mp.hang.watch import HangWatch
    from dolphin_mp.parent.poller import Poller
    from dolphin_mp.parent.spawner import Line, Spawner
    from dolphin_mp.plan import ComponentPlan
    from dolphin_mp.process.assignment import Assignment


class Children:
    """The processes that live, at most one of a name.

    Args:
        spawner: makes them.
        poller: tells of births and deaths.
        watch: tells who hangs.
        handle: takes each birth, or what became of it.
        bury: takes each death.
        hear: takes what components have said until now; called before a death is told.
        tell: publishes an event for people.
        foresee: gives the assignment that the death of an incarnation would bring at once, or None.
        home: what spares are told when they park, as JSON.
    """

    def __init__(
        self,
        spawner: Spawner,
        poller: Poller,
        watch: HangWatch,
        handle: Callable[[Spawned | SpawnFailed], None],
        bury: Callable[[Exited, Child], None],
        hear: Callable[[], None],
        tell: Callable[[dict[str, Any]], None],
        foresee: Callable[[str, int], Assignment | None],
        home: bytes,
    ) -> None:
        self._poller = poller
        self._watch = watch
        self._handle = handle
        self._bury = bury
        self._hear = hear
        self._foresee = foresee
        self._children: dict[str, Child] = {}
        self._burials = Burials(poller)
        self.guests: dict[int, Callable[[int], None]] = {}  # who else is to hear of a death, by pid
        self._nursery = Nursery(spawner, poller, self._is_expecting, self._look_for_reports, tell, home)

    def change_spawner(self, spawner: Spawner) -> None:
        """Have all processes to come made by another zygote; those on their way are still born of the old."""
        unborn = [child for child in self._children.values() if child.line is not None]
        self._nursery.change(spawner, lambda: any(child.line is not None for child in unborn))

    def retire(self, spawner: Spawner) -> None:
        """Let a zygote go that has made none of these processes."""
        self._nursery.retire(spawner)

    def members(self, process: str) -> tuple[str, ...]:
        """Give the components in a process."""
        child = self._children.get(process)
        return child.members if child else ()

    def handle_of(self, process: str) -> tuple[int, int]:
        """Give a living process' pid and pidfd; 0 and -1 if there is none."""
        child = self._children.get(process)
        return (child.pid, child.pidfd) if child is not None else (0, -1)

    def blame(self, process: str, incarnation: int, reason: str) -> None:
        """Note why a process is about to end, in its own words."""
        child = self._children.get(process)
        if child is not None and child.incarnation == incarnation:
            child.reason = reason

    def adopt(self, child: Child, members: Sequence[ComponentPlan]) -> None:
        """Watch a living process of an earlier parent."""
        child.mark = mark_of(child.pid)
        self._children[child.process] = child
        self._poller.add(child.pidfd, lambda: self._died(child))
        with contextlib.suppress(OSError):  # no descriptor for a timer: its death is told all the same
            if members:  # else all of them are done, and it is on its way out
                self._watch.adopt(child.process, child.incarnation, members, child.pidfd, child.pid)

    # birth --------------------------------------------------------------------------------------------------

    def spawn(self, assignment: Assignment) -> None:
        """Ask for a process; `Spawned` or `SpawnFailed` follows."""
        child = Child(
            assignment.process,
            assignment.incarnation,
            tuple(member.name for member in assignment.members),
            None,
        )
        self._nursery.awaited.add(child.process)
        try:
            timer = self._watch.begin(child.process, child.incarnation, assignment.members)
            spare = self._nursery.take(assignment, timer)
            if spare is None:
                self._fork(child, assignment, timer)
                return
        except (SpawnError, OSError) as error:
            self._not_born(child, getattr(error, "strerror", None) or str(error))
            return
        self._children[child.process] = child
        child.pid, child.pidfd = spare.pid, spare.pidfd
        self._tie(child, spare.line)
        self._born(child)

    def _fork(self, child: Child, assignment: Assignment, timer: int) -> None:
        """Have a process forked; it reports before it begins."""
        line = self._nursery.fork(assignment, timer)
        self._children[child.process] = child
        child.line = line
        self._poller.add(line.fileno(), lambda: self._reported(child))
        self._nursery.watch_zygote()

    def _born(self, child: Child) -> None:
        """A process has its order: from now on its death is news."""
        child.spawned_ns, child.mark = _core.boottime_ns(), mark_of(child.pid)
        self._poller.add(child.pidfd, lambda: self._died(child))
        self._handle(Spawned(child.process, child.incarnation, child.pid))

    def _tie(self, child: Child, line: Line) -> None:
        """Keep the line of a process that holds it until it dies; another's has served."""
        if line.held:
            child.tether = line
            self._poller.add(line.fileno(), lambda: self._dying(child))
        else:
            line.close()

    def _dying(self, child: Child) -> None:
        """Have its successor prepare, while the kernel takes its memory down."""
        self._untie(child)
        assignment = self._foresee(child.process, child.incarnation)
        if assignment is not None:
            self._nursery.prepare(assignment)

    def _untie(self, child: Child) -> None:
        if child.tether is not None:
            self._poller.remove(child.tether.fileno())
            child.tether.close()
            child.tether = None

    def _not_born(self, child: Child, reason: str) -> None:
        self._watch.end(child.process)
        self._children.pop(child.process, None)
        self._nursery.awaited.discard(child.process)
        self._handle(SpawnFailed(child.process, child.incarnation, reason))
        self._nursery.refill()

    def arrived(self, process: str) -> None:
        """A component of the process has said a word: nobody waits for it any more."""
        self._nursery.arrived(process)

    def _is_expecting(self) -> bool:
        return any(child.line for child in self._children.values())

    def _reported(self, child: Child) -> None:
        """A forked process has said who it is, or died before it could."""
        if child.line is None:
            return
        line = child.line
        pid = line.here()
        self._poller.remove(line.fileno())
        child.line = None
        self._nursery.settle(is_there=pid is not None)
        if pid is None:
            line.close()
            self._not_born(child, "it died at its birth")
            return
        try:
            child.pid, child.pidfd = pid, os.pidfd_open(pid)
        except OSError as error:  # no descriptor is left
            os.kill(pid, signal.SIGKILL)
            line.close()
            self._not_born(child, f"can't watch it: {error.strerror}")
            return
        self._tie(child, line)
        self._born(child)

    # death --------------------------------------------------------------------------------------------------

    def signal(self, process: str, number: int) -> None:
        """Send a signal, if the process lives."""
        child = self._children.get(process)
        if child is not None:
            child.signal(number)

    def kill(self, process: str) -> None:
        """Kill the process and its group."""
        child = self._children.get(process)
        if child is not None and child.pid:
            child.signal(signal.SIGKILL)
            child.end_group()

    def _died(self, child: Child) -> None:
        """The kernel says that a child is dead: end its group, reap it, end its kin, then say so."""
        child.end_group()  # before its pid can be another's
        code: int | None
        try:
            found = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:  # adopted, or reaped by somebody else, a SIGCHLD's handler perhaps
            code = exit_code_of(child.pidfd, child.pid, child.start)
        else:
            if found is None:
                return
            code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        self._hear()
        self._watch.end(child.process)
        self._forget(child)
        child.pid = 0
        known = {other.pid for other in self._children.values()}
        if not child.start and not may_have_kin(child.mark, known):
            self._gone(child, code)
        else:
            self._burials.begin(child.mark, lambda: self._gone(child, code))

    def _gone(self, child: Child, code: int | None) -> None:
        del self._children[child.process]
        self._nursery.awaited.discard(child.process)
        self._bury(Exited(child.process, child.incarnation, code, child.reason), child)
        self._nursery.dismiss(child.process)
        self._nursery.refill()  # if no successor is on its way

    def reap(self) -> None:
        """Reap whoever became ours as their subreaper; our own children go the way of their pidfds."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            self._look_for_reports()
            own = next((child for child in self._children.values() if child.pid == found.si_pid), None)
            if own is not None:
                self._died(own)
            elif not self._nursery.died(found.si_pid):
                self._reap_stranger(found.si_pid)

    def _reap_stranger(self, pid: int) -> None:
        tell = self.guests.pop(pid, None)
        if tell is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # not reaped yet: the number is still its own
        with contextlib.suppress(ChildProcessError):
            status = os.waitpid(pid, os.WNOHANG)[1]
            if tell is not None:
                tell(os.waitstatus_to_exitcode(status))

    def _look_for_reports(self) -> None:
        """Hear of births first: a process may be dead before its report was read."""
        unborn = self._nursery.unborn()
        for child in self._children.values():
            if child.line is not None:
                unborn[child.line.fileno()] = partial(self._reported, child)
        poll = select.poll()  # not select(2), which knows but 1,024 descriptors
        for fd in unborn:
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(0):
            unborn[fd]()

    def _forget(self, child: Child) -> None:
        self._untie(child)
        if child.line is not None:
            self._poller.remove(child.line.fileno())
            child.line.close()
            child.line = None
        if child.pidfd >= 0:
            self._poller.remove(child.pidfd)
            os.close(child.pidfd)
            child.pidfd = -1

    def close(self) -> None:
        """Let go of all; the zygote and parked processes end by themselves."""
        self._burials.close()
        for child in self._children.values():
            self._forget(child)
        self._watch.close()
        self._nursery.close()
