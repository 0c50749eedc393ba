"""A log collector that died is followed by another."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.logs.keeper import Keeper
    from dolphin_mp.parent.poller import Poller


class CollectorWatch:
    """Looks after the collector.

    Args:
        poller: tells when it is dead.
        logs: has it.
        tell: publishes an event for people.
    """

    def __init__(self, poller: Poller, logs: Keeper, tell: Callable[[dict[str, Any]], None]) -> None:
        self._poller = poller
        self._logs = logs
        self._tell = tell
        self._watch()

    def _watch(self) -> None:
        if self._logs.fileno() >= 0:
            self._poller.add(self._logs.fileno(), self._died)

    def _died(self) -> None:
        self._poller.remove(self._logs.fileno())
        self._look_after()

    @property
    def deadline(self) -> float | None:
        """When `tick` is to be called."""
        return self._logs.again_at

    def tick(self) -> None:
        """Try again, if it was given up for a while and that is over."""
        if self._logs.again_at is not None and time.monotonic() >= self._logs.again_at:
            self._look_after()

    def _look_after(self) -> None:
        if not self._logs.look_after():
            self._tell(
                {"event": "logs", "reason": "what is said is not written down: the collector keeps dying"}
            )
        self._watch()

    def close(self) -> None:
        """Watch it no more."""
        if self._logs.fileno() >= 0:
            self._poller.remove(self._logs.fileno())
