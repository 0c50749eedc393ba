"""Zygotes that were replaced: each does what it was asked for, and ends; one that stands still is killed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dolphin_mp.parent.zygote_watch import ZygoteWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.parent.poller import Poller
    from dolphin_mp.parent.spawner import Spawner


class Retirement:
    """The zygotes that nobody asks any more, until they are dead.

    Args:
        poller: tells when to look at them.
        hear: hears of those that have been born meanwhile.
    """

    def __init__(self, poller: Poller, hear: Callable[[], None]) -> None:
        self._poller = poller
        self._hear = hear
        self._retired: dict[int, _Retired] = {}  # by pid

    def take(self, spawner: Spawner, is_awaited: Callable[[], bool]) -> None:
        """Have a zygote end when nobody waits any more for a process that it was asked for."""
        if not spawner.pid:
            spawner.hang_up()
            return
        watch = ZygoteWatch(self._poller, spawner, lambda: True, self._hear)
        watch.expect()
        retired = self._retired[spawner.pid] = _Retired(spawner, watch, is_awaited)
        self._poller.add(spawner.fileno(), lambda: self._spoke(retired))
        self._flush(retired)
        self.settle()

    def _spoke(self, retired: _Retired) -> None:
        if retired.spawner.read():
            self._flush(retired)
        else:  # it is dead, as the kernel will say
            self._poller.remove(retired.spawner.fileno())

    def _flush(self, retired: _Retired) -> None:
        self._poller.want_room(retired.spawner.fileno(), wanted=retired.spawner.flush())

    def settle(self) -> None:
        """A process has been born, or won't be: hang up on the zygote whose last it was."""
        for retired in self._retired.values():
            if not retired.is_awaited():
                self._hang_up(retired)

    def _hang_up(self, retired: _Retired) -> None:
        self._poller.remove(retired.spawner.fileno())
        retired.spawner.hang_up()

    def died(self, pid: int) -> bool:
        """Reap one of them, if it was one: what it was asked for and has not begun will never be."""
        retired = self._retired.pop(pid, None)
        if retired is None:
            return False
        retired.watch.close()
        self._hang_up(retired)
        retired.spawner.lost()
        return True

    def close(self) -> None:
        """Hang up on all; they are ended with whatever else is left."""
        for retired in self._retired.values():
            retired.watch.close()
            self._hang_up(retired)
            retired.spawner.retire()
        self._retired.clear()


@dataclass(frozen=True)
class _Retired:
    spawner: Spawner
    watch: ZygoteWatch
    is_awaited: Callable[[], bool]
