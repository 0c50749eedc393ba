"""Follows all channels of a system from outside, in a thread: every record whole, every loss told."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from parts import Tally

from dolphin_mp.ipc import Channel, ChannelError
from dolphin_mp.paths import segment_name

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_EVERY_S = 0.05


class Track:
    """One channel: how many records, and the longest time between two of them since it was last asked."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.tally = Tally()
        self.tally.begin(channel.history(channel.keep))
        self.written_ns = 0
        self.gap_s = 0.0

    def look(self) -> str:
        """Take what is new; gives what is wrong with it, or nothing."""
        found = self.channel.since(self.tally.version)
        fault = self.tally.take(found.records, found.lost)
        for record in found.records:
            if self.written_ns:
                self.gap_s = max(self.gap_s, (record.written_ns - self.written_ns) * 1e-9)
            self.written_ns = record.written_ns
        return fault


class Observer(threading.Thread):
    """Looks at all channels twenty times a second."""

    def __init__(self, system: str, names: list[str], fault: Callable[[str, str], None]) -> None:
        super().__init__(name="observer", daemon=True)
        self._fault = fault
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._system = system
        self._changing: set[str] = set()
        self.tracks = {name: self._track(name) for name in names}

    def _track(self, name: str) -> Track:
        return Track(Channel.attach(segment_name(self._system, f"{name}.out")))

    def expect_change(self, names: set[str]) -> None:
        """From now on these may come, go or be replaced, until `follow`."""
        with self._lock:
            self._changing |= names

    def follow(self, names: list[str]) -> None:
        """Look at these channels from now on; at those that were to change as they are now."""
        with self._lock:
            for name in self.tracks.keys() - set(names) | self.tracks.keys() & self._changing:
                self.tracks.pop(name).channel.close()
            for name in names:
                if name not in self.tracks:
                    self.tracks[name] = self._track(name)
            self._changing.clear()

    def run(self) -> None:
        while not self._ends.wait(LOOK_EVERY_S):
            with self._lock:
                for name, track in self.tracks.items():
                    try:
                        fault = track.look()
                    except ChannelError as error:
                        fault = "" if name in self._changing else repr(error)
                    if fault:
                        self._fault("records", f"{name}.out: {fault}")

    def versions(self) -> dict[str, int]:
        """Give each channel's newest version."""
        with self._lock:
            return {name: track.channel.version for name, track in self.tracks.items()}

    def epochs(self) -> dict[str, int]:
        """Give each channel's epoch: how often it was claimed."""
        with self._lock:
            return {name: track.channel.epoch for name, track in self.tracks.items()}

    def gaps(self) -> dict[str, float]:
        """Give the longest time between two records of each channel since the last call."""
        with self._lock:
            found = {name: track.gap_s for name, track in self.tracks.items()}
            for track in self.tracks.values():
                track.gap_s = 0.0
            return found

    def wait_record(self, name: str, more_than: int, limit_s: float) -> bool:
        """Wait until a channel has a newer version; tells whether it came."""
        limit = time.monotonic() + limit_s
        while self.versions()[name] <= more_than:
            if time.monotonic() > limit:
                return False
            time.sleep(LOOK_EVERY_S / 2)
        return True

    def end(self) -> tuple[int, int]:
        """Stop looking; gives how many records were read and how many were told as lost."""
        self._ends.set()
        self.join()
        read = sum(track.tally.read for track in self.tracks.values())
        lost = sum(track.tally.lost for track in self.tracks.values())
        for track in self.tracks.values():
            track.channel.close()
        return read, lost
