"""Channels of one form under names: what reads a whole pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolphin_mp.ipc._core import Record
    from dolphin_mp.ipc.channel import Channel


class Channels(Mapping[str, "Channel"]):
    """The channels of a pool's instances by their names (``mc@0``, …), in the pool's order."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._channels = dict(channels)

    def __getitem__(self, name: str) -> Channel:
        return self._channels[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._channels)

    def __len__(self) -> int:
        return len(self._channels)

    def latest(self) -> dict[str, Record]:
        """Give the newest record of each instance that has written one, by the instance's name."""
        found = ((name, channel.latest()) for name, channel in self.items())
        return {name: record for name, record in found if record is not None}
