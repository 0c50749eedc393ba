"""One symbol's order book: each message is checked, then applied whole or not at all.

The venue's ids say whether a message continues the last one. When they don't, or when a complete message
leaves the best bid above the best ask, something was lost or damaged, and nothing that follows can mend it:
the book *latches* out of sync, keeps its last good levels for those who want to look, and waits for a new
snapshot. Messages that arrive meanwhile are held, because a snapshot is always older than some of them.

Speed: prices are dict keys, the best prices are kept and only looked for again when their level is deleted.
A message that can't cross the book needs no way back; one that might is applied with an undo list.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf, isfinite, nan
from typing import NamedTuple, TypeAlias

from dolphin_mp.workers.books.events import Delta, Joint, Levels, Snapshot
from dolphin_mp.workers.books.near import Near

HELD = 1024
"""Messages held while a book waits for its snapshot: 100 s of Binance's 100 ms stream (chosen)."""

Joins: TypeAlias = Callable[[Delta, int], Joint]
"""A venue's rule: how a delta stands to the snapshot of that id."""


class Top(NamedTuple):
    """Best prices and the sizes there; NaN where a side is empty."""

    bid: float
    ask: float
    bid_size: float
    ask_size: float


class Book:
    """Two sides of one symbol, and what went wrong so far.

    Attributes:
        bid, ask: best prices; -inf and +inf when the side is empty.
        synced: whether the levels are the venue's. Only `load` makes it true.
        fault: why the book is not in sync, for a log.
        n_applied: deltas applied (snapshots are not counted).
        n_dropped: deltas older than the snapshot.
        n_bad: messages refused: bad values, gaps, crossings.
        n_gaps: of these, the id gaps.
        n_crc_bad: of these, the wrong checksums of venues that send one.
        n_absent: deletes of levels that were not there, which is normal.
        snapshots: snapshots taken up.
        resyncs: of these, those that put a book in sync again.
    """

    __slots__ = (
        "_after",
        "_asks",
        "_bids",
        "_held",
        "_joins",
        "_near_asks",
        "_near_bids",
        "_snapshot_id",
        "ask",
        "bid",
        "fault",
        "n_absent",
        "n_applied",
        "n_bad",
        "n_crc_bad",
        "n_dropped",
        "n_gaps",
        "resyncs",
        "snapshots",
        "synced",
    )

    def __init__(self, joins: Joins) -> None:
        self._joins = joins
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self._near_bids = Near(self._bids, higher_is_better=True)
        self._near_asks = Near(self._asks, higher_is_better=False)
        self._held: deque[Delta] = deque(maxlen=HELD)
        self._after: int | None = None  # the id that the next delta must follow; no id is None
        self._snapshot_id = -1
        self.bid, self.ask = -inf, inf
        self.synced = False
        self.fault = "no snapshot yet"
        self.n_applied = self.n_dropped = self.n_bad = self.n_gaps = self.n_crc_bad = 0
        self.n_absent = self.snapshots = self.resyncs = 0

    def apply(self, delta: Delta) -> bool:  # noqa: C901 - in one piece: two more calls cost 5 % of all
        """Apply one message; False if it was dropped, held or refused (the counts tell which).

        Each price is compared with the best one, which is needed anyway, and once more only where that
        leaves a doubt. NaN fails every comparison.
        """
        _, _, _, previous_id, _, bids, asks = delta
        high, low = self.bid, self.ask
        for price, size in bids:
            if price > high:
                if not 0.0 < price < inf:
                    return self._refuse()
                if size:
                    high = price
            elif not price > 0.0:
                return self._refuse()
            if not 0.0 <= size < inf:
                return self._refuse()
        for price, size in asks:
            if price < low:
                if not price > 0.0:
                    return self._refuse()
                if size:
                    low = price
            elif not price < inf:
                return self._refuse()
            if not 0.0 <= size < inf:
                return self._refuse()
        if previous_id != self._after and not self._begins(delta):
            return False
        if high > low:
            return self._apply_unless_crossing(delta, high, low)
        self._write(delta, high, low)
        return True

    def load(self, snapshot: Snapshot) -> bool:
        """Start from a snapshot, then apply what was held; False if it is refused or too old to help."""
        if self._is_too_old(snapshot.last_id):
            self.n_dropped += 1
            return False
        bids, asks = dict(snapshot.bids), dict(snapshot.asks)
        if not _are_levels(snapshot.bids) or not _are_levels(snapshot.asks) or _crosses(bids, asks):
            return self._refuse()
        self._replace(bids, asks)
        self.resyncs += self.snapshots > 0 and not self.synced
        self.snapshots += 1
        self.synced, self.fault = True, ""
        self._snapshot_id, self._after = snapshot.last_id, None
        held, self._held = self._held, deque(maxlen=HELD)
        for delta in held:
            self.apply(delta)
        return True

    def top(self) -> Top:
        """Give the best prices and sizes, the last good ones if the book is out of sync."""
        bid, ask = self.bid, self.ask
        bid_size, ask_size = self._bids.get(bid), self._asks.get(ask)
        return Top(
            nan if bid_size is None else bid,
            nan if ask_size is None else ask,
            nan if bid_size is None else bid_size,
            nan if ask_size is None else ask_size,
        )

    def sizes(self) -> tuple[list[float], list[float]]:
        """Give the sizes of the best levels of both sides, bids first, each the best first."""
        return self._near_bids.sizes(), self._near_asks.sizes()

    def depth(self) -> tuple[int, int]:
        """Give the numbers of levels of both sides, bids first."""
        return len(self._bids), len(self._asks)

    def levels(self) -> tuple[dict[float, float], dict[float, float]]:
        """Give copies of both sides, bids first, price to size in no order."""
        return dict(self._bids), dict(self._asks)

    def lose(self, fault: str) -> None:
        """Latch out of sync; only a snapshot heals it."""
        self.synced, self.fault = False, fault
        self._after = None

    def _is_too_old(self, snapshot_id: int) -> bool:
        if self.synced:
            return snapshot_id <= (self._snapshot_id if self._after is None else self._after)
        return bool(self._held) and self._joins(self._held[0], snapshot_id) is Joint.LEAVES_A_GAP

    def _refuse(self) -> bool:
        self.n_bad += 1
        return False

    def _begins(self, delta: Delta) -> bool:
        """Judge a delta that doesn't follow the last one: is it the first after a snapshot?"""
        if not self.synced:
            self._held.append(delta)
            return False
        if self._after is None:
            joint = self._joins(delta, self._snapshot_id)
            if joint is Joint.BRIDGES:
                return True
            if joint is Joint.OLDER:
                self.n_dropped += 1
                return False
            fault = f"gap: snapshot {self._snapshot_id}, then a message from {delta.first_id}"
        else:
            fault = f"gap: message {self._after}, then one that follows {delta.previous_id}"
        self.n_gaps += 1
        self.lose(fault)
        self._held.append(delta)
        return self._refuse()

    def _write(self, delta: Delta, high: float, low: float) -> None:
        """Write checked levels; ``high`` and ``low`` are the best prices if their levels survive."""
        _, _, self._after, _, _, bids, asks = delta
        if bids and self._write_side(self._bids, bids):
            self._near_bids.pending.append(bids)
            self.bid = high if high in self._bids else self._best_bid()
        if asks and self._write_side(self._asks, asks):
            self._near_asks.pending.append(asks)
            self.ask = low if low in self._asks else self._best_ask()
        self.n_applied += 1

    def _write_side(self, levels: dict[float, float], changes: Levels) -> bool:
        """Write one side's changes; False if only sizes changed, which moves no price."""
        before = len(levels)
        for price, size in changes:
            if size:
                levels[price] = size
            elif levels.pop(price, None) is None:
                self.n_absent += 1
            else:
                before = -1
        return len(levels) != before

    def _apply_unless_crossing(self, delta: Delta, high: float, low: float) -> bool:
        """Apply a message that may cross the book, and take it back if it does."""
        bids, asks, absent = self._bids, self._asks, self.n_absent
        bids_before = [(price, bids.get(price)) for price, _ in delta.bids]
        asks_before = [(price, asks.get(price)) for price, _ in delta.asks]
        self._write(delta, high, low)
        if self.bid <= self.ask:
            return True
        crossed = f"crossed: bid {self.bid!r} over ask {self.ask!r}"
        _restore(bids, bids_before)
        _restore(asks, asks_before)
        self._near_bids.forget()
        self._near_asks.forget()
        self.bid, self.ask = self._best_bid(), self._best_ask()
        self.n_absent = absent
        self.n_applied -= 1
        self.lose(crossed)
        return self._refuse()

    def _replace(self, bids: dict[float, float], asks: dict[float, float]) -> None:
        self._bids.clear()
        self._asks.clear()
        self._bids.update(bids)
        self._asks.update(asks)
        self._near_bids.forget()
        self._near_asks.forget()
        self.bid, self.ask = self._best_bid(), self._best_ask()

    def _best_bid(self) -> float:
        best = self._near_bids.best()
        return -inf if best is None else best

    def _best_ask(self) -> float:
        best = self._near_asks.best()
        return inf if best is None else best


def _are_levels(levels: Levels) -> bool:
    return all(0.0 < price < inf and size > 0.0 and isfinite(size) for price, size in levels)


def _crosses(bids: dict[float, float], asks: dict[float, float]) -> bool:
    return bool(bids) and bool(asks) and max(bids) > min(asks)


def _restore(levels: dict[float, float], before: list[tuple[float, float | None]]) -> None:
    for price, size in before:
        if size is None:
            levels.pop(price, None)
        else:
            levels[price] = size
