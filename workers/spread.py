"""What trading costs just now: statistics of each symbol's spread."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dolphin_mp import Component, Input, Output

SPREAD = np.dtype(
    [
        ("symbol", "S24"),
        ("last_bps", "f8"),
        ("ewma_bps", "f8"),
        ("min_bps", "f8"),
        ("max_bps", "f8"),
        ("n", "u8"),
        ("n_unknown", "u8"),
        ("recv_ns", "i8"),
    ],
    align=True,
)
"""One symbol's row: in basis points of the mid price; NaN until the first spread is known."""


class Spread(Component):
    """Follows the spread of every symbol of an order book.

    It reads each record once. A record in which a symbol's spread is unknown (out of sync, or a side empty)
    leaves that symbol's statistics alone: ``last_bps`` becomes NaN and ``n_unknown`` counts it.
    """

    @dataclass
    class Options:
        """What the configuration can say.

        Attributes:
            weight: of each new spread in the moving average.
            max_symbols: rows of a record; symbols of the order book beyond it are left out, with a warning.
        """

        weight: float = 0.05
        max_symbols: int = 16

        def __post_init__(self) -> None:
            """Check what a type can't say; raises ValueError with one line that says what to do."""
            if not 0 < self.weight <= 1:
                raise ValueError(f"option weight is {self.weight}: it must be above 0 and at most 1")
            if not 1 <= self.max_symbols <= 4096:
                raise ValueError(f"option max_symbols is {self.max_symbols}: it must be from 1 to 4096")

    book = Input("ob.book", stale_after="3s")
    spread = Output(SPREAD, shape=lambda options: (options.max_symbols,))

    def setup(self) -> None:
        """Start without any statistics."""
        self._rows = np.zeros(self.options.max_symbols, SPREAD)
        for name in ("last_bps", "ewma_bps", "min_bps", "max_bps"):
            self._rows[name] = math.nan
        self._places: dict[bytes, int] = {}

    def step(self) -> None:
        """Take the order book's new records into the statistics."""
        records, lost = self.book.new()
        if lost:
            self.log.warning("%d records of the order book were lost: fell behind", lost)
        for record in records:
            for symbol, spread_bps, recv_ns in record.value[["symbol", "spread_bps", "recv_ns"]].tolist():
                place = self._place(symbol) if symbol else None
                if place is not None:
                    self._follow(self._rows[place], spread_bps, recv_ns)
        if records:
            self.spread.publish(self._rows)

    def _place(self, symbol: bytes) -> int | None:
        """Give the row of a symbol, a new one at first sight; None if there is no room."""
        place = self._places.get(symbol)
        if place is not None:
            return place if place < len(self._rows) else None
        place = self._places[symbol] = len(self._places)
        if place >= len(self._rows):
            self.log.warning("no row for %s: raise the option max_symbols", symbol.decode())
            return None
        self._rows[place]["symbol"] = symbol
        return place

    def _follow(self, row: np.void, spread_bps: float, recv_ns: int) -> None:
        row["last_bps"] = spread_bps
        if not math.isfinite(spread_bps):
            row["n_unknown"] += 1
            return
        ewma = row["ewma_bps"]
        row["ewma_bps"] = spread_bps if row["n"] == 0 else ewma + self.options.weight * (spread_bps - ewma)
        row["min_bps"] = np.fmin(row["min_bps"], spread_bps)
        row["max_bps"] = np.fmax(row["max_bps"], spread_bps)
        row["n"] += 1
        row["recv_ns"] = recv_ns
