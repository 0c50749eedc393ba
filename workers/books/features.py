"""Numbers computed from the best levels of a book. NaN in, NaN out: unknown is never 0."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolphin_mp.workers.books.book import Top


def mid_price(top: Top) -> float:
    """Give (bid + ask) / 2."""
    return (top.bid + top.ask) / 2


def spread_bps(top: Top) -> float:
    """Give the spread in basis points of the mid price."""
    return 1e4 * (top.ask - top.bid) / mid_price(top)


def microprice(top: Top) -> float:
    """Give the mid price weighted by the opposite sizes: nearer to the side that is about to give way.

    Source: Gatheral and Oomen, Zero-intelligence realized variance estimation, Finance and Stochastics 14
    (2010). Stoikov's micro-price, which is fitted to data, is another quantity of nearly the same name.
    """
    return (top.ask_size * top.bid + top.bid_size * top.ask) / (top.bid_size + top.ask_size)


def imbalance(bid_sizes: Sequence[float], ask_sizes: Sequence[float]) -> float:
    """Give (bids - asks) / (bids + asks) over the sizes given, in [-1, 1]; NaN if a side is empty."""
    if not bid_sizes or not ask_sizes:
        return nan
    bids, asks = sum(bid_sizes), sum(ask_sizes)
    return (bids - asks) / (bids + asks)


def order_flow(before: Top, after: Top) -> float:
    """Give the order-flow imbalance of one change of the top, in units of size.

    What came to the bid or left the ask counts up, the rest down; 0 across a one-sided book, whose flow
    is unknown.
    Source: Cont, Kukanov and Stoikov, The price impact of order book events, Journal of Financial
    Econometrics 12 (2014), equation (2).
    """
    flow = 0.0
    if after.bid >= before.bid:
        flow += after.bid_size
    if after.bid <= before.bid:
        flow -= before.bid_size
    if after.ask <= before.ask:
        flow -= after.ask_size
    if after.ask >= before.ask:
        flow += before.ask_size
    return flow if flow == flow and _two_sided(before) and _two_sided(after) else 0.0


def _two_sided(top: Top) -> bool:
    return top.bid == top.bid and top.ask == top.ask
