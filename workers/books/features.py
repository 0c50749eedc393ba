"""Numbers computed from the best levels of a book. NaN in, NaN out: unknown is never 0."""

from __future__ import annotations

from math import fsum, log, nan
from operator import mul
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from dolphin_mp.workers.books.book import Book, Top
    from dolphin_mp.workers.books.side import Side

NEAR_BP, FAR_BP = 10.0, 50.0
"""Distances from the mid price within which depth is summed, in basis points."""
LEVELS = 20
"""Levels of the widest imbalance, and of the slope."""
_EDGE = 1e-12
"""Relative. A price that lies just at a distance is within it; no two prices of a venue are this close."""


class Numbers(NamedTuple):
    """What the levels of a book come to, whenever they were reached."""

    mid: float
    spread_bps: float
    microprice: float
    imb1: float
    imb5: float
    imb20: float
    depth_bid_10bp: float
    depth_ask_10bp: float
    depth_bid_50bp: float
    depth_ask_50bp: float
    slope: float


UNKNOWN = Numbers(*(nan for _ in Numbers._fields))


def numbers_of(book: Book, top: Top) -> Numbers:
    """Give all numbers of a book in sync; unknown if a side is empty."""
    bid, ask, bid_size, ask_size = top
    if bid != bid or ask != ask:
        return UNKNOWN
    mid = (bid + ask) / 2
    bid_side, ask_side = book.sides()
    near, far = mid * (NEAR_BP / 1e4), mid * (FAR_BP / 1e4)
    edge = mid * _EDGE
    bids5, bids20, bids_near, bids_far, bid_slope = _read(bid_side, mid, mid - far - edge, mid - near - edge)
    asks5, asks20, asks_near, asks_far, ask_slope = _read(ask_side, mid, mid + far + edge, mid + near + edge)
    return Numbers(
        mid,
        1e4 * (ask - bid) / mid,
        microprice(top),
        (bid_size - ask_size) / (bid_size + ask_size),
        (bids5 - asks5) / (bids5 + asks5),
        (bids20 - asks20) / (bids20 + asks20),
        bids_near,
        asks_near,
        bids_far,
        asks_far,
        (bid_slope + ask_slope) / 2,
    )


def _read(side: Side, mid: float, reach: float, inner: float) -> tuple[float, float, float, float, float]:
    """Give a side's sizes in the best 5 and 20 levels, its depth near and far, its slope."""
    prices, near, far = side.near.within(reach, inner, LEVELS)
    sizes = list(map(side.levels.__getitem__, prices))
    best5 = sum(sizes[:5])
    best20 = best5 + sum(sizes[5:LEVELS])
    worth = list(map(mul, prices, sizes[:far]))
    depth = sum(worth[:near])
    last = prices[LEVELS - 1] if len(prices) >= LEVELS else prices[-1]
    distance = abs(last - prices[0])
    slope = log(best20 / sizes[0]) * mid / (distance * 1e4) if distance else nan
    return best5, best20, depth, depth + sum(worth[near:]), slope


def microprice(top: Top) -> float:
    """Give the mid price weighted by the opposite sizes: nearer to the side that is about to give way.

    Source: Gatheral and Oomen, Zero-intelligence realized variance estimation, Finance and Stochastics 14
    (2010). Stoikov's micro-price, which is fitted to data, is another quantity of nearly the same name.
    """
    return (top.ask_size * top.bid + top.bid_size * top.ask) / (top.bid_size + top.ask_size)


def balance(plus: float, minus: float) -> float:
    """Give (plus - minus) / (plus + minus), in [-1, 1]; NaN if there is nothing of either."""
    return (plus - minus) / (plus + minus) if plus or minus else nan


def order_flow(before: Top, after: Top) -> float:
    """Give the order-flow imbalance of one change of the top, in units of size.

    What came to the bid or left the ask counts up, the rest down; 0 across a one-sided book, whose flow
    is unknown.
    Source: Cont, Kukanov and Stoikov, The price impact of order book events, Journal of Financial
    Econometrics 12 (2014), equation (2).
    """
    if not is_two_sided(before) or not is_two_sided(after):
        return 0.0
    return fsum(
        (
            after.bid_size if after.bid >= before.bid else 0.0,
            -before.bid_size if after.bid <= before.bid else 0.0,
            -after.ask_size if after.ask <= before.ask else 0.0,
            before.ask_size if after.ask >= before.ask else 0.0,
        )
    )


def is_two_sided(top: Top) -> bool:
    """Tell whether both sides have a level."""
    return top.bid == top.bid and top.ask == top.ask


def quality(depth: float, usual_depth: float, spread: float, usual_spread: float) -> float:
    """Give how good it is to trade now, from 0 to 1: 1 with at least the usual depth and at most the spread.

    min(1, depth / usual) * min(1, usual spread / spread) (chosen).
    """
    deep = min(1.0, depth / usual_depth) if usual_depth > 0 else float(depth > 0)
    narrow = min(1.0, usual_spread / spread) if spread > 0 else 1.0
    return deep * narrow
