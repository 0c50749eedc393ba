"""What is published: the row of a book, the change of a top, their layouts and states."""

from __future__ import annotations

from enum import IntEnum
from math import inf, nan
from typing import TYPE_CHECKING, Any

import numpy as np

from dolphin_mp.workers.books.features import Numbers
from dolphin_mp.workers.books.windows import Moving

if TYPE_CHECKING:
    from dolphin_mp.workers.books.book import Book

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

_TOP = [("bid", "f8"), ("ask", "f8"), ("bid_size", "f8"), ("ask_size", "f8")]
FEATURES = (*Numbers._fields, *Moving._fields, "stoikov")
"""What becomes NaN when the book is out of sync or a side is empty."""
COUNTS = (
    "n_bids",
    "n_asks",
    "n_applied",
    "n_dropped",
    "n_bad",
    "n_unreadable",
    "n_bad_values",
    "n_unknown",
    "n_gaps",
    "n_crc_bad",
    "n_crossed",
    "n_crc_ok",
    "resyncs",
)

BOOK = np.dtype(
    [
        ("symbol", f"S{SYMBOL_BYTES}"),
        *_TOP,
        *((name, "f8") for name in FEATURES),
        ("ofi", "f8"),
        *((name, "u8") for name in COUNTS),
        ("event_ns", "i8"),
        ("recv_ns", "i8"),
        ("at_ns", "i8"),
        ("synced", "u4"),
        ("status", "u4"),
    ],
    align=True,
)
"""One symbol's row; docs/order-book.md says what each field means.

The last two fill a word, so that a row has no padding: equal rows are equal bytes, copied or not.
"""

UPDATE = np.dtype(
    [
        ("symbol", f"S{SYMBOL_BYTES}"),
        *_TOP,
        ("n_applied", "u8"),
        ("ofi_sum", "f8"),
        ("recv_ns", "i8"),
        ("synced", "u8"),
    ],
    align=True,
)
"""One change of a symbol's top."""

UNKNOWN = (nan,) * len(FEATURES)


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
