from __future__ import annotations

from math import isnan, log, nan

import pytest

from dolphin_mp.workers.books.book import Book, Top
from dolphin_mp.workers.books.events import Levels, Snapshot
from dolphin_mp.workers.books.features import (
    UNKNOWN,
    Numbers,
    balance,
    microprice,
    numbers_of,
    order_flow,
    quality,
)
from dolphin_mp.workers.books.rules import Rules

TOP = Top(bid=99.0, ask=101.0, bid_size=1.0, ask_size=3.0)
NOTHING = Top(nan, nan, nan, nan)


def numbers(bids: Levels, asks: Levels) -> Numbers:
    book = Book(Rules())
    assert book.load(Snapshot("S", 1, 0, bids, asks))
    return numbers_of(book, book.top())


def test_the_numbers_of_one_top() -> None:
    found = numbers([(99.0, 1.0)], [(101.0, 3.0)])
    assert (found.mid, found.spread_bps, found.imb1, found.imb5, found.imb20) == (100, 200, -0.5, -0.5, -0.5)
    assert found.microprice == microprice(TOP) == 99.5  # three lots offered against one bid
    assert isnan(found.slope)  # one level has none


def test_imbalances_look_at_so_many_levels() -> None:
    bids = [(100.0 - n, 1.0 if n < 5 else 3.0) for n in range(30)]
    asks = [(101.0 + n, 1.0) for n in range(30)]
    found = numbers(bids, asks)
    assert (found.imb1, found.imb5) == (0.0, 0.0)
    assert found.imb20 == (5 + 45 - 20) / (5 + 45 + 20)


def test_depth_is_worth_within_a_distance_of_the_mid_price() -> None:
    bids = [(99.99, 1.0), (99.9, 2.0), (99.89, 4.0), (99.5, 8.0), (99.49, 16.0)]
    asks = [(100.01, 1.0), (100.1, 2.0), (100.11, 4.0), (100.5, 8.0), (100.51, 16.0)]
    found = numbers(bids, asks)
    assert found.depth_bid_10bp == pytest.approx(99.99 + 2 * 99.9)  # what lies just at 10 bp is within
    assert found.depth_ask_10bp == pytest.approx(100.01 + 2 * 100.1)
    assert found.depth_bid_50bp == pytest.approx(99.99 + 2 * 99.9 + 4 * 99.89 + 8 * 99.5)
    assert found.depth_ask_50bp == pytest.approx(100.01 + 2 * 100.1 + 4 * 100.11 + 8 * 100.5)


def test_far_from_the_mid_price_there_is_no_depth_which_is_known() -> None:
    found = numbers([(90.0, 1.0), (80.0, 1.0)], [(110.0, 1.0), (120.0, 1.0)])
    assert found[6:10] == (0.0, 0.0, 0.0, 0.0)


def test_all_levels_within_reach_count_however_many_there_are() -> None:
    bids = [(round(100.0 - n / 1000, 3), 1.0) for n in range(1, 1200)]
    asks = [(round(100.0 + n / 1000, 3), 1.0) for n in range(1, 1200)]
    found = numbers(bids, asks)
    assert found.depth_bid_10bp == pytest.approx(sum(price for price, _ in bids[:100]))
    assert found.depth_ask_50bp == pytest.approx(sum(price for price, _ in asks[:500]))


def test_the_slope_is_of_the_logarithm_of_the_cumulative_size() -> None:
    found = numbers([(100.0 - n, 2.0) for n in range(40)], [(101.0 + n, 2.0) for n in range(3)])
    bid, ask = log(20) / (19 / 100.5 * 1e4), log(3) / (2 / 100.5 * 1e4)
    assert found.slope == pytest.approx((bid + ask) / 2)


def test_unknown_gives_nan() -> None:
    assert all(isnan(value) for value in numbers([], [(101.0, 3.0)]))
    assert all(isnan(value) for value in numbers([(99.0, 1.0)], []))
    assert all(isnan(value) for value in UNKNOWN)
    assert isnan(microprice(NOTHING))


def test_a_balance_is_signed_and_bounded() -> None:
    assert balance(1.0, 3.0) == -0.5
    assert balance(1.0, 0.0) == 1.0
    assert isnan(balance(0.0, 0.0))


@pytest.mark.parametrize(
    ("depth", "usual_depth", "spread", "usual_spread", "value"),
    [
        (5.0, 5.0, 2.0, 2.0, 1.0),
        (50.0, 5.0, 1.0, 2.0, 1.0),  # better than usual is good
        (1.0, 4.0, 2.0, 2.0, 0.25),
        (1.0, 4.0, 4.0, 2.0, 0.125),
        (0.0, 4.0, 2.0, 2.0, 0.0),
        (0.0, 0.0, 2.0, 2.0, 0.0),
        (4.0, 4.0, 0.0, 2.0, 1.0),  # locked
    ],
)
def test_quality_compares_with_the_usual(
    depth: float, usual_depth: float, spread: float, usual_spread: float, value: float
) -> None:
    assert quality(depth, usual_depth, spread, usual_spread) == value


@pytest.mark.parametrize(
    ("after", "flow"),
    [
        (TOP, 0.0),
        (TOP._replace(bid_size=4.0), 3.0),  # more at the same bid
        (TOP._replace(bid=99.5, bid_size=2.0), 2.0),  # a new, better bid
        (TOP._replace(bid=98.0, bid_size=9.0), -1.0),  # the bid is gone
        (TOP._replace(ask_size=5.0), -2.0),
        (TOP._replace(ask=100.0, ask_size=2.0), -2.0),
        (TOP._replace(ask=102.0, ask_size=9.0), 3.0),
    ],
)
def test_order_flow_follows_the_paper(after: Top, flow: float) -> None:
    assert order_flow(TOP, after) == flow


def test_there_is_no_flow_across_a_one_sided_book() -> None:
    assert order_flow(NOTHING, TOP) == 0.0
    assert order_flow(TOP, TOP._replace(ask=nan, ask_size=nan)) == 0.0
    assert order_flow(TOP._replace(bid=nan, bid_size=nan), TOP) == 0.0
