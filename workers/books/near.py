"""The prices of one side that are nearest to the touch, kept sorted at little cost.

A book is a dict, which knows no order, and sorting a thousand prices for each reading would cost more than
all the rest. So a short sorted list is kept of every price at or better than a fence, and only the prices
that messages touched since the last reading are looked at again. When deletions have eaten the list, it is
made anew from the dict. A reading thus costs in proportion to what changed, not to the depth of the book.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from math import inf

from dolphin_mp.workers.books.events import Levels

DEPTH = 20
"""Levels that a reader may ask for."""
_WIDTH = 64
"""Prices kept after a rebuild or a trim; chosen: three times DEPTH, so that rebuilds are rare."""
_PENDING = 64
"""Messages remembered between two readings; more cost as much as a rebuild."""


class Near:
    """The best prices of one side.

    Prices are kept multiplied by ``sign`` (+1 for bids, -1 for asks), so that the best is always the last.

    Args:
        levels: the side itself, price to size; owned and changed by the book.
        sign: +1 if higher is better, -1 if lower is.
    """

    __slots__ = ("_fence", "_keys", "_levels", "_missed", "_sign", "pending")

    def __init__(self, levels: dict[float, float], sign: int) -> None:
        self._levels = levels
        self._sign = sign
        self._keys: list[float] = []
        self._fence = inf
        self._missed = True
        self.pending: deque[Levels] = deque(maxlen=_PENDING)
        """The book appends each message's levels here; a full deque means that some were lost."""

    def forget(self) -> None:
        """Take nothing for granted any more: the side was changed otherwise than by messages."""
        self.pending.clear()
        self._missed = True

    def best(self) -> float | None:
        """Give the best price, or None if the side is empty."""
        keys = self._caught_up()
        return keys[-1] * self._sign if keys else None

    def sizes(self) -> list[float]:
        """Give the sizes of up to `DEPTH` levels, the best first."""
        sign, levels = self._sign, self._levels
        return [levels[key * sign] for key in self._caught_up()[: -DEPTH - 1 : -1]]

    def _caught_up(self) -> list[float]:
        pending = self.pending
        if self._missed or len(pending) == _PENDING:
            self._rebuild()
        elif pending:
            for touched in pending:
                self._follow(touched)
            pending.clear()
            if len(self._keys) < DEPTH and len(self._keys) < len(self._levels):
                self._rebuild()
            elif len(self._keys) > 2 * _WIDTH:
                del self._keys[:-_WIDTH]
                self._fence = self._keys[0]
        return self._keys

    def _follow(self, touched: Levels) -> None:
        sign, levels, keys, fence = self._sign, self._levels, self._keys, self._fence
        for price, _ in touched:
            key = price * sign
            if key < fence:
                continue
            at = bisect_left(keys, key)
            known = at < len(keys) and keys[at] == key
            if price in levels:
                if not known:
                    keys.insert(at, key)
            elif known:
                del keys[at]

    def _rebuild(self) -> None:
        ordered = sorted(self._levels)
        best = ordered[-_WIDTH:] if self._sign > 0 else [-price for price in reversed(ordered[:_WIDTH])]
        self._keys = best
        self._fence = best[0] if len(ordered) > _WIDTH else -inf
        self._missed = False
        self.pending.clear()
