"""Stoikov's micro-price: the mid price plus what it is expected to move, given imbalance and spread.

The top of the book is one of 30 states: ten of the imbalance at the best prices, three of the spread. What
follows each state is counted as it happens, each time also for the mirrored market, in which bids are asks.
Expected moves of the mid then follow from linear equations: of the next move, G1 = (1 - Q)^-1 R, and of those
after it, B G1, B^2 G1, ... with B = (1 - Q)^-1 T, of which six are summed, as its author does.

Changes that leave the state as it is drop out of the equations, so only changes of the top are counted.

Source: Stoikov, The micro-price: a high-frequency estimator of future prices, Quantitative Finance 18 (2018),
SSRN 2970694. What is fitted here is the market's own recent past, not another day's data.
"""

from __future__ import annotations

from math import inf, nan
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dolphin_mp.workers.books.book import Top

IMBALANCES, SPREADS = 10, 3
STATES = IMBALANCES * SPREADS
MOVES = 20
"""Moves of the mid that must have been seen before anything is said (chosen)."""
REFIT_NS = 10_000_000_000
"""Between two fits, in the feed's time (chosen): one costs 0.2 ms."""
MEMORY = 100_000
"""Changes after which all counts are halved, so that the past fades (chosen)."""
_LEAST = 2.0**-20
"""A count that faded below this is no more: rarer than 1 in 10^11 changes, and no equation could tell."""
_TERMS = 6


class MicroPrice:
    """One symbol's counts and its last fit."""

    __slots__ = ("_changes", "_counts", "_drift", "_fitted_ns", "_gains", "_moves", "_narrowest")

    def __init__(self) -> None:
        self._narrowest = inf
        self._fitted_ns = -REFIT_NS
        self._gains: list[float] | None = None
        self._forget()

    def follow(self, before: Top, after: Top) -> None:
        """Note one change of a top whose sides are not empty."""
        for top in (before, after):
            spread = top.ask - top.bid
            if 0.0 < spread < self._narrowest * 0.75:  # what was called two ticks were four
                self._narrowest = spread
                self._forget()
        start = self._state(before)
        moved = (after.bid - before.bid + after.ask - before.ask) / 2
        change = start, self._state(after), moved != 0.0
        self._counts[change] = self._counts.get(change, 0.0) + 1.0
        if moved:
            self._drift[start] += moved
            self._moves += 1
        self._changes += 1
        if self._changes >= MEMORY:
            self._fade()

    def price(self, now_ns: int, top: Top, mid: float) -> float:
        """Give the micro-price; NaN before enough was seen, and in a state from which no move was."""
        if self._moves < MOVES:
            return nan
        if now_ns - self._fitted_ns >= REFIT_NS or self._gains is None:
            self._gains = _fit(self._counts, self._drift)
            self._fitted_ns = now_ns
        return mid + self._gains[self._state(top)]

    def _state(self, top: Top) -> int:
        share = top.bid_size / (top.bid_size + top.ask_size)
        ticks = (top.ask - top.bid) / self._narrowest
        return min(int(share * IMBALANCES), IMBALANCES - 1) * SPREADS + (ticks > 1.5) + (ticks > 2.5)

    def _forget(self) -> None:
        self._counts: dict[tuple[int, int, bool], float] = {}  # from, to, whether the mid price moved
        self._drift = [0.0] * STATES
        self._moves = self._changes = 0
        self._gains = None

    def _fade(self) -> None:
        self._counts = {change: count / 2 for change, count in self._counts.items() if count > _LEAST}
        self._drift = [drift / 2 for drift in self._drift]
        self._changes //= 2


def _mirrored(state: int) -> int:
    return (IMBALANCES - 1 - state // SPREADS) * SPREADS + state % SPREADS


_MIRRORS = [_mirrored(state) for state in range(STATES)]


def _fit(counts: dict[tuple[int, int, bool], float], drifts: list[float]) -> list[float]:
    """Give the expected move of each state; NaN where no move can be reached, or none can be computed."""
    stayed, moved = np.zeros((2, STATES, STATES))
    for (start, end, moves), count in counts.items():
        matrix = moved if moves else stayed
        matrix[start, end] += count
        matrix[_mirrored(start), _mirrored(end)] += count
    drift = np.array(drifts)
    drift = drift - drift[_MIRRORS]
    live = moved.sum(axis=1) > 0
    while True:
        more = live | (stayed[:, live].sum(axis=1) > 0)
        if (more == live).all():
            break
        live = more
    gains = np.full(STATES, nan)
    if live.any():
        count = (stayed + moved)[live].sum(axis=1)[:, None]
        block = np.ix_(live, live)
        within = np.eye(int(live.sum())) - stayed[block] / count
        sides = np.column_stack([drift[live] / count[:, 0], moved[block] / count])
        try:
            after = np.linalg.solve(within, sides)
        except np.linalg.LinAlgError:  # some moves are so rare that rounding left none
            return [nan] * STATES
        total = term = after[:, 0]
        for _ in range(_TERMS - 1):
            term = after[:, 1:] @ term
            total = total + term
        gains[live] = total
    return [float(gain) for gain in gains]
