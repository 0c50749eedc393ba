from __future__ import annotations

from math import isnan, nan

import pytest

from dolphin_mp.workers.books.book import Top
from dolphin_mp.workers.books.features import imbalance, microprice, mid_price, order_flow, spread_bps

TOP = Top(bid=99.0, ask=101.0, bid_size=1.0, ask_size=3.0)
NOTHING = Top(nan, nan, nan, nan)


def test_the_numbers_of_one_top() -> None:
    assert mid_price(TOP) == 100.0
    assert spread_bps(TOP) == 200.0
    assert microprice(TOP) == 99.5  # three lots offered against one bid: the price is about to fall


def test_imbalance_is_signed_and_bounded() -> None:
    assert imbalance([1.0], [3.0]) == -0.5
    assert imbalance([2.0, 2.0], [4.0]) == 0.0
    assert imbalance([1.0], [1e-300]) == pytest.approx(1.0)


def test_unknown_gives_nan() -> None:
    assert isnan(imbalance([], [3.0]))
    assert isnan(imbalance([1.0], []))
    assert isnan(mid_price(TOP._replace(bid=nan)))
    assert isnan(spread_bps(NOTHING))
    assert isnan(microprice(NOTHING))


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
