"""A market of one symbol that follows from a seed: levels come, change and go, sides get thin, orders trade.

Prices are whole ticks and sizes whole lots inside, decimals with the venue's number of places outside. What
happens and what is told of it are two steps (`stir`, `tell`), because at a venue they are: a snapshot asked
for by REST is of a moment between two messages of the stream.
"""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import NamedTuple

REACH = 40
"""Ticks from the touch within which orders arrive."""
MOST_LEVELS = 60
FEWEST_TICKS = 200
"""Below this price no bid arrives: none may ever be nought."""


class Top(NamedTuple):
    """The best levels of a book; None for a side that is empty."""

    bid: Decimal | None
    bid_size: Decimal | None
    ask: Decimal | None
    ask_size: Decimal | None


class Trade(NamedTuple):
    """A trade; `bought`: by the taker."""

    number: int
    ticks: int
    lots: int
    bought: bool


class Change(NamedTuple):
    """A level that is not what was last told of it; nought lots: none there."""

    ticks: int
    before: int
    lots: int


class Update(NamedTuple):
    """What one message tells.

    Attributes:
        number: of this symbol's updates, from 1.
        first_id, last_id: the events in it.
        previous_id: the last id of the update before it.
        absent: a price without a level, on either side, that some venues delete all the same.
    """

    symbol: str
    number: int
    first_id: int
    last_id: int
    previous_id: int
    event_ms: int
    bids: tuple[Change, ...]
    asks: tuple[Change, ...]
    absent: tuple[int, int]
    trades: tuple[Trade, ...]
    top: Top


