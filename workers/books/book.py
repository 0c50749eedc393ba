"""One symbol's order book: each message is checked, then applied whole or not at all.

The venue's ids say whether a message continues the last one, its checksum whether the outcome is its own.
When they don't, or when a complete message leaves the best bid above the best ask, something was lost or
damaged, and nothing that follows can mend it: the book *latches* out of sync, keeps its last good levels for
those who want to look, and waits for a new snapshot. Where snapshots come another way than the messages,
those that arrive meanwhile are held, because such a snapshot is always older than some of them.

Speed: prices are dict keys, the best prices are kept and only looked for again when their level is deleted.
A message that can't cross the book and proves nothing needs no way back; any other is applied with one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf, nan
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from dolphin_mp.workers.books.events import (
    LEAST_PRICE,
    MOST_PRICE,
    MOST_SIZE,
    Delta,
    Fault,
    Joint,
    Levels,
    Proof,
    Snapshot,
)
from dolphin_mp.workers.books.side import Side

if TYPE_CHECKING:
    from dolphin_mp.workers.books.rules import Rules

HELD = 1024
"""Messages held while a book waits for its snapshot: 100 s of Binance's 100 ms stream (chosen)."""

_tuple = tuple.__new__
Heed: TypeAlias = Callable[[Delta | Snapshot], None]


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
        chained: whether a message that was lost shows at the next one.
        synced: whether the levels are the venue's. Only `load` makes it true.
        fault: why the book is not in sync, for a log.
        n_applied: deltas applied (snapshots are not counted).
        n_dropped: messages older than the snapshot, or left aside until one comes.
        faults: messages refused, by reason: indexed by `Fault`.
        limit: levels of a side that the subscription is for, which a snapshot may not say; 0: not said.
        n_crc_ok: messages and snapshots whose checksum was right.
        n_absent: deletes of levels that were not there, which is normal.
        snapshots: snapshots taken up.
        resyncs: of these, those that put a book in sync again.
    """

    __slots__ = (
        "_after",
        "_ask_side",
        "_asks",
        "_bid_side",
        "_bids",
        "_careful",
        "_held",
        "_limit",
        "_rules",
        "_snapshot_id",
        "ask",
        "bid",
        "chained",
        "fault",
        "faults",
        "limit",
        "n_absent",
        "n_applied",
        "n_crc_ok",
        "n_dropped",
        "resyncs",
        "snapshots",
        "synced",
    )

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._careful = rules.checksum is not None  # every message needs a way back
        self._bid_side, self._ask_side = Side(higher_is_better=True), Side(higher_is_better=False)
        self._bids, self._asks = self._bid_side.levels, self._ask_side.levels
        self._held: deque[Delta] = deque(maxlen=HELD)
        self._after: int | None = None  # the id that the next delta must follow; no id is None
        self._snapshot_id = -1
        self._limit = self.limit = 0
        self.bid, self.ask = -inf, inf
        self.synced, self.chained = False, rules.chained
        self.fault = "no snapshot yet"
        self.faults = [0] * len(Fault)
        self.n_applied = self.n_dropped = self.n_crc_ok = self.n_absent = 0
        self.snapshots = self.resyncs = 0

    @property
    def n_bad(self) -> int:
        """Messages refused, for whatever reason."""
        return sum(self.faults)

    def apply(self, delta: Delta) -> bool:  # noqa: C901 - in one piece: two more calls cost 5 % of all
        """Apply one message; False if it was dropped, held or refused (the counts tell which).

        Each price is compared with the best one, which is needed anyway, and once more only where that
        leaves a doubt. NaN fails every comparison.
        """
        _, _, last_id, previous_id, _, bids, asks, _ = delta
        high, low = self.bid, self.ask
        for price, size in bids:
            if price > high:
                if not LEAST_PRICE <= price <= MOST_PRICE:
                    return self.refuse(Fault.VALUE)
                if size:
                    high = price
            elif not price >= LEAST_PRICE:
                return self.refuse(Fault.VALUE)
            if not 0.0 <= size <= MOST_SIZE:
                return self.refuse(Fault.VALUE)
        for price, size in asks:
            if price < low:
                if not LEAST_PRICE <= price <= MOST_PRICE:
                    return self.refuse(Fault.VALUE)
                if size:
                    low = price
            elif not price <= MOST_PRICE:
                return self.refuse(Fault.VALUE)
            if not 0.0 <= size <= MOST_SIZE:
                return self.refuse(Fault.VALUE)
        if previous_id != self._after and not self._begins(delta):
            return False
        if high > low or self._careful:
            return self._apply_or_take_back(delta, high, low)
        self._write(last_id, bids, asks, high, low)
        return True

    def load(self, snapshot: Snapshot, each: Heed | None = None) -> bool:
        """Start from a snapshot, then apply what was held; False if it is refused or too old to help.

        Args:
            snapshot: all levels.
            each: hears of the snapshot, and then of each message that was held, once it is applied.
        """
        if self._is_too_old(snapshot.last_id):
            self.n_dropped += 1
            return False
        fault = _fault_of(snapshot, self._rules)
        if fault is not None:
            return self.refuse(fault)
        self._replace(snapshot)
        self.resyncs += self.snapshots > 0 and not self.synced
        self.snapshots += 1
        self.synced, self.fault = True, ""
        if each is not None:
            each(snapshot)
        held, self._held = self._held, deque(maxlen=HELD)
        for delta in held:
            if self.apply(delta) and each is not None:
                each(delta)
        return True

    def top(self) -> Top:
        """Give the best prices and sizes, the last good ones if the book is out of sync."""
        bid, ask = self.bid, self.ask
        bid_size, ask_size = self._bids.get(bid), self._asks.get(ask)
        if bid_size is None:
            bid = bid_size = nan
        if ask_size is None:
            ask = ask_size = nan
        return _tuple(Top, (bid, ask, bid_size, ask_size))  # as Top(...) does, in half the time

    def sides(self) -> tuple[Side, Side]:
        """Give both sides, bids first, to be read only."""
        return self._bid_side, self._ask_side

    def depth(self) -> tuple[int, int]:
        """Give the numbers of levels of both sides, bids first."""
        return len(self._bids), len(self._asks)

    def levels(self) -> tuple[dict[float, float], dict[float, float]]:
        """Give copies of both sides, bids first, price to size in no order."""
        return dict(self._bids), dict(self._asks)

    def lose(self, fault: str) -> None:
        """Latch out of sync; only a snapshot heals it."""
        if self.synced:
            self.synced, self.fault = False, fault
            self._after = None

    def begin_anew(self, fault: str) -> None:
        """Be lost, and forget what was held: what comes next continues nothing that came before."""
        self.lose(fault)
        self._held.clear()

    def refuse(self, fault: Fault) -> bool:
        """Count a message that can't be used. Where no id would show its loss, the book is out of sync."""
        self.faults[fault] += 1
        if not self.chained:
            self.lose(f"a message was refused: {fault.name.lower().replace('_', ' ')}")
        return False

    def _is_too_old(self, snapshot_id: int) -> bool:
        if self.synced:
            newest = self._snapshot_id if self._after is None else self._after
            return snapshot_id <= newest and snapshot_id != 0
        joins = self._rules.joins
        if joins is None or not self._held:
            return False
        return joins(self._held[0], snapshot_id) is Joint.LEAVES_A_GAP

    def _begins(self, delta: Delta) -> bool:
        """Judge a delta that doesn't name the last one's id."""
        after, rules = self._after, self._rules
        if not self.synced:
            if rules.joins is None:
                self.n_dropped += 1
            else:
                self._held.append(delta)
            return False
        if after is None and rules.joins is not None:
            joint = rules.joins(delta, self._snapshot_id)
            if joint is Joint.BRIDGES:
                return True
            if joint is Joint.OLDER:
                self.n_dropped += 1
                return False
            gap = f"gap: snapshot {self._snapshot_id}, then a message from {delta.first_id}"
        elif after is not None and rules.follows is not None:
            if rules.follows(delta, after):
                return True
            gap = f"disorder: message {after}, then an older one, {delta.last_id}"
        else:
            gap = f"gap: message {after}, then one that follows {delta.previous_id}"
        self.lose(gap)
        if rules.joins is not None:
            self._held.append(delta)
        return self.refuse(Fault.GAP)

    def _write(self, last_id: int, bids: Levels, asks: Levels, high: float, low: float) -> None:
        """Write checked levels; ``high`` and ``low`` are the best prices if their levels survive."""
        self._after = last_id
        if bids and self._write_side(self._bids, bids):
            self._bid_side.near.pending.append(bids)
            self.bid = high if high in self._bids else self._best_bid()
        if asks and self._write_side(self._asks, asks):
            self._ask_side.near.pending.append(asks)
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

    def _apply_or_take_back(self, delta: Delta, high: float, low: float) -> bool:
        """Apply a message that may prove wrong, and take it back if it does."""
        sides = (self._bid_side, delta.bids), (self._ask_side, delta.asks)
        before = [side.was(changes) for side, changes in sides]
        absent = self.n_absent
        self._write(delta.last_id, delta.bids, delta.asks, high, low)
        if delta.proof is not None:
            self._bid_side.note(delta.bids, delta.proof.bids)
            self._ask_side.note(delta.asks, delta.proof.asks)
        cut = [side.cut(self._limit) for side, _ in sides]
        fault = self._doubt(delta.proof)
        if fault is None:
            return True
        self.lose(self._saying(fault))
        for (side, _), was, gone in zip(sides, before, cut, strict=True):
            if gone is not None:
                side.restore(gone)
            side.restore(was)
        self.bid, self.ask = self._best_bid(), self._best_ask()
        self.n_absent = absent
        self.n_applied -= 1
        return self.refuse(fault)

    def _doubt(self, proof: Proof | None) -> Fault | None:
        """Say what is wrong with the book as it stands."""
        checksum = self._rules.checksum
        if proof is not None and proof.checksum is not None and checksum is not None:
            texts = [side.best_texts(checksum.depth) for side in self.sides()]
            if checksum.of(*texts) != proof.checksum:
                return Fault.CHECKSUM
            self.n_crc_ok += 1
        return Fault.CROSSED if self.bid > self.ask else None

    def _saying(self, fault: Fault) -> str:
        if fault is Fault.CROSSED:
            return f"crossed: bid {self.bid!r} over ask {self.ask!r}"
        return "the checksum is not the venue's"

    def _replace(self, snapshot: Snapshot) -> None:
        proof = snapshot.proof
        self._bid_side.replace(snapshot.bids, () if proof is None else proof.bids)
        self._ask_side.replace(snapshot.asks, () if proof is None else proof.asks)
        self.bid, self.ask = self._best_bid(), self._best_ask()
        self.n_crc_ok += proof is not None and proof.checksum is not None
        self.chained = self._rules.chained or snapshot.chained
        self._snapshot_id, self._limit = snapshot.last_id, self.limit or snapshot.limit
        self._careful = self._rules.checksum is not None or bool(self._limit)
        self._after = None if self._rules.joins is not None else snapshot.last_id

    def _best_bid(self) -> float:
        best = self._bid_side.near.best()
        return -inf if best is None else best

    def _best_ask(self) -> float:
        best = self._ask_side.near.best()
        return inf if best is None else best


