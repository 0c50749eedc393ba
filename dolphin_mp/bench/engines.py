"""Order books that are compared: each plays a session of prebuilt messages and reads the top after each."""

from __future__ import annotations

import importlib
import time
from math import nan
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from dolphin_mp.workers.books.book import Book, Top

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.bench.streams import Stream
    from dolphin_mp.workers.books.events import Delta, Snapshot

    Turn = Callable[[], float]

DICT, OURS = "unchecked dict, best kept", "Book.apply, all checks"


def engines(stream: Stream) -> dict[str, Turn]:
    """Give turns by name, peers only where they are installed; a turn gives ns a message."""
    turns: dict[str, Turn] = {DICT: lambda: _unchecked(stream), OURS: lambda: _ours(stream)}
    order_book, containers = _find("order_book"), _find("sortedcontainers")
    nautilus = _find("nautilus_trader.model", "nautilus_trader.model.enums")
    if hasattr(order_book, "OrderBook"):
        turns["order-book (C), floats"] = lambda: _order_book(stream, order_book)
    if hasattr(containers, "SortedDict"):
        turns["sortedcontainers, floats"] = lambda: _sorted(stream, containers)
    if hasattr(nautilus, "OrderBook"):
        prebuilt = _nautilus_messages(stream, nautilus)
        turns["nautilus_trader, objects prebuilt"] = lambda: _nautilus(stream, nautilus, prebuilt)
    return turns


def _find(*names: str) -> Any:
    """Give what some modules offer, in one; nothing without them."""
    try:
        modules = [vars(importlib.import_module(name)) for name in names]
    except ImportError:
        return None
    return SimpleNamespace(**{key: value for module in modules for key, value in module.items()})


def _unchecked(stream: Stream) -> float:  # noqa: C901 - in one piece, as who wants speed writes it
    """The floor: two dicts, best prices looked for only when they go, nothing checked."""
    books: dict[str, list[Any]] = {}
    for snapshot in stream.snapshots:
        bids, asks = dict(snapshot.bids), dict(snapshot.asks)
        books[snapshot.symbol] = [bids, asks, max(bids, default=0.0), min(asks, default=0.0)]
    began = time.perf_counter_ns()
    for symbol, _, _, _, _, bid_changes, ask_changes, _ in stream.deltas:
        book = books[symbol]
        bids, asks, bid, ask = book
        for price, size in bid_changes:
            if size:
                bids[price] = size
                if price > bid:
                    bid = price
            else:
                bids.pop(price, None)
                if price == bid:
                    bid = max(bids, default=0.0)
        for price, size in ask_changes:
            if size:
                asks[price] = size
                if price < ask:
                    ask = price
            else:
                asks.pop(price, None)
                if price == ask:
                    ask = min(asks, default=0.0)
        book[2], book[3] = bid, ask
        Top(bid, ask, bids.get(bid, nan), asks.get(ask, nan))
    return (time.perf_counter_ns() - began) / len(stream.deltas)


def _ours(stream: Stream) -> float:
    books = {snapshot.symbol: Book(stream.venue.RULES) for snapshot in stream.snapshots}
    for snapshot in stream.snapshots:
        books[snapshot.symbol].load(snapshot)
    began = time.perf_counter_ns()
    for delta in stream.deltas:
        book = books[delta.symbol]
        book.apply(delta)
        book.top()
    taken = time.perf_counter_ns() - began
    if any(not book.synced for book in books.values()):
        raise RuntimeError(f"a book of {stream.name} lost its sync: nothing was measured")
    return taken / len(stream.deltas)


def _order_book(stream: Stream, package: Any) -> float:
    books: dict[str, Any] = {}
    for snapshot in stream.snapshots:
        book = books[snapshot.symbol] = package.OrderBook()
        book.bids, book.asks = dict(snapshot.bids), dict(snapshot.asks)
    began = time.perf_counter_ns()
    for delta in stream.deltas:
        book = books[delta.symbol]
        for side, changes in ((book.bids, delta.bids), (book.asks, delta.asks)):
            for price, size in changes:
                if size:
                    side[price] = size
                elif price in side:
                    del side[price]
            if len(side):
                side.index(0)
    return (time.perf_counter_ns() - began) / len(stream.deltas)


def _sorted(stream: Stream, package: Any) -> float:
    new = package.SortedDict
    books = {each.symbol: (new(each.bids), new(each.asks)) for each in stream.snapshots}
    began = time.perf_counter_ns()
    for delta in stream.deltas:
        bids, asks = books[delta.symbol]
        for side, changes in ((bids, delta.bids), (asks, delta.asks)):
            for price, size in changes:
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)
        if bids:
            bids.peekitem(-1)
        if asks:
            asks.peekitem(0)
    return (time.perf_counter_ns() - began) / len(stream.deltas)


def _nautilus_messages(stream: Stream, package: Any) -> list[tuple[str, list[Any]]]:
    """Build all its objects, which costs more than using them, beforehand."""
    name = package.InstrumentId.from_str("X.Y")

    def built(price: float, size: float, side: Any) -> Any:
        order = package.BookOrder(side, package.Price(price, 9), package.Quantity(size, 8), 0)
        action = package.BookAction.UPDATE if size else package.BookAction.DELETE
        return package.OrderBookDelta(name, action, order, 0, 0, 0, 0)

    buy, sell = package.OrderSide.BUY, package.OrderSide.SELL
    events: list[Snapshot | Delta] = [*stream.snapshots, *stream.deltas]
    return [
        (
            event.symbol,
            [
                built(*level, side)
                for side, levels in ((buy, event.bids), (sell, event.asks))
                for level in levels
            ],
        )
        for event in events
    ]


def _nautilus(stream: Stream, package: Any, prebuilt: list[tuple[str, list[Any]]]) -> float:
    count = len(stream.snapshots)
    name = package.InstrumentId.from_str("X.Y")
    books = {symbol: package.OrderBook(name, package.BookType.L2_MBP) for symbol, _ in prebuilt[:count]}
    for symbol, deltas in prebuilt[:count]:
        for delta in deltas:
            books[symbol].apply_delta(delta)
    began = time.perf_counter_ns()
    for symbol, deltas in prebuilt[count:]:
        book = books[symbol]
        for delta in deltas:
            book.apply_delta(delta)
        book.best_bid_price()
        book.best_ask_price()
    return (time.perf_counter_ns() - began) / len(stream.deltas)
