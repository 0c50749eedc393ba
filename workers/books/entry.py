"""One symbol of a market: its book, what follows from its changes, and the row that says all of it."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any

from dolphin_mp.workers.books.book import Book, Top
from dolphin_mp.workers.books.events import Delta, Fault, Snapshot, Trade
from dolphin_mp.workers.books.features import is_two_sided, numbers_of, order_flow
from dolphin_mp.workers.books.record import UNKNOWN, status_of
from dolphin_mp.workers.books.stoikov import MicroPrice
from dolphin_mp.workers.books.windows import NEVER, Total, Windows

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.workers.books.features import Numbers
    from dolphin_mp.workers.books.rules import Rules

_NO_TOP = Top(nan, nan, nan, nan)


class Entry:
    """One symbol.

    Args:
        symbol: as the venue writes it.
        row: its place in the record.
        rules: the venue's.
        report: hears one line when the book loses its sync or finds it again, and of bad messages that did
            not cost it: the first, and from then on each time that they are ten times as many.
        tell: hears of each change of the top, as a row of `record.UPDATE`.
        turned: hears, with the symbol, that the book is in sync now, or is no more.

    Attributes:
        changed: whether something happened since the row was given.
        due_ns: when the row changes though nothing happens.
    """

    __slots__ = (
        "_label",
        "_micro",
        "_numbers",
        "_ofi",
        "_report",
        "_said",
        "_told",
        "_turned",
        "_windows",
        "book",
        "changed",
        "due_ns",
        "event_ns",
        "recv_ns",
        "row",
        "symbol",
        "top",
    )

    def __init__(
        self,
        symbol: str,
        row: int,
        rules: Rules,
        report: Callable[[str], None],
        tell: Callable[[tuple[Any, ...]], None] | None,
        turned: Callable[[str, bool], None] | None = None,
    ) -> None:
        self.symbol, self.row = symbol, row
        self.book = Book(rules)
        self.top = _NO_TOP
        self._ofi = Total()
        self.event_ns = self.recv_ns = 0
        self._label = symbol.encode()
        self._windows, self._micro = Windows(), MicroPrice()
        self._numbers: Numbers | None = None  # of the book as it is; None: to be computed
        self._report, self._told, self._turned = report, tell, turned
        self._said = 1  # so many bad messages are worth a line
        self.changed = True
        self.due_ns = NEVER

    def take(self, event: Delta | Snapshot | Trade, recv_ns: int) -> bool:
        """Apply an event; False if it changed no level."""
        self.changed = True
        if isinstance(event, Delta):
            synced = self.book.synced
            if self.book.apply(event):
                self._follow(event, recv_ns)
                return True
            self._judge(synced)
            return False
        if isinstance(event, Snapshot):
            return self._load(event, recv_ns)
        self._windows.trade(recv_ns, event.size, bought=event.bought)
        return False

    def refuse(self, fault: Fault, why: str, *, of_book: bool) -> None:
        """Count a message that could not be read, and why."""
        self.changed = True
        synced = self.book.synced
        if of_book:
            self.book.refuse(fault)
        else:
            self.book.faults[fault] += 1
        self._judge(synced, why)

    def lose(self, why: str) -> None:
        """Take the book for lost."""
        if self.book.synced:
            self.changed = True
            self.book.lose(why)
            self._lost()

    def begin_anew(self, why: str) -> None:
        """Take the book for lost, and what was held for it too."""
        self.lose(why)
        self.book.begin_anew(why)

    def values(self, now_ns: int, silent_ns: int) -> tuple[Any, ...]:
        """Give the row in the order of `BOOK`'s fields as of then."""
        book = self.book
        self.changed = False
        return (
            self._label,
            *self.top,
            *self._features(now_ns),
            self._ofi.value,
            *book.depth(),
            book.n_applied,
            book.n_dropped,
            book.n_bad,
            *book.faults,
            book.n_crc_ok,
            book.resyncs,
            self.event_ns,
            self.recv_ns,
            now_ns,
            book.synced,
            status_of(book, silent_ns),
        )

    def _features(self, now_ns: int) -> tuple[float, ...]:
        book, top, windows = self.book, self.top, self._windows
        if not book.synced or not is_two_sided(top):
            windows.pause()
            self.due_ns = NEVER
            return UNKNOWN
        numbers = self._numbers
        if numbers is None:
            numbers = self._numbers = numbers_of(book, top)
        moving = windows.read(now_ns, numbers)
        self.due_ns = windows.due_ns
        return (*numbers, *moving, self._micro.price(now_ns, top, numbers.mid))

    def _load(self, snapshot: Snapshot, recv_ns: int) -> bool:
        """Take up a snapshot, and what was held for it; False if it is no help."""
        book = self.book
        synced, resyncs = book.synced, book.resyncs
        done = book.load(snapshot, lambda event: self._follow(event, recv_ns))
        if done and not synced and self._turned is not None:
            self._turned(self.symbol, True)
        self._judge(synced or done)
        if book.synced and book.resyncs > resyncs:
            self._report(f"{self.symbol} has its book again, from snapshot {snapshot.last_id or recv_ns}")
        return done

    def _follow(self, event: Delta | Snapshot, recv_ns: int) -> None:
        """Draw the consequences of a message that was applied."""
        self._numbers = None
        self.event_ns, self.recv_ns = event.event_ns, recv_ns
        before, self.top = self.top, self.book.top()
        if type(event) is Snapshot:
            self._windows.restart()
            self._tell()
        elif self.top != before:
            self._flow(before, self.top, recv_ns)
            self._tell()

    def _flow(self, before: Top, after: Top, recv_ns: int) -> None:
        """Draw the consequences of a top that changed."""
        if is_two_sided(before) and is_two_sided(after):
            flow = order_flow(before, after)
            self._ofi.add(flow)
            self._windows.flow(recv_ns, flow, (after.bid_size + after.ask_size) / 2)
            self._micro.follow(before, after)

    def _judge(self, synced: bool, why: str = "") -> None:
        """Say what a message did that may have been bad, to a book that was in sync or not."""
        bad = self.book.n_bad
        if synced and not self.book.synced:
            self._said = max(self._said, bad + 1)
            self._lost()
        elif bad >= self._said:
            self._said = 10 ** len(str(bad))
            kinds = (
                f"{n} {fault.name.lower()}" for fault, n in zip(Fault, self.book.faults, strict=True) if n
            )
            last = f", the last one: {why[:200]!r}" if why else ""  # a venue may say anything
            self._report(f"bad messages in the row of {self.symbol}: {bad} ({', '.join(kinds)}){last}")

    def _lost(self) -> None:
        self._report(f"{self.symbol} lost its book ({self.book.fault}): no numbers until a new snapshot")
        self._windows.restart()
        self._tell()
        if self._turned is not None:
            self._turned(self.symbol, False)

    def _tell(self) -> None:
        if self._told is not None:
            book = self.book
            self._told(
                (self._label, *self.top, book.n_applied, self._ofi.value, self.recv_ns, int(book.synced))
            )