def _fault_of(snapshot: Snapshot, rules: Rules) -> Fault | None:
    """Say what is wrong with a snapshot by itself."""
    if not _are_levels(snapshot.bids) or not _are_levels(snapshot.asks):
        return Fault.VALUE
    proof, checksum = snapshot.proof, rules.checksum
    if proof is not None and proof.checksum is not None and checksum is not None:
        bids = _best(snapshot.bids, proof.bids, checksum.depth, higher_is_better=True)
        asks = _best(snapshot.asks, proof.asks, checksum.depth, higher_is_better=False)
        if checksum.of(bids, asks) != proof.checksum:
            return Fault.CHECKSUM
    crossed = bool(snapshot.bids) and bool(snapshot.asks) and max(snapshot.bids)[0] > min(snapshot.asks)[0]
    return Fault.CROSSED if crossed else None


def _best(levels: Levels, texts: list[str], count: int, *, higher_is_better: bool) -> list[str]:
    """Give the texts of the best levels, the best first."""
    by_price = {price: text for (price, _), text in zip(levels, texts, strict=True)}
    return [by_price[price] for price in sorted(by_price, reverse=higher_is_better)[:count]]


def _are_levels(levels: Levels) -> bool:
    return all(LEAST_PRICE <= price <= MOST_PRICE and 0.0 < size <= MOST_SIZE for price, size in levels)
