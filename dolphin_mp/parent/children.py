"""A system's processes: asked of the zygote, watched by their pidfds, killed, reaped."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dolphin_mp.exits import exit_code_of, kill_group
from dolphin_mp.ipc import _core
from dolphin_mp.parent.burial import Burials
from dolphin_mp.parent.heirs import Heirs
from dolphin_mp.parent.retirement import Retirement
from dolphin_mp.parent.spares import Spares
from dolphin_mp.parent.spawner import Line, Spawner, SpawnError
from dolphin_mp.parent.zygote_watch import ZygoteWatch
from dolphin_mp.process.kin import mark_of, may_have_kin
from dolphin_mp.supervision.vocabulary import Exited, Spawned, SpawnFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dolphin_mp.hang.watch import HangWatch
    from dolphin_mp.parent.poller import Poller
    from dolphin_mp.plan import ComponentPlan
    from dolphin_mp.process.assignment import Assignment


@dataclass
class Child:
    """A forked process: its line until it has reported, then its pid and pidfd.

    Attributes: tether (its line from then on, if that ends only when the process begins to die).
    """

    process: str
    incarnation: int
    members: tuple[str, ...]
    line: Line | None
    pid: int = 0
    pidfd: int = -1
    reason: str = ""
    spawned_ns: int = 0
    start: int = 0  # of one that is adopted: its start time
    mark: int = 0
    tether: Line | None = None


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
        self._spawner = spawner
        self._poller = poller
        self._watch = watch
        self._handle = handle
        self._bury = bury
        self._hear = hear
        self._tell = tell
        self._foresee = foresee
        self._home = home
        self._children: dict[str, Child] = {}
        self._burials = Burials(poller)
        self._zygote_watch = ZygoteWatch(poller, spawner, self._is_awaited, self._look_for_reports)
        self._spares = Spares(spawner, poller, self._heard_of_spare, home)
        self._heirs = Heirs(self._spares)
        self._retirement = Retirement(poller, self._look_for_reports)
        self._awaited: set[str] = set()  # processes on their way, until one of their components has a word
        self._is_proven = False  # whether a process has come of the present zygote
        self.guests: dict[int, Callable[[int], None]] = {}  # who else is to hear of a death, by pid
        self._zygote_fd = -1
        self.watch_zygote()

    def change_spawner(self, spawner: Spawner) -> None:
        """Have all processes to come made by another zygote; those on their way are still born of the old."""
        old, self._spawner = self._spawner, spawner
        if self._zygote_fd >= 0:
            self._poller.remove(self._zygote_fd)
            self._zygote_fd = -1
        self._heirs.close()
        self._spares.close()
        self._zygote_watch.close()
        unborn = [child for child in self._children.values() if child.line is not None]
        self._retirement.take(old, lambda: any(child.line is not None for child in unborn))
        self._zygote_watch = ZygoteWatch(self._poller, spawner, self._is_awaited, self._look_for_reports)
        self._spares = Spares(spawner, self._poller, self._heard_of_spare, self._home)
        self._heirs = Heirs(self._spares)
        self._is_proven = False
        self.watch_zygote()

    def retire(self, spawner: Spawner) -> None:
        """Let a zygote go that has made none of these processes."""
        self._retirement.take(spawner, lambda: False)

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
        self._awaited.add(child.process)
        try:
            timer = self._watch.begin(child.process, child.incarnation, assignment.members)
            spare = self._heirs.take(assignment, timer)
            if spare is None and len(self._spares):
                spare = self._spares.take(b"run", assignment.to_json(at_home=True), timer)
            if spare is None:
                self._fork(child, assignment.to_json(), timer)
                return
        except (SpawnError, OSError) as error:
            self._not_born(child, str(error))
            return
        self._children[child.process] = child
        child.pid, child.pidfd = spare.pid, spare.pidfd
        self._tie(child, spare.line)
        self._born(child)

    def _fork(self, child: Child, content: bytes, timer: int) -> None:
        """Have a process forked; it reports before it begins."""
        line = self._spawner.fork(content, timer)
        self._children[child.process] = child
        child.line = line
        self._poller.add(line.fileno(), lambda: self._reported(child))
        self.watch_zygote()

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
            self._heirs.prepare(assignment)

    def _untie(self, child: Child) -> None:
        if child.tether is not None:
            self._poller.remove(child.tether.fileno())
            child.tether.close()
            child.tether = None

    def _not_born(self, child: Child, reason: str) -> None:
        self._watch.end(child.process)
        self._children.pop(child.process, None)
        self._awaited.discard(child.process)
        self._handle(SpawnFailed(child.process, child.incarnation, reason))
        self._refill()

    def arrived(self, process: str) -> None:
        """A component of the process has said its first word, or it is dead: nobody waits for it any more."""
        if process in self._awaited:
            self._awaited.discard(process)
            self._refill()

    def _heard_of_spare(self, is_there: bool) -> None:
        self._zygote_watch.settle()
        self._is_proven |= is_there
        if is_there and self._spares.is_full:
            self._tell({"event": "spares", "parked": len(self._spares)})

    def _refill(self) -> None:
        """Park spares for those taken, now that a fork takes no core from a process on its way."""
        if not self._awaited:
            self._spares.refill()
        self.watch_zygote()

    def _reported(self, child: Child) -> None:
        """A forked process has said who it is, or died before it could."""
        if child.line is None:
            return
        line = child.line
        pid = line.here()
        self._is_proven |= pid is not None
        self._poller.remove(line.fileno())
        child.line = None
        self._zygote_watch.settle()
        self._retirement.settle()
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
        if child is not None and child.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(child.pidfd, number)

    def kill(self, process: str) -> None:
        """Kill the process and its group."""
        child = self._children.get(process)
        if child is not None and child.pid:
            self.signal(process, signal.SIGKILL)
            _end_group(child)

    def _died(self, child: Child) -> None:
        """The kernel says that a child is dead: end its group, reap it, end its kin, then say so."""
        _end_group(child)  # before its pid can be another's
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
        self._awaited.discard(child.process)
        self._bury(Exited(child.process, child.incarnation, code, child.reason), child)
        self._heirs.dismiss(child.process)  # if none was needed
        self._refill()  # if no successor is on its way

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
            elif found.si_pid == self._spawner.pid:
                self._zygote_died()
            elif not self._retirement.died(found.si_pid):
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
        unborn = self._spares.unborn()
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
        self._heirs.close()
        self._spares.close()
        self._zygote_watch.close()
        self._retirement.close()
        self._burials.close()
        for child in self._children.values():
            self._forget(child)
        self._watch.close()
        self._spawner.close()

    # the zygote ---------------------------------------------------------------------------------------------

    def watch_zygote(self) -> None:
        """Listen to the present zygote; a new one is started by the next spawn, if it died."""
        fd = self._spawner.fileno()
        if fd != self._zygote_fd:
            self._zygote_fd = fd
            if fd >= 0:
                self._poller.add(fd, self._zygote_spoke)
        if fd >= 0:
            self._poller.want_room(fd, wanted=self._spawner.flush())
            self._zygote_watch.expect()

    def _is_awaited(self) -> bool:
        return bool(self._spares.unborn()) or any(child.line for child in self._children.values())

    def _zygote_spoke(self) -> None:
        word = self._spawner.read()
        if not word:
            self._zygote_died()
            return
        if word == b"loaded":
            self._tell({"event": "zygote", "pid": self._spawner.pid, "reason": ""})
        self._refill()  # those that lack what it has loaded are replaced

    def _zygote_died(self) -> None:
        self._poller.remove(self._zygote_fd)
        self._zygote_fd = -1
        self._spawner.lost()
        self._tell({"event": "zygote", "pid": 0, "reason": "the zygote died; another comes"})
        if self._is_proven:  # else it may die of what the next one would die of: that waits for a start
            self._is_proven = False
            with contextlib.suppress(SpawnError):
                self._spawner.start()
            self.watch_zygote()


def _end_group(child: Child) -> None:
    if child.start:
        kill_group(child.pidfd, child.pid)
    else:  # not reaped yet: the pid can't be another's
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
