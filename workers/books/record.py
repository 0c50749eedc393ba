"""The published row of a book: its layout, its states, and how it is made."""

from __future__ import annotations

from enum import IntEnum
from math import inf, nan
from typing import TYPE_CHECKING, Any

import numpy as np

from dolphin_mp.workers.books.features import imbalance, microprice, mid_price, spread_bps

if TYPE_CHECKING:
    from dolphin_mp.workers.books.book import Book, Top

SYMBOL_BYTES = 24


class Status(IntEnum):
    """What a row is worth, in the field ``status``."""

    INIT = 0
    """No snapshot yet: nothing is known."""
    OK = 1
    """In sync and the feed speaks."""
    STALE = 2
    """The feed has been silent for more than `STALE_AFTER_NS`; one quiet symbol is not a silent feed."""
    DEGRADED = 3
    """In sync, but a side of the book is empty."""
    BAD = 4
    """Out of sync until a new snapshot, or the feed silent for more than `DEAD_AFTER_NS`."""


STALE_AFTER_NS = 5_000_000_000
DEAD_AFTER_NS = 30_000_000_000

BOOK = np.dtype(
    [
        ("symbol", f"S{SYMBOL_BYTES}"),
        ("bid", "f8"),
        ("ask", "f8"),
        ("bid_size", "f8"),
        ("ask_size", "f8"),
        ("mid", "f8"),
        ("spread_bps", "f8"),
        ("microprice", "f8"),
        ("imb1", "f8"),
        ("imb5", "f8"),
        ("imb20", "f8"),
        ("ofi", "f8"),
        ("n_bids", "u8"),
        ("n_asks", "u8"),
        ("n_applied", "u8"),
        ("n_dropped", "u8"),
        ("n_bad", "u8"),
        ("n_gaps", "u8"),
        ("n_crc_bad", "u8"),
        ("resyncs", "u8"),
        ("event_ns", "i8"),
        ("recv_ns", "i8"),
        ("synced", "u4"),
        ("status", "u4"),
    ],
    align=True,
)
"""One symbol's row; docs/order-book.md says what each field means.

The last two fill a word, so that a row has no padding: equal rows are equal bytes, copied or not.
"""

_UNKNOWN = (nan, nan, nan, nan, nan, nan)


def status_of(book: Book, silent_ns: int) -> Status:
    """Give the state of a book whose feed has been silent that long."""
    if book.snapshots == 0:
        return Status.INIT
    if not book.synced or silent_ns > DEAD_AFTER_NS:
        return Status.BAD
    if silent_ns > STALE_AFTER_NS:
        return Status.STALE
    return Status.OK if book.bid > 0.0 and book.ask < inf else Status.DEGRADED


def empty_rows(count: int) -> np.ndarray[Any, Any]:
    """Give rows without a symbol: numbers NaN, counts 0, status INIT."""
    rows = np.zeros(count, BOOK)
    for name in BOOK.names or ():
        if BOOK[name].kind == "f":
            rows[name] = nan
    return rows


def features_of(book: Book, top: Top) -> tuple[float, float, float, float, float, float]:
    """Give mid, spread_bps, microprice, imb1, imb5, imb20; all NaN out of sync or with an empty side."""
    if not book.synced or top.bid != top.bid or top.ask != top.ask:
        return _UNKNOWN
    bids, asks = book.sizes()
    return (
        mid_price(top),
        spread_bps(top),
        microprice(top),
        imbalance(bids[:1], asks[:1]),
        imbalance(bids[:5], asks[:5]),
        imbalance(bids, asks),
    )
