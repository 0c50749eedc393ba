"""A seeded market of random orders, so that a system can be shown and tested without a network.

Nobody in it has a plan: limit orders of one lot arrive at a constant rate on each price up to `REACH` ticks
from the opposite best, market orders at a constant rate on each side, and each resting lot is cancelled at a
constant rate. A spread, a depth and a price that wanders follow from these three rates.

Source: Smith, Farmer, Gillemot and Krishnamurthy, Statistical theory of the continuous double auction,
Quantitative Finance 3 (2003). docs/order-book.md gives what it comes to here.
"""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

from dolphin_mp.workers.books.events import Delta, Levels, Snapshot, Trade
from dolphin_mp.workers.books.market import Market, check_symbols
from dolphin_mp.workers.books.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

LIMIT_RATE = 1.0
"""Limit orders a second on each price of each side (all rates are chosen: a lively but small market)."""
MARKET_RATE = 3.0
"""Market orders a second on each side."""
CANCEL_RATE = 0.25
"""Of each resting lot, a second."""
REACH = 40
"""Ticks from the opposite best within which limit orders arrive."""
RULES = Rules()
WARM_UP_S = 30.0
"""Simulated before the first snapshot: 7.5 mean lives of a lot, so that the start is forgotten."""


class Side:
    """Resting lots of one side by price in ticks. The last lot stays: the book always has two sides."""

    __slots__ = ("_sign", "best", "levels", "lots", "touched")

    def __init__(self, sign: int, best: int) -> None:
        self._sign = sign
        self.best = best
        self.levels = {best: 1}
        self.lots = 1
        self.touched: set[int] = set()

    def add(self, ticks: int) -> None:
        """Rest one more lot."""
        self.levels[ticks] = self.levels.get(ticks, 0) + 1
        self.lots += 1
        self.touched.add(ticks)
        if (ticks - self.best) * self._sign > 0:
            self.best = ticks

    def remove(self, ticks: int) -> None:
        """Take one lot away."""
        if self.lots == 1:
            return
        self.lots -= 1
        self.touched.add(ticks)
        left = self.levels[ticks] - 1
        if left:
            self.levels[ticks] = left
            return
        del self.levels[ticks]
        if ticks == self.best:
            self.best = max(self.levels) if self._sign > 0 else min(self.levels)

    def at(self, index: int) -> int:
        """Give the price of a lot by its place among all lots."""
        for ticks, lots in self.levels.items():
            index -= lots
            if index < 0:
                return ticks
        raise IndexError(index)


class Flow:
    """The orders of one symbol, one after the other, each at its time.

    Bids never meet asks, because limit orders arrive below the best ask and above the best bid.
    """

    __slots__ = ("_due_s", "_random", "asks", "bids", "trades")

    def __init__(self, seed: str, mid_ticks: int) -> None:
        self._random = Random(seed)  # noqa: S311 - a market, not a secret
        self.bids, self.asks = Side(+1, mid_ticks - 1), Side(-1, mid_ticks + 1)
        self._due_s = 0.0
        self.trades: list[tuple[int, bool]] = []
        """Price in ticks, and whether it was bought, of each lot that a market order took."""

    def advance(self, until_s: float) -> None:
        """Let all orders happen that arrive until then."""
        random = self._random
        while self._due_s <= until_s:
            rate = 2 * (LIMIT_RATE * REACH + MARKET_RATE) + CANCEL_RATE * (self.bids.lots + self.asks.lots)
            self._happen(random.random() * rate)
            self._due_s += random.expovariate(rate)

    def _happen(self, draw: float) -> None:
        """Let one order happen; ``draw`` is uniform over the sum of all rates and says which."""
        bids, asks = self.bids, self.asks
        limits = LIMIT_RATE * REACH
        if draw < 2 * limits:
            distance = 1 + int(draw % limits / LIMIT_RATE)
            if draw >= limits:
                asks.add(bids.best + distance)
            elif asks.best > distance:  # a price is at least one tick
                bids.add(asks.best - distance)
            return
        draw -= 2 * limits
        if draw < 2 * MARKET_RATE:
            side = bids if draw < MARKET_RATE else asks
            if side.lots > 1:
                self.trades.append((side.best, side is asks))
                side.remove(side.best)
            return
        lot = int((draw - 2 * MARKET_RATE) / CANCEL_RATE)
        if lot < bids.lots:
            bids.remove(bids.at(lot))
        else:
            asks.remove(asks.at(min(lot - bids.lots, asks.lots - 1)))


class Simulator:
    """Several symbols of random orders, played into a market by a clock of its own.

    Args:
        symbols: any text that fits the record.
        seed: the same seed gives the same market, bit by bit, whatever the interval of its frames.
        tick: smallest step of a price.
        lot: size of one order.
        price: at the start.
        prices: at the start, for symbols that differ from it.
        start_ns: the clock's first time; it counts simulated time from there.
        changed: hears of each change of a top, as a row of `record.UPDATE`.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        seed: int = 0,
        *,
        tick: float = 0.01,
        lot: float = 1.0,
        price: float = 100.0,
        prices: Mapping[str, float] | None = None,
        start_ns: int = 0,
        changed: Callable[[tuple[Any, ...]], None] | None = None,
    ) -> None:
        check_symbols(symbols)
        self.market = Market(symbols, RULES, changed=changed)
        self._tick, self._lot, self._start_ns = tick, lot, start_ns
        self._digits = max(0, -int(Decimal(repr(tick)).normalize().as_tuple().exponent))
        at_start = dict.fromkeys(symbols, price) | dict(prices or {})
        self._flows = {
            symbol: Flow(f"{seed} {symbol} {start_ns}", max(2, round(at_start[symbol] / tick)))
            for symbol in symbols
        }

    def frames(self, interval_ns: int) -> Iterator[int | None]:
        """Play on without end: a frame's time, then None, because the next one is not due yet.

        The first frame is that of the snapshots; each later one is an interval of simulated time older.
        """
        for symbol, flow in self._flows.items():
            flow.advance(WARM_UP_S)
            bids, asks = (self._levels(side, sorted(side.levels)) for side in (flow.bids, flow.asks))
            self.market.take(Snapshot(symbol, 0, self._start_ns, bids, asks), self._start_ns)
            flow.bids.touched.clear()
            flow.asks.touched.clear()
            flow.trades.clear()
        frame = 0
        while True:
            now_ns = self._start_ns + frame * interval_ns
            self.market.heard_ns = now_ns
            yield now_ns
            yield None
            frame += 1
            now_ns += interval_ns
            for symbol, flow in self._flows.items():
                flow.advance(WARM_UP_S + frame * interval_ns / 1e9)
                self._trade(symbol, flow, now_ns)
                bids, asks = self._changes(flow.bids), self._changes(flow.asks)
                self.market.take(Delta(symbol, frame, frame, frame - 1, now_ns, bids, asks), now_ns)

    def _trade(self, symbol: str, flow: Flow, now_ns: int) -> None:
        for ticks, bought in flow.trades:
            price = round(ticks * self._tick, self._digits)
            self.market.take(Trade(symbol, now_ns, price, self._lot, bought), now_ns)
        flow.trades.clear()

    def _changes(self, side: Side) -> Levels:
        touched, side.touched = side.touched, set()
        return self._levels(side, sorted(touched))

    def _levels(self, side: Side, prices: list[int]) -> Levels:
        """Give levels as a venue would: prices in money, sizes now, 0 for those that are gone."""
        tick, lot, digits, lots = self._tick, self._lot, self._digits, side.levels
        return [(round(ticks * tick, digits), lots.get(ticks, 0) * lot) for ticks in prices]
