"""The prices of one side that are nearest to the touch, kept sorted at little cost.

A book is a dict, which knows no order, and sorting a thousand prices for each reading would cost more than
all the rest. So a short sorted list is kept of every price at or better than a fence, and only the prices
that messages touched since the last reading are looked at again. When deletions have eaten the list, it is
made anew from the dict. A reading thus costs in proportion to what changed, not to the depth of the book.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dolphin_mp.workers.books.events import Levels

DEPTH = 20
"""Levels that a reader may ask for."""
_WIDTH = 40
"""Prices kept after a rebuild or a trim; chosen: twice DEPTH, so that rebuilds are rare."""
_PENDING = 64
"""Messages remembered between two readings; more cost as much as a rebuild."""


class Near:
    """The best prices of one side.

    Args:
        levels: the side itself, price to size; owned and changed by the book.
        higher_is_better: True for bids.
    """

    __slots__ = ("_bids", "_high", "_known", "_levels", "_low", "_prices", "_stale", "pending")

    def __init__(self, levels: dict[float, float], *, higher_is_better: bool) -> None:
        self._levels = levels
        self._bids = higher_is_better
        self._prices: list[float] = []  # ascending, all that the side has between _low and _high
        self._known: set[float] = set()
        self._low, self._high = -inf, inf
        self._stale = True
        self.pending: deque[Levels] = deque(maxlen=_PENDING)
        """The book appends the levels of each message that added or deleted a price; full: some were lost."""

    def forget(self) -> None:
        """Take nothing for granted any more: the side was changed otherwise than by messages."""
        self._stale = True

    def best(self) -> float | None:
        """Give the best price, or None if the side is empty."""
        prices = self._caught_up()
        if not prices:
            return None
        return prices[-1] if self._bids else prices[0]

    def sizes(self) -> list[float]:
        """Give the sizes of up to `DEPTH` levels, the best first."""
        levels, prices = self._levels, self._caught_up()
        return [levels[price] for price in (prices[: -DEPTH - 1 : -1] if self._bids else prices[:DEPTH])]

    def _caught_up(self) -> list[float]:
        pending = self.pending
        if self._stale or len(pending) == _PENDING:
            self._rebuild()
        elif pending:
            for touched in pending:
                self._follow(touched)
            pending.clear()
            count = len(self._prices)
            if count > 4 * _WIDTH or (count < DEPTH and count < len(self._levels)):
                self._rebuild()
        return self._prices

    def _follow(self, touched: Levels) -> None:
        levels, known, low, high = self._levels, self._known, self._low, self._high
        for price, _ in touched:
            if low <= price <= high and (price in known) != (price in levels):
                if price in known:
                    known.remove(price)
                    del self._prices[bisect_left(self._prices, price)]
                else:
                    known.add(price)
                    insort(self._prices, price)

    def _rebuild(self) -> None:
        ordered = sorted(self._levels)
        self._prices = prices = ordered[-_WIDTH:] if self._bids else ordered[:_WIDTH]
        self._known = set(prices)
        self._low, self._high = -inf, inf
        if len(ordered) > _WIDTH:
            self._low, self._high = (prices[0], inf) if self._bids else (-inf, prices[-1])
        self._stale = False
        self.pending.clear()
