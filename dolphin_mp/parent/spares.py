"""Processes that are parked before anybody needs them, so that no fork follows a death.

A spare has reported and waits on its line. One that died is noticed by the end of its line and replaced, at
once if it had lived for a while or was the first not to: else with the next refill, so that no loop of deaths
can come of it.
None to hand is no failure, only slower.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dolphin_mp.parent.spawner import Line, Spawner, SpawnError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.parent.poller import Poller

SPARES = 3  # chosen: a death, one more before the first is replaced, and one in hand; each holds 4 to 5 MiB
AGE_S = 10.0  # chosen: a spare that died younger may die for a reason that its successor would share


@dataclass(eq=False)
class Spare:
    """A parked process.

    Attributes: line; generation (of the modules it has); pid and pidfd (0 and -1 until it has reported);
    since (when it was asked for).
    """

    line: Line
    generation: int
    since: float
    pid: int = 0
    pidfd: int = -1


class Spares:
    """The parked processes of a system.

    Args:
        spawner: makes them.
        poller: tells of their reports and deaths.
        heard: called when one has come, or won't: with whether it has.
        home: what each is told when it parks, as JSON.
        wanted: how many to keep.
    """

    def __init__(
        self,
        spawner: Spawner,
        poller: Poller,
        heard: Callable[[bool], None],
        home: bytes,
        wanted: int = SPARES,
    ) -> None:
        self._spawner = spawner
        self._poller = poller
        self._heard = heard
        self._home = home
        self._wanted = wanted
        self._spares: list[Spare] = []
        self._lost_s = -AGE_S  # when the last one died young

    def __len__(self) -> int:
        """Give how many are ready."""
        return sum(spare.pid > 0 for spare in self._spares)

    @property
    def is_full(self) -> bool:
        """Whether as many are ready as are wanted."""
        return len(self) >= self._wanted

    def take(self, order: bytes, content: bytes, *descriptors: int) -> Spare | None:
        """Give a spare that has got an order, None without one; the caller owns its pidfd and line."""
        while (spare := self._pop()) is not None:
            self._poller.remove(spare.line.fileno())
            try:
                # whoever has stopped it meant no component
                signal.pidfd_send_signal(spare.pidfd, signal.SIGCONT)
                spare.line.tell(order, content, *descriptors)
            except OSError as error:
                spare.line.close()
                os.close(spare.pidfd)
                if isinstance(error, (ConnectionError, ProcessLookupError)):
                    continue  # it is dead, and is reaped with the strangers
                return None  # no descriptor is left for its order: hung up, it ends
            return spare
        return None

    def _pop(self) -> Spare | None:
        """Take out the one that was parked last, whose memory is the warmest."""
        for place in range(len(self._spares) - 1, -1, -1):
            spare = self._spares[place]
            if spare.pid and spare.generation == self._spawner.generation:
                return self._spares.pop(place)
        return None

    def refill(self) -> None:
        """Ask for as many as are missing; those without the present modules end."""
        for spare in [one for one in self._spares if one.generation != self._spawner.generation]:
            self._drop(spare)
        while len(self._spares) < self._wanted:
            try:
                line = self._spawner.park(self._home)
            except SpawnError:
                return
            spare = Spare(line, self._spawner.generation, time.monotonic())
            self._spares.append(spare)
            self._poller.add(line.fileno(), partial(self._spoke, spare))

    def unborn(self) -> dict[int, Callable[[], None]]:
        """Give the lines of those that have not reported yet, and what takes their reports."""
        unborn = (spare for spare in self._spares if not spare.pid)
        return {spare.line.fileno(): partial(self._reported, spare) for spare in unborn}

    def _spoke(self, spare: Spare) -> None:
        """A spare has reported, or its line has ended."""
        if spare.pid:
            if (
                not spare.line.has_ended()
            ):  # its report was taken a moment ago, in the midst of something else
                return
            now = time.monotonic()
            is_young = now - spare.since < AGE_S
            self._drop(spare)
            if not is_young or now - self._lost_s >= AGE_S:
                self.refill()
            if is_young:
                self._lost_s = now
        else:
            self._reported(spare)

    def _reported(self, spare: Spare) -> None:
        """Take a spare's report; one that can't be watched is let go."""
        pid = spare.line.here()
        try:
            spare.pidfd = os.pidfd_open(pid) if pid else -1
        except OSError:  # no descriptor is left
            pid = None
        spare.pid = pid or 0
        if not pid:
            self._drop(spare)
        self._heard(bool(pid))

    def _drop(self, spare: Spare) -> None:
        """Hang up: a process that is still parked ends, and is reaped with the strangers."""
        self._poller.remove(spare.line.fileno())
        self._spares.remove(spare)
        spare.line.close()
        if spare.pidfd >= 0:
            os.close(spare.pidfd)

    def close(self) -> None:
        """Let go of all; they end by themselves."""
        while self._spares:
            self._drop(self._spares[-1])
