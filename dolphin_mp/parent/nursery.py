"""Where a system's processes come from: the present zygote, the spares it has forked, the heirs of the dying.

A reload that replaces the zygote replaces all of it; the old one ends when it owes nobody a process any more.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from dolphin_mp.parent.heirs import Heirs
from dolphin_mp.parent.retirement import Retirement
from dolphin_mp.parent.spares import Spares
from dolphin_mp.parent.spawner import Spawner, SpawnError
from dolphin_mp.parent.zygote_watch import ZygoteWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.parent.poller import Poller
    from dolphin_mp.parent.spares import Spare
    from dolphin_mp.parent.spawner import Line
    from dolphin_mp.process.assignment import Assignment


class Nursery:
    """The present zygote and its processes without a part in the system, and the zygotes before it.

    Args:
        spawner: has the zygote.
        poller: tells what it says, and of births and deaths of those that are parked.
        is_expecting: tells whether a process that was forked for has not reported yet.
        hear: hears of those that have been born meanwhile.
        tell: publishes an event for people.
        home: what spares are told when they park, as JSON.

    Attributes: awaited (processes on their way, until one of their components has a word: no spares are
    forked meanwhile).
    """

    def __init__(
        self,
        spawner: Spawner,
        poller: Poller,
        is_expecting: Callable[[], bool],
        hear: Callable[[], None],
        tell: Callable[[dict[str, Any]], None],
        home: bytes,
    ) -> None:
        self._poller = poller
        self._is_expecting = is_expecting
        self._hear = hear
        self._tell = tell
        self._home = home
        self._retirement = Retirement(poller, hear)
        self.awaited: set[str] = set()
        self._begin(spawner)

    def _begin(self, spawner: Spawner) -> None:
        self._spawner = spawner
        self._zygote_fd = -1
        self._zygote_watch = ZygoteWatch(self._poller, spawner, self._is_awaited, self._hear)
        self._spares = Spares(spawner, self._poller, self._heard_of_spare, self._home)
        self._heirs = Heirs(self._spares)
        self._prepared: dict[str, int] = {}  # pids of heirs that nobody was told of yet, by process
        self._is_proven = False  # whether a process has come of the present zygote
        self.watch_zygote()

    def change(self, spawner: Spawner, is_awaited: Callable[[], bool]) -> None:
        """Have all processes to come made by another zygote; the old one stays while it is awaited."""
        old = self._spawner
        if self._zygote_fd >= 0:
            self._poller.remove(self._zygote_fd)
        self._heirs.close()
        self._spares.close()
        self._zygote_watch.close()
        self._retirement.take(old, is_awaited)
        self._begin(spawner)

    def retire(self, spawner: Spawner) -> None:
        """Let a zygote go that has made no process of the system."""
        self._retirement.take(spawner, lambda: False)

    def close(self) -> None:
        """Let go of all; the zygote and parked processes end by themselves."""
        self._heirs.close()
        self._spares.close()
        self._zygote_watch.close()
        self._retirement.close()
        self._spawner.close()

    # who is to carry out an assignment ----------------------------------------------------------------------

    def take(self, assignment: Assignment, timer: int) -> Spare | None:
        """Give the process that carries it out, the heir or else a spare; None if one has to be forked.

        Raises OSError.
        """
        spare = self._heirs.take(assignment, timer)
        if spare is None and len(self._spares):
            spare = self._spares.take(b"run", assignment.to_json(at_home=True), timer)
        return spare

    def fork(self, assignment: Assignment, timer: int) -> Line:
        """Have one forked; it reports before it begins.

        Then `watch_zygote` is to be called, and `settle` when it has reported. Raises SpawnError.
        """
        return self._spawner.fork(assignment.to_json(), timer)

    def prepare(self, assignment: Assignment) -> None:
        """Have a spare prepare to succeed a process that is dying."""
        pid = self._heirs.prepare(assignment)
        if pid:  # told of later: it may need this core at once
            self._prepared[assignment.process] = pid

    def dismiss(self, process: str) -> None:
        """Let go of its heir, if none was needed."""
        self._heirs.dismiss(process)
        pid = self._prepared.pop(process, 0)
        if pid:
            self._tell({"event": "heir", "process": process, "pid": pid})

    # births -------------------------------------------------------------------------------------------------

    def settle(self, *, is_there: bool) -> None:
        """A process that was forked for has reported, or never will."""
        self._is_proven |= is_there
        self._zygote_watch.settle()
        self._retirement.settle()

    def arrived(self, process: str) -> None:
        """A component of the process has said its first word, or it is dead: nobody waits for it any more."""
        if process in self.awaited:
            self.awaited.discard(process)
            self.refill()

    def refill(self) -> None:
        """Park spares for those taken, now that a fork takes no core from a process on its way."""
        if not self.awaited:
            self._spares.refill()
        self.watch_zygote()

    def unborn(self) -> dict[int, Callable[[], None]]:
        """Give the lines of spares that have not reported yet, and what takes their reports."""
        return self._spares.unborn()

    def _heard_of_spare(self, is_there: bool) -> None:
        self._zygote_watch.settle()
        self._is_proven |= is_there
        if is_there and self._spares.is_full:
            self._tell({"event": "spares", "parked": len(self._spares)})

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
        return bool(self._spares.unborn()) or self._is_expecting()

    def _zygote_spoke(self) -> None:
        word = self._spawner.read()
        if not word:
            self._zygote_died()
            return
        if word == b"loaded":
            self._tell({"event": "zygote", "pid": self._spawner.pid, "reason": ""})
        self.refill()  # those that lack what it has loaded are replaced

    def died(self, pid: int) -> bool:
        """Reap a zygote, the present or an earlier one, if it was one."""
        if pid == self._spawner.pid:
            self._zygote_died()
            return True
        return self._retirement.died(pid)

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
