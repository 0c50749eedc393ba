"""The prices of one side that are nearest to the touch, kept sorted at little cost.

A book is a dict, which knows no order, and sorting a thousand prices for each reading would cost more than
all the rest. So a short sorted list is kept of every price at or better than a fence, and only the prices
that messages touched since the last reading are looked at again. When deletions have eaten the list, or a
reader looks beyond the fence, it is made anew from the dict. A reading thus costs in proportion to what
changed, not to the depth of the book.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dolphin_mp.workers.books.events import Levels

DEPTH = 25
"""Levels that a reader may always ask for: what the deepest checksum needs."""
_WIDTH = 50
"""Least number of prices kept after a rebuild; chosen: twice DEPTH, so that rebuilds are rare."""
_PENDING = 64
"""Messages remembered between two readings; more cost as much as a rebuild."""
_MARGIN = 1.5
"""How much farther than a reader looked the fence is set, so that it may follow a moving price (chosen)."""


class Near:
    """The best prices of one side.

    Args:
        levels: the side itself, price to size; owned and changed by the book.
        higher_is_better: True for bids.
    """

    __slots__ = ("_bids", "_high", "_known", "_levels", "_low", "_most", "_prices", "_stale", "pending")

    def __init__(self, levels: dict[float, float], *, higher_is_better: bool) -> None:
        self._levels = levels
        self._bids = higher_is_better
        self._prices: list[float] = []  # ascending, all that the side has between _low and _high
        self._known: set[float] = set()
        self._low, self._high = -inf, inf
        self._most = 0
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

    def prices(self, count: int) -> list[float]:
        """Give up to `count` prices, at most `DEPTH` of them, the best first."""
        prices = self._caught_up()
        return prices[: -count - 1 : -1] if self._bids else prices[:count]

    def within(self, reach: float, inner: float, least: int) -> tuple[list[float], int, int]:
        """Give the best prices down to `reach`, and at least as many as `least` if the side has them.

        Returns:
            The prices, the best first; how many of them are not beyond `inner`; how many not beyond `reach`.
        """
        prices = self._caught_up()
        if self._bids:
            if reach < self._low:
                prices = self._rebuild(reach)
            total = len(prices)
            near, far = total - bisect_left(prices, inner), total - bisect_left(prices, reach)
            return prices[: -max(far, least) - 1 : -1], near, far
        if reach > self._high:
            prices = self._rebuild(reach)
        near, far = bisect_right(prices, inner), bisect_right(prices, reach)
        return prices[: max(far, least)], near, far

    def _caught_up(self) -> list[float]:
        pending = self.pending
        if self._stale or len(pending) == _PENDING:
            return self._rebuild()
        if pending:
            for touched in pending:
                self._follow(touched)
            pending.clear()
            count = len(self._prices)
            if count > self._most or (count < DEPTH and count < len(self._levels)):
                return self._rebuild()
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

    def _rebuild(self, reach: float | None = None) -> list[float]:
        """Sort anew, as far as somebody looks, and a little farther."""
        ordered = sorted(self._levels)
        count, fence = _WIDTH, None
        if reach is not None and ordered:
            best = ordered[-1] if self._bids else ordered[0]
            fence = best + (reach - best) * _MARGIN
            below = bisect_left(ordered, fence)
            count = max(count, len(ordered) - below if self._bids else bisect_right(ordered, fence))
        self._prices = prices = ordered[-count:] if self._bids else ordered[:count]
        self._known = set(prices)
        self._low, self._high = -inf, inf
        if len(ordered) > count:
            edge = prices[0] if self._bids else prices[-1]
            if self._bids:
                self._low = edge if fence is None else min(edge, fence)
            else:
                self._high = edge if fence is None else max(edge, fence)
        self._most = 4 * len(prices)
        self._stale = False
        self.pending.clear()
        return prices