class Market:
    """The book of one symbol, and what of it was told.

    Attributes:
        grain: how many lots make a size of three places.
        bids, asks: lots by ticks, now.
        told_bids, told_asks: the same as of the last update.
        recent: the last trades that were told; some venues begin with them.
        quiet: nothing happens between two updates, so a snapshot is just of the last one.
        last_id: of the last event; `told_id`, `told_ms`: id and time of the last update.
    """

    def __init__(self, symbol: str, seed: int, tick: str, lot: str, price: str) -> None:
        self.symbol = symbol
        self.tick, self.lot = Decimal(tick), Decimal(lot)
        self.random = Random(f"{symbol} {seed}")
        self.grain = 10 ** max(0, len(lot.partition(".")[2]) - 3)
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.last_id = self.random.randrange(10**6, 10**9)
        self.trades: list[Trade] = []
        self.trade_number = self.random.randrange(10**5, 10**6)
        self.quiet = False
        self.number = 0
        self.first_id = 0
        middle = int(Decimal(price) / self.tick)
        for distance in range(1, 31):
            if distance == 1 or self.random.random() < 0.7:
                self.bids[middle - distance] = self._lots()
                self.asks[middle + distance] = self._lots()
        self.told_bids, self.told_asks = dict(self.bids), dict(self.asks)
        self.told_id, self.told_ms = self.last_id, 0
        self.recent: tuple[Trade, ...] = (Trade(self.trade_number, middle, 7, bought=True),)
        self._touched: tuple[set[int], set[int]] = (set(), set())

    def price(self, ticks: int) -> Decimal:
        """Give a price with all of the tick's places."""
        return self.tick * ticks

    def size(self, lots: int) -> Decimal:
        """Give a size with all of the lot's places."""
        return self.lot * lots

    def top(self, bids: dict[int, int] | None = None, asks: dict[int, int] | None = None) -> Top:
        """Give the best levels, of the book now or of the one given."""
        bids, asks = self.bids if bids is None else bids, self.asks if asks is None else asks
        bid, ask = max(bids, default=None), min(asks, default=None)
        return Top(
            None if bid is None else self.price(bid),
            None if bid is None else self.size(bids[bid]),
            None if ask is None else self.price(ask),
            None if ask is None else self.size(asks[ask]),
        )

    def stir(self) -> None:
        """Let something happen that leaves the book another one than was last told."""
        for _ in range(self.random.choice((1, 1, 2, 3, 8))):
            self._happen()
        while self.bids == self.told_bids and self.asks == self.told_asks:
            self._happen()
        self._touched[0].update(_differing(self.told_bids, self.bids))
        self._touched[1].update(_differing(self.told_asks, self.asks))

    def tell(self, now_ms: int) -> Update:
        """Give all that happened since the last update; `now_ms` is later than the last one's."""
        self.stir()
        previous_id, self.number = self.told_id, self.number + 1
        self.told_id, self.told_ms = self.last_id, now_ms
        update = Update(
            self.symbol,
            self.number,
            self.first_id,
            self.last_id,
            previous_id,
            now_ms,
            _changes(self.told_bids, self.bids, self._touched[0]),
            _changes(self.told_asks, self.asks, self._touched[1]),
            (min(self.bids) - REACH - 3, max(self.asks) + REACH + 3),
            tuple(self.trades),
            self.top(),
        )
        self.told_bids, self.told_asks = dict(self.bids), dict(self.asks)
        self.recent = (*self.recent, *self.trades)[-3:]
        self.trades, self.first_id, self._touched = [], 0, (set(), set())
        return update

    def _happen(self) -> None:
        self.last_id += self.random.randint(1, 4)
        self.first_id = self.first_id or self.last_id
        chance = self.random.random()
        if chance < 0.6:
            self._arrive()
        elif chance < 0.8:
            self._cancel()
        elif chance < 0.995:
            self._take()
        else:
            self._thin()
        self.last_id += self.random.randint(0, 3)

    def _arrive(self) -> None:
        """An order at a price from one tick this side of the opposite best to some way out."""
        out = min(self.random.randint(1, REACH), self.random.randint(1, REACH))
        bid = self.random.random() < 0.5
        if max(self.bids) < FEWEST_TICKS:
            bid = True
        book = self.bids if bid else self.asks
        price = min(self.asks) - out if bid else max(self.bids) + out
        book[max(1, price)] = book.get(max(1, price), 0) + self._lots()
        if len(book) > MOST_LEVELS:
            del book[min(book) if bid else max(book)]

    def _cancel(self) -> None:
        book = self.random.choice((self.bids, self.asks))
        price = self.random.choice(sorted(book))
        left = book[price] - self._lots()
        self._leave(book, price, left)

    def _take(self) -> None:
        """An order that trades with the best level, and perhaps with the next ones."""
        bought = self.random.random() < 0.5
        book = self.asks if bought else self.bids
        wanted = self._lots() * self.random.choice((1, 1, 4))
        while wanted > 0:
            price = min(book) if bought else max(book)
            filled = min(wanted, book[price])
            if filled == book[price] and len(book) == 1:
                return
            self.trade_number += 1
            self.trades.append(Trade(self.trade_number, price, filled, bought))
            self._leave(book, price, book[price] - filled)
            wanted -= filled

    def _thin(self) -> None:
        """Nearly all of a side is withdrawn."""
        bid = self.random.random() < 0.5
        book = self.bids if bid else self.asks
        keep = set(sorted(book, reverse=bid)[: self.random.randint(1, 3)])
        for price in sorted(book.keys() - keep):
            del book[price]

    def _lots(self) -> int:
        """Give sizes of all lengths: few are large, and some have noughts at their end."""
        whole = self.random.choice((1, 7, 10, 250, 1200)) * self.random.randint(1, 9)
        return whole * self.random.choice((self.grain, self.random.randint(1, self.grain)))

    @staticmethod
    def _leave(book: dict[int, int], price: int, lots: int) -> None:
        """What is left of a level; a side's last one stays."""
        if lots > 0:
            book[price] = lots
        elif len(book) > 1:
            del book[price]


def _differing(told: dict[int, int], now: dict[int, int]) -> set[int]:
    return {price for price in told.keys() | now.keys() if told.get(price) != now.get(price)}


def _changes(told: dict[int, int], now: dict[int, int], touched: set[int]) -> tuple[Change, ...]:
    """Give the levels to tell: also one that came and went, for a snapshot may have shown it in between."""
    return tuple(Change(price, told.get(price, 0), now.get(price, 0)) for price in sorted(touched))
