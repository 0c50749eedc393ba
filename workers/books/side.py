"""One side of a book beyond its prices and sizes: the way back from a message, and the venue's own texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dolphin_mp.workers.books.near import Near

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolphin_mp.workers.books.events import Levels


class Was(NamedTuple):
    """Levels before a message: prices, and for each its size and text, None if it was not there."""

    prices: list[float]
    sizes: list[float | None]
    texts: list[str | None]


class Side:
    """Prices to sizes, and to texts where the venue sends checksums.

    Attributes:
        levels: price to size.
        near: the prices nearest to the touch; told of changes by whoever writes the levels.
    """

    __slots__ = ("_bids", "_texts", "levels", "near")

    def __init__(self, *, higher_is_better: bool) -> None:
        self._bids = higher_is_better
        self._texts: dict[float, str] = {}
        self.levels: dict[float, float] = {}
        self.near = Near(self.levels, higher_is_better=higher_is_better)

    def replace(self, levels: Levels, texts: Sequence[str]) -> None:
        """Start anew."""
        self.levels.clear()
        self.levels.update(levels)
        self._texts = dict(zip((price for price, _ in levels), texts, strict=True)) if texts else {}
        self.near.forget()

    def was(self, changes: Levels) -> Was:
        """Give the levels that a message is about to change, as they are."""
        prices = [price for price, _ in changes]
        return Was(prices, list(map(self.levels.get, prices)), list(map(self._texts.get, prices)))

    def note(self, changes: Levels, texts: Sequence[str]) -> None:
        """Take the texts of levels that were written."""
        known = self._texts
        for (price, size), text in zip(changes, texts, strict=True):
            if size:
                known[price] = text
            else:
                known.pop(price, None)

    def cut(self, limit: int) -> Was | None:
        """Let go of the worst levels beyond so many; gives what they were."""
        excess = len(self.levels) - limit
        if excess <= 0 or not limit:
            return None
        if excess == 1:
            worst = [min(self.levels) if self._bids else max(self.levels)]
        else:
            worst = sorted(self.levels, reverse=not self._bids)[:excess]
        gone = self.was([(price, 0.0) for price in worst])
        for price in worst:
            del self.levels[price]
            self._texts.pop(price, None)
        self.near.pending.append([(price, 0.0) for price in worst])
        return gone

    def restore(self, was: Was) -> None:
        """Take levels back to what they were."""
        for price, size, text in zip(*was, strict=True):
            if size is None:
                self.levels.pop(price, None)
            else:
                self.levels[price] = size
            if text is None:
                self._texts.pop(price, None)
            else:
                self._texts[price] = text
        self.near.forget()

    def best_texts(self, count: int) -> list[str]:
        """Give the texts of the best levels, the best first."""
        texts = self._texts
        return [texts.get(price, "") for price in self.near.prices(count)]
