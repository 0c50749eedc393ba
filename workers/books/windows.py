"""Sums and means over the last while, by the feed's own clock: a replay gives the same at any speed."""

from __future__ import annotations

from collections import deque
from math import exp, nan, tanh
from typing import TYPE_CHECKING, NamedTuple

from dolphin_mp.workers.books.features import balance, quality

if TYPE_CHECKING:
    from dolphin_mp.workers.books.features import Numbers

SHORT_NS, LONG_NS = 1_000_000_000, 10_000_000_000
HOUR_NS = 3_600_000_000_000
PRESSURE = 5.0
"""Flow of so many times the usual size at the top in 10 s is strong pressure: tanh(1) = 0.76 (chosen)."""
_NEVER = 1 << 63


class Total:
    """A sum whose rounding errors are summed too: millions that come and go leave the small change exact.

    Source: Neumaier, Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen, ZAMM 54 (1974).
    """

    __slots__ = ("error", "rounded")

    def __init__(self) -> None:
        self.rounded = self.error = 0.0

    def add(self, value: float) -> None:
        """Add a value."""
        before = self.rounded
        self.rounded = after = before + value
        if abs(before) >= abs(value):
            self.error += (before - after) + value
        else:
            self.error += (value - after) + before

    @property
    def value(self) -> float:
        """The sum."""
        return self.rounded + self.error


class Window:
    """The sum of what was added less than a span ago.

    It is kept as a running total and what the total was before each addition: an empty window's sum is
    exactly 0.
    """

    __slots__ = ("_items", "_span_ns", "_total")

    def __init__(self, span_ns: int) -> None:
        self._span_ns = span_ns
        self._items: deque[tuple[int, float, float]] = deque()
        self._total = Total()

    def add(self, now_ns: int, value: float) -> None:
        """Add a value at a time, none before the last one's."""
        total = self._total
        self._items.append((now_ns, total.rounded, total.error))
        total.add(value)

    def sum(self, now_ns: int) -> float:
        """Give the sum over (now - span, now]."""
        items, limit = self._items, now_ns - self._span_ns
        while items and items[0][0] <= limit:
            items.popleft()
        if not items:
            return 0.0
        _, rounded, error = items[0]
        return (self._total.rounded - rounded) + (self._total.error - error)

    def mean(self, now_ns: int) -> float:
        """Give the mean of what was added; NaN if that is nothing."""
        total = self.sum(now_ns)
        return total / len(self._items) if self._items else nan

    @property
    def due_ns(self) -> int:
        """When the sum changes by time alone."""
        return self._items[0][0] + self._span_ns if self._items else _NEVER

    def clear(self) -> None:
        """Forget all."""
        self._items.clear()
        self._total = Total()


class Usual:
    """The mean of a value over time, in which the past counts less and less: exp(-age / span).

    A value holds until the next one. After `pause` nothing holds until then.
    """

    __slots__ = ("_since_ns", "_span_ns", "_sum", "_value", "_weight")

    def __init__(self, span_ns: int) -> None:
        self._span_ns = span_ns
        self._sum = self._weight = 0.0
        self._value = nan
        self._since_ns = 0

    def follow(self, now_ns: int, value: float) -> float:
        """Take up a value that holds from now on; gives the mean until now, the first value at first."""
        kept = exp(min(0, self._since_ns - now_ns) / self._span_ns)
        self._sum *= kept
        self._weight *= kept
        if self._value == self._value:
            self._sum += self._value * (1.0 - kept)
            self._weight += 1.0 - kept
        self._since_ns, self._value = now_ns, value
        return self._sum / self._weight if self._weight else value

    def pause(self) -> None:
        """Say that the value is unknown."""
        self._value = nan


class Moving(NamedTuple):
    """What changes with time alone, too."""

    ofi_1s: float
    ofi_10s: float
    depth_quality: float
    pressure: float
    trade_imbalance: float


UNKNOWN = Moving(*(nan for _ in Moving._fields))


class Windows:
    """One symbol's windows."""

    __slots__ = ("_bought", "_depth", "_flow_long", "_flow_short", "_size", "_sold", "_spread")

    def __init__(self) -> None:
        self._flow_short, self._flow_long = Window(SHORT_NS), Window(LONG_NS)
        self._size = Window(LONG_NS)
        self._bought, self._sold = Window(LONG_NS), Window(LONG_NS)
        self._depth, self._spread = Usual(HOUR_NS), Usual(HOUR_NS)

    def flow(self, now_ns: int, flow: float, top_size: float) -> None:
        """Note one change of the top: its order flow, and the mean size there after it."""
        self._flow_short.add(now_ns, flow)
        self._flow_long.add(now_ns, flow)
        self._size.add(now_ns, top_size)

    def trade(self, now_ns: int, size: float, *, bought: bool) -> None:
        """Note a trade."""
        (self._bought if bought else self._sold).add(now_ns, size)

    def restart(self) -> None:
        """Begin anew after an outage: its flow is unknown. Trades go on."""
        for window in (self._flow_short, self._flow_long, self._size):
            window.clear()
        self.pause()

    def pause(self) -> None:
        """Say that depth and spread are unknown for now."""
        self._depth.pause()
        self._spread.pause()

    def due_ns(self) -> int:
        """When something changes by time alone."""
        windows = (self._flow_short, self._flow_long, self._bought, self._sold)
        return min(window.due_ns for window in windows)

    def read(self, now_ns: int, numbers: Numbers) -> Moving:
        """Give all as of now; for a book in sync whose sides are not empty."""
        flow = self._flow_long.sum(now_ns)
        usual = self._size.mean(now_ns)
        depth = numbers.depth_bid_10bp + numbers.depth_ask_10bp
        usual_depth = self._depth.follow(now_ns, depth)
        usual_spread = self._spread.follow(now_ns, numbers.spread_bps)
        return Moving(
            self._flow_short.sum(now_ns),
            flow,
            quality(depth, usual_depth, numbers.spread_bps, usual_spread),
            tanh(flow / (PRESSURE * usual)) if flow else 0.0,
            balance(self._bought.sum(now_ns), self._sold.sum(now_ns)),
        )
