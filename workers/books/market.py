"""The books of one feed: every message finds its book, every bad one is counted once, and rows come out."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any

from dolphin_mp.workers.books.book import Book, Joins, Top
from dolphin_mp.workers.books.events import BadMessageError, Delta, Event, Snapshot
from dolphin_mp.workers.books.features import order_flow
from dolphin_mp.workers.books.record import BOOK, SYMBOL_BYTES, Status, empty_rows, features_of, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np

_NO_TOP = Top(nan, nan, nan, nan)


class Entry:
    """One symbol: its book, and what the row says besides."""

    __slots__ = ("book", "changed", "event_ns", "label", "ofi", "recv_ns", "row", "status", "symbol", "top")

    def __init__(self, symbol: str, row: int, joins: Joins) -> None:
        self.symbol, self.label = symbol, symbol.encode()
        self.row = row
        self.book = Book(joins)
        self.top = _NO_TOP
        self.ofi = 0.0
        self.event_ns = self.recv_ns = 0
        self.status = Status.INIT
        self.changed = True

    def values(self) -> tuple[Any, ...]:
        """Give the row in the order of `BOOK`'s fields."""
        book, top = self.book, self.top
        return (
            self.label,
            *top,
            *features_of(book, top),
            self.ofi,
            *book.depth(),
            book.n_applied,
            book.n_dropped,
            book.n_bad,
            book.n_gaps,
            book.n_crc_bad,
            book.resyncs,
            self.event_ns,
            self.recv_ns,
            book.synced,
            self.status,
        )


class Market:
    """Books by symbol, fed with events and read as rows.

    A bad message is counted in the row of its symbol. One that names no symbol of the feed (undecodable
    beyond recognition, or about an unknown symbol) is counted in the first row, so that the sum of ``n_bad``
    over the rows is the number of bad messages.

    Args:
        symbols: whose books are kept, in the order of the rows.
        joins: the venue's rule for the first message after a snapshot.
        others: symbols of the feed that nobody asked for: their messages are left aside, not bad.
        report: hears one line when a book loses its sync or finds it again.

    Attributes:
        heard_ns: when the feed last spoke, in its own clock.
        n_ignored: events of symbols that nobody asked for.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        joins: Joins,
        *,
        others: Iterable[str] = (),
        report: Callable[[str], None] = lambda line: None,  # noqa: ARG005 - nobody listens
    ) -> None:
        if not symbols:
            raise ValueError("a market needs at least one symbol")
        self._entries = {symbol: Entry(symbol, row, joins) for row, symbol in enumerate(symbols)}
        self._first = self._entries[symbols[0]]
        self._others = frozenset(others) - set(symbols)
        self._report = report
        self.heard_ns = 0
        self.n_ignored = 0

    @property
    def symbols(self) -> tuple[str, ...]:
        """Whose books are kept, in the order of the rows."""
        return tuple(self._entries)

    def summary(self) -> str:
        """Give the counts of all books in a line for a log."""
        books = [entry.book for entry in self._entries.values()]
        lost = [entry.symbol for entry in self._entries.values() if not entry.book.synced]
        applied, bad = sum(book.n_applied for book in books), sum(book.n_bad for book in books)
        return f"{applied} messages applied, {bad} bad; out of sync: {', '.join(lost) or 'none'}"

    def book(self, symbol: str) -> Book:
        """Give the book of a symbol; raises KeyError for one that is not kept."""
        return self._entries[symbol].book

    def take(self, event: Event, recv_ns: int) -> bool:
        """Apply an event; False if it changed no level."""
        entry = self._entries.get(event.symbol)
        if entry is None:
            self._leave(event.symbol)
            return False
        entry.changed = True
        book = entry.book
        synced = book.synced
        done = book.apply(event) if isinstance(event, Delta) else self._load(entry, event)
        if done:
            entry.event_ns, entry.recv_ns = event.event_ns, recv_ns
            before, entry.top = entry.top, book.top()
            if synced and type(event) is Delta:
                entry.ofi += order_flow(before, entry.top)
        if synced and not book.synced:
            self._report(f"{entry.symbol} lost its book ({book.fault}): no numbers until a new snapshot")
        return done

    def note_bad(self, error: BadMessageError) -> None:
        """Count a message that could not be read."""
        entry = self._entries.get(error.symbol or "")
        if entry is None:
            self._leave(error.symbol)
        else:
            entry.book.n_bad += 1
            entry.changed = True

    def fill(self, rows: np.ndarray[Any, Any], now_ns: int) -> None:
        """Bring the rows up to date as of then."""
        silent_ns = now_ns - self.heard_ns
        for entry in self._entries.values():
            status = status_of(entry.book, silent_ns)
            if entry.changed or status is not entry.status:
                entry.changed, entry.status = False, status
                rows[entry.row] = entry.values()

    def rows(self, count: int) -> np.ndarray[Any, Any]:
        """Give `count` rows to be filled, unused ones without a symbol.

        Raises:
            ValueError: there are more symbols than that.
        """
        if len(self._entries) > count:
            raise ValueError(
                f"{len(self._entries)} symbols don't fit {count} rows: name fewer in the option symbols, "
                "or raise the option max_symbols"
            )
        rows = empty_rows(count)
        for entry in self._entries.values():
            entry.changed = True
        return rows

    def _load(self, entry: Entry, snapshot: Snapshot) -> bool:
        book = entry.book
        resyncs = book.resyncs
        done = book.load(snapshot)
        if book.resyncs > resyncs and book.synced:
            self._report(f"{entry.symbol} has its book again, from snapshot {snapshot.last_id}")
        return done

    def _leave(self, symbol: str | None) -> None:
        if symbol in self._others:
            self.n_ignored += 1
        else:
            self._first.book.n_bad += 1
            self._first.changed = True


def check_symbols(symbols: Sequence[object]) -> None:
    """Check that symbols fit the record.

    Raises:
        ValueError: the message names the symbol and what is wrong with it.
    """
    for symbol in symbols:
        if not isinstance(symbol, str) or not 1 <= len(symbol) <= SYMBOL_BYTES or not symbol.isascii():
            raise ValueError(f"symbol {symbol!r} must be text of 1 to {SYMBOL_BYTES} ASCII characters")
    if len(set(symbols)) < len(symbols):
        raise ValueError(f"a symbol is named twice in {list(symbols)!r}")


__all__ = ["BOOK", "Market", "check_symbols"]
