"""The books of one feed: every message finds its book, every bad one is counted once, and rows come out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dolphin_mp.workers.books.entry import Entry
from dolphin_mp.workers.books.events import BadMessageError, Event, Fault, Numbered, Opened
from dolphin_mp.workers.books.record import DEAD_AFTER_NS, STALE_AFTER_NS, SYMBOL_BYTES, empty_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np

    from dolphin_mp.workers.books.book import Book
    from dolphin_mp.workers.books.rules import Rules


class Market:
    """Books by symbol, fed with events and read as rows.

    A bad message is counted in the row of its symbol. One that names no symbol of the feed (undecodable
    beyond recognition, or about an unknown symbol) is counted in the first row, so that the sum of ``n_bad``
    over the rows is the number of bad messages.

    Args:
        symbols: whose books are kept, in the order of the rows.
        rules: the venue's.
        others: symbols of the feed that nobody asked for: their messages are left aside, not bad.
        report: hears one line when a book loses its sync or finds it again, and, ever more rarely, of
            bad messages.
        changed: hears of each change of a top, as a row of `record.UPDATE`.
        turned: hears, with the symbol, that a book is in sync now, or is no more.

    Attributes:
        heard_ns: when the feed last spoke, in its own clock.
        n_ignored: events of symbols that nobody asked for.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        rules: Rules,
        *,
        others: Iterable[str] = (),
        report: Callable[[str], None] = lambda line: None,  # noqa: ARG005 - nobody listens
        changed: Callable[[tuple[Any, ...]], None] | None = None,
        turned: Callable[[str, bool], None] | None = None,
    ) -> None:
        if not symbols:
            raise ValueError("a market needs at least one symbol")
        self._entries = {
            symbol: Entry(symbol, row, rules, report, changed, turned) for row, symbol in enumerate(symbols)
        }
        self._first = self._entries[symbols[0]]
        self._others = frozenset(others) - set(symbols)
        self._channels: dict[
            tuple[str, bool], int
        ] = {}  # by symbol and whether it is the book's; latest last
        self._next: int | None = None  # number of the connection's next message; None: not known
        self._silence = 0
        self._filled: np.ndarray[Any, Any] | None = None
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
            self._leave(event)
            return False
        if isinstance(event, Opened):
            self._open(event)
            return False
        return entry.take(event, recv_ns)  # type: ignore[arg-type] # a number names no symbol

    def note_bad(self, error: BadMessageError) -> None:
        """Count a message that could not be read.

        Where the loss of a message shows nowhere, each book that it may have been for is lost with it.
        """
        if error.number is not None:
            self._count(error.number)
        symbol, of_book = error.symbol, error.of_book
        if error.number is None and self._next is not None:
            of_book = False  # the number that it had, if it was a message, is missing at the next one
        if symbol is None and error.channel is not None:
            channels = reversed(self._channels.items())
            about = (about for about, channel in channels if channel == error.channel)
            symbol, of_book = next(about, (symbol, of_book))
        entry = self._entries.get(symbol or "")
        if entry is not None:
            entry.refuse(error.fault, str(error), of_book=of_book)
        elif symbol in self._others:
            self.n_ignored += 1
        else:
            fault = error.fault if symbol is None else Fault.UNKNOWN_SYMBOL
            self._first.refuse(fault, str(error), of_book=False)
            if symbol is None and of_book:
                for each in self._entries.values():
                    if not each.book.chained:
                        each.lose(f"a message of unknown symbol: {error}")

    def begin_anew(self, symbols: Iterable[str], why: str) -> None:
        """Take books for lost at once: their connection ended, or they were asked for anew."""
        for symbol in symbols:
            self._channels.pop((symbol, True), None)
            entry = self._entries.get(symbol)
            if entry is not None:
                entry.begin_anew(why)

    def fill(self, rows: np.ndarray[Any, Any], now_ns: int) -> None:
        """Bring the rows up to date as of then."""
        silent_ns = now_ns - self.heard_ns
        silence = (silent_ns > STALE_AFTER_NS) + (silent_ns > DEAD_AFTER_NS)
        anew = silence != self._silence or rows is not self._filled
        self._silence, self._filled = silence, rows
        for entry in self._entries.values():
            if entry.changed or now_ns >= entry.due_ns or anew:
                rows[entry.row] = entry.values(now_ns, silent_ns)
        rows["at_ns"][: len(self._entries)] = now_ns

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
        return empty_rows(count)

    def _leave(self, event: Event) -> None:
        """Take in an event that is for no book of ours."""
        if isinstance(event, Opened):
            self._open(event)
        elif isinstance(event, Numbered):
            self._count(event.number)
        elif event.symbol in self._others:
            self.n_ignored += 1
        else:
            self._first.refuse(Fault.UNKNOWN_SYMBOL, f"about {event.symbol}", of_book=False)

    def _open(self, event: Opened) -> None:
        """Note what a channel is about, of the feed's symbols: a venue may name any number of others."""
        entry = self._entries.get(event.symbol)
        if event.channel is not None and (entry is not None or event.symbol in self._others):
            about = event.symbol, event.of_book
            self._channels.pop(about, None)
            self._channels[about] = event.channel
        if entry is not None and event.limit:
            entry.book.limit = event.limit

    def _count(self, number: int) -> None:
        """Take in a message's number: if it isn't the next, all books are lost that are not yet.

        A number of 0 is the first of a new connection: what the books missed before it is no fault of one.
        """
        expected, self._next = self._next, number + 1
        if number == expected:
            return
        synced = [entry for entry in self._entries.values() if entry.book.synced]
        if not synced:
            return
        if number != 0:
            self._first.refuse(Fault.GAP, f"message {number} where {expected} was next", of_book=False)
        for entry in synced:
            entry.lose(f"gap: message {number} of the connection where {expected} was next")


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
