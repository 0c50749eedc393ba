"""Sums and means over the last while, by the feed's own clock: a replay gives the same at any speed."""

from __future__ import annotations

from collections import deque
from math import copysign, exp, nan, tanh
from typing import TYPE_CHECKING, NamedTuple

from dolphin_mp.workers.books.features import balance, quality

if TYPE_CHECKING:
    from dolphin_mp.workers.books.features import Numbers

SHORT_NS, LONG_NS = 1_000_000_000, 10_000_000_000
HOUR_NS = 3_600_000_000_000
PRESSURE = 5.0
"""Flow of so many times the usual size at the top in 10 s is strong pressure: tanh(1) = 0.76 (chosen)."""
NEVER = 1 << 63


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

    def clear(self) -> None:
        """Begin at 0."""
        self.rounded = self.error = 0.0

    def since(self, rounded: float, error: float) -> float:
        """Give what was added since the sum was this."""
        return (self.rounded - rounded) + (self.error - error)

    @property
    def value(self) -> float:
        """The sum."""
        return self.rounded + self.error


class Moving(NamedTuple):
    """What changes with time alone, too."""

    ofi_1s: float
    ofi_10s: float
    depth_quality: float
    pressure: float
    trade_imbalance: float


UNKNOWN = Moving(*(nan for _ in Moving._fields))


class Usual:
    """The means of depth and spread over time, in which the past counts less and less: exp(-age / hour).

    Values hold until the next ones. After `pause` nothing holds until then.
    """

    __slots__ = ("_depth", "_depth_sum", "_since_ns", "_spread", "_spread_sum", "_weight")

    def __init__(self) -> None:
        self._depth_sum = self._spread_sum = self._weight = 0.0
        self._depth = self._spread = nan
        self._since_ns = 0

    def follow(self, now_ns: int, depth: float, spread: float) -> tuple[float, float]:
        """Take up values that hold from now on; gives the means until now, the first values at first."""
        age_ns = now_ns - self._since_ns
        if age_ns > 0:
            kept = exp(-age_ns / HOUR_NS)
            gone = 1.0 - kept if self._depth == self._depth else 0.0
            self._depth_sum *= kept
            self._spread_sum *= kept
            self._weight = self._weight * kept + gone
            if gone:
                self._depth_sum += self._depth * gone
                self._spread_sum += self._spread * gone
            self._since_ns = now_ns
        self._depth, self._spread = depth, spread
        weight = self._weight
        return (self._depth_sum / weight, self._spread_sum / weight) if weight else (depth, spread)

    def pause(self) -> None:
        """Say that the values are unknown."""
        self._depth = self._spread = nan


class Windows:
    """One symbol's flow and trades of the last 1 s and 10 s, and what is usual.

    Running totals are kept, and what they were before each thing that happened: a window's sum is the
    difference between now and its first thing, and exactly 0 where it has none.

    Attributes:
        due_ns: when what was read last changes by time alone.
    """

    __slots__ = ("_bought", "_flow", "_flows", "_recent", "_sizes", "_sold", "_trades", "_usual", "due_ns")

    def __init__(self) -> None:
        self._flows: deque[tuple[int, float, float, float, float]] = deque()
        self._recent: deque[tuple[int, float, float]] = deque()
        self._trades: deque[tuple[int, float, float, float, float]] = deque()
        self._flow, self._sizes = Total(), Total()
        self._bought, self._sold = Total(), Total()
        self._usual = Usual()
        self.due_ns = NEVER

    def flow(self, now_ns: int, flow: float, top_size: float) -> None:
        """Note one change of the top: its order flow, and the mean size there after it."""
        total, sizes = self._flow, self._sizes
        rounded, error = total.rounded, total.error
        self._flows.append((now_ns, rounded, error, sizes.rounded, sizes.error))
        self._recent.append((now_ns, rounded, error))
        sizes.add(top_size)
        total.add(flow)

    def trade(self, now_ns: int, size: float, *, bought: bool) -> None:
        """Note a trade; older ones go, since nobody may be reading while the book is lost."""
        trades = self._trades
        while trades and trades[0][0] <= now_ns - LONG_NS:
            trades.popleft()
        plus, minus = self._bought, self._sold
        if not trades:  # what went by is no matter of the new sums
            plus.clear()
            minus.clear()
        trades.append((now_ns, plus.rounded, plus.error, minus.rounded, minus.error))
        (plus if bought else minus).add(size)

    def restart(self) -> None:
        """Begin anew after an outage: its flow is unknown. Trades go on."""
        self._flows.clear()
        self._recent.clear()
        self._flow, self._sizes = Total(), Total()
        self.pause()

    def pause(self) -> None:
        """Say that depth and spread are unknown for now."""
        self._usual.pause()
        self.due_ns = NEVER

    def read(self, now_ns: int, numbers: Numbers) -> Moving:
        """Give all as of now; for a book in sync whose sides are not empty."""
        flows, recent, trades, total = self._flows, self._recent, self._trades, self._flow
        while flows and flows[0][0] <= now_ns - LONG_NS:
            flows.popleft()
        while recent and recent[0][0] <= now_ns - SHORT_NS:
            recent.popleft()
        while trades and trades[0][0] <= now_ns - LONG_NS:
            trades.popleft()
        due_ns = trades[0][0] + LONG_NS if trades else NEVER
        short = long = pressure = 0.0
        if flows:
            at_ns, rounded, error, sizes, sizes_error = flows[0]
            due_ns = min(due_ns, at_ns + LONG_NS)
            long = total.since(rounded, error)
            pressure = _pressure(long, self._sizes.since(sizes, sizes_error) / len(flows))
        if recent:
            at_ns, rounded, error = recent[0]
            due_ns = min(due_ns, at_ns + SHORT_NS)
            short = total.since(rounded, error)
        self.due_ns = due_ns
        depth, spread = numbers.depth_bid_10bp + numbers.depth_ask_10bp, numbers.spread_bps
        usual_depth, usual_spread = self._usual.follow(now_ns, depth, spread)
        worth = quality(depth, usual_depth, spread, usual_spread)
        return Moving(short, long, worth, pressure, self._balance())

    def _balance(self) -> float:
        """Give the balance of the trades kept."""
        if not self._trades:
            return nan
        _, plus, plus_error, minus, minus_error = self._trades[0]
        bought, sold = self._bought.since(plus, plus_error), self._sold.since(minus, minus_error)
        return balance(max(bought, 0.0), max(sold, 0.0))  # rounding may leave less than nothing


def _pressure(flow: float, usual: float) -> float:
    """Give the flow as a share of the usual size, in [-1, 1]; the bounds where rounding left no size."""
    if usual > 0.0:
        return tanh(flow / (PRESSURE * usual))
    return copysign(1.0, flow) if flow else 0.0
