"""The inputs without which a component does not step: when one is stale, or has lost its producer."""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING

from dolphin_mp.ipc import _core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolphin_mp.ipc import Channel


class Required:
    """A component's required inputs.

    One is stale that has no record yet, or whose newest is older than its ``stale_after``. One with a
    ``stale_after`` is stale as soon as nobody writes it any more, too: what the dead producer left in an
    input that the component steps on is still stepped on first.

    Args:
        channels: the required inputs'.
        triggers: those whose records wake the component.
        dealt: the one whose records are dealt; what a dead producer has left of those is stepped on still.

    Attributes: alarm (rung when a producer dies; None where that does not matter).
    """

    def __init__(
        self, channels: Sequence[Channel], triggers: Sequence[Channel], dealt: Channel | None = None
    ) -> None:
        self._channels = channels
        self._aging = [channel for channel in channels if channel.stale_after_ns]
        self._at = {id(channel): index for index, channel in enumerate(triggers)}
        self._watched = [channel for channel in self._aging if channel is not dealt]
        self.alarm = _core.Doorbell() if self._watched else None
        for channel in self._watched:
            channel._alarm = self.alarm

    def is_stale(self, seen: Sequence[int]) -> bool:
        """Tell whether one of them is stale; ``seen`` are the triggers' versions that were stepped on."""
        return any(fresh_for(channel) <= 0 for channel in self._channels) or any(
            self._is_left(channel) and self._is_seen(channel, seen) for channel in self._watched
        )

    def _is_seen(self, channel: Channel, seen: Sequence[int]) -> bool:
        index = self._at.get(id(channel))
        return index is None or channel.version <= seen[index]

    @staticmethod
    def _is_left(channel: Channel) -> bool:
        """Tell whether nobody writes it any more; has its writer's death ring the alarm from then on."""
        epoch = channel.epoch
        if epoch != channel.watched_epoch:
            channel._watch(epoch)
            channel.watched_epoch = epoch
        if channel.writer_pid and channel.dead_epoch != epoch:
            return False
        return not channel.writer_alive  # one of another pid namespace seems dead and is not

    def turn_ns(self) -> int:
        """Give when the next of them goes stale by its age, in ns of CLOCK_MONOTONIC; -1 is never."""
        left_s = min((fresh_for(channel) for channel in self._aging), default=inf)
        return -1 if left_s == inf else time.monotonic_ns() + max(0, round(left_s * 1e9))


def fresh_for(channel: Channel) -> float:
    """Give for how many seconds the newest record stays fresh: for ever where nobody said what stale is."""
    if channel.version == 0:
        return 0.0
    if not channel.stale_after_ns:
        return inf
    newest = channel._peek()
    written_ns = newest[2] if newest is not None else _core.boottime_ns()  # overwritten at this very moment
    return float((written_ns + channel.stale_after_ns - _core.boottime_ns()) * 1e-9)
