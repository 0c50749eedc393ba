"""What a venue allows a client, and what the client did: counted, enforced, kept for the test to look at."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple


class Limit(NamedTuple):
    """At most so many in any such span; nought: no limit is known."""

    most: int = 0
    within_s: float = 1.0


class Limits(NamedTuple):
    """A venue's limits.

    Attributes:
        messages: heard on one connection, whatever they say.
        messages_by_address: heard on all connections together.
        subscribes: messages that subscribe or unsubscribe, on one connection.
        connects: connections opened.
        requests: weight of REST requests.
        open_at_once: connections.
        channels: subscribed on one connection.
        channels_at_once: in one message.
        message_bytes: of one message.
    """

    messages: Limit = Limit()
    messages_by_address: Limit = Limit()
    subscribes: Limit = Limit()
    connects: Limit = Limit()
    requests: Limit = Limit()
    open_at_once: int = 0
    channels: int = 0
    channels_at_once: int = 0
    message_bytes: int = 0


class Meter:
    """Counts one kind of event; what comes at one moment counts together.

    Attributes: limit, times (of the events, rising), weights.
    """

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.times: list[float] = []
        self.weights: list[int] = []

    def count(self, now: float, weight: int = 1) -> bool:
        """Count one, and say whether it was allowed."""
        self.times.append(now)
        self.weights.append(weight)
        return not self.limit.most or self.within(now) <= self.limit.most

    def within(self, now: float) -> int:
        """Give what was counted in the span that ends now."""
        return sum(self.weights[bisect_right(self.times, now - self.limit.within_s) :])

    def most(self) -> int:
        """Give the most that was ever counted in a span of the limit's length."""
        return max(map(self._until, range(len(self.times))), default=0)

    def _until(self, index: int) -> int:
        first = bisect_right(self.times, self.times[index] - self.limit.within_s)
        return sum(self.weights[first : index + 1])
