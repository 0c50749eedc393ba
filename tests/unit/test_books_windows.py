from __future__ import annotations

from fractions import Fraction
from math import exp, isnan, tanh
from random import Random

import pytest

from dolphin_mp.workers.books.features import UNKNOWN
from dolphin_mp.workers.books.windows import HOUR_NS, NEVER, PRESSURE, Moving, Total, Usual, Windows

S = 1_000_000_000
NUMBERS = UNKNOWN._replace(depth_bid_10bp=3.0, depth_ask_10bp=1.0, spread_bps=2.0)


def read(windows: Windows, now_ns: int) -> Moving:
    return windows.read(now_ns, NUMBERS)


def test_a_window_is_open_at_its_start_and_closed_at_its_end() -> None:
    windows = Windows()
    windows.flow(10 * S, 4.0, 1.0)
    windows.flow(11 * S, -1.0, 1.0)
    assert (read(windows, 11 * S - 1).ofi_1s, read(windows, 11 * S).ofi_1s) == (3.0, -1.0)
    assert (read(windows, 20 * S - 1).ofi_10s, read(windows, 20 * S).ofi_10s) == (3.0, -1.0)
    assert read(windows, 21 * S)[:2] == (0.0, 0.0)


def test_it_is_due_when_something_falls_out() -> None:
    windows = Windows()
    read(windows, 0)
    assert windows.due_ns == NEVER
    windows.flow(10 * S, 4.0, 1.0)
    windows.trade(9 * S, 1.0, bought=True)
    due = []
    now = 10 * S
    for _ in range(4):
        read(windows, now)
        now = windows.due_ns
        due.append(now)
    assert due == [11 * S, 19 * S, 20 * S, NEVER]


def test_sums_are_exact_whatever_came_and_went() -> None:
    random = Random(3)
    windows, total, told = Windows(), Total(), []
    for n in range(4000):
        flow = random.choice([1e9, -1e9, 0.1, -0.3, 7.0, 1e-6]) * random.random()
        windows.flow(n * S // 100, flow, 1.0)
        total.add(flow)
        told.append(Fraction(flow))
    assert total.value == float(sum(told))
    now = 3999 * S // 100
    assert read(windows, now).ofi_10s == pytest.approx(float(sum(told[-1000:])), rel=1e-15)
    assert read(windows, now).ofi_1s == pytest.approx(float(sum(told[-100:])), rel=1e-15)


def test_trades_balance_over_ten_seconds() -> None:
    windows = Windows()
    assert isnan(read(windows, S).trade_imbalance)  # none is not zero
    windows.trade(S, 3.0, bought=True)
    assert read(windows, S).trade_imbalance == 1.0
    windows.trade(2 * S, 1.0, bought=False)
    assert read(windows, 2 * S).trade_imbalance == 0.5
    assert read(windows, 11 * S).trade_imbalance == -1.0
    assert isnan(read(windows, 12 * S).trade_imbalance)


def test_trades_are_not_kept_for_ever_while_nobody_reads() -> None:
    windows = Windows()
    for second in range(1000):
        windows.trade(second * S, 1.0, bought=second % 2 == 0)
    assert len(windows._trades) == 10
    assert read(windows, 999 * S).trade_imbalance == 0.0


@pytest.mark.parametrize("large", [1e12, 1e17])
def test_trades_balance_after_one_of_another_magnitude(large: float) -> None:
    windows = Windows()
    for n in range(60):
        windows.trade(n * S, large if n == 3 else 1e-3, bought=n % 2 == 0)
        told = read(windows, n * S).trade_imbalance
        if n >= 13:
            assert told == pytest.approx(0.0, abs=1e-9)


def test_pressure_compares_flow_with_the_usual_size_at_the_top() -> None:
    windows = Windows()
    windows.flow(S, 6.0, 1.0)
    windows.flow(S, 4.0, 3.0)
    assert read(windows, S).pressure == pytest.approx(tanh(10.0 / (PRESSURE * 2.0)))
    assert read(windows, 99 * S).pressure == 0.0


@pytest.mark.parametrize(("large", "small"), [(1e17, 1.0), (1e12, 1e-8), (1e17, 1e-15), (1.0, 5e-324)])
def test_pressure_is_exact_after_a_size_of_another_magnitude(large: float, small: float) -> None:
    windows = Windows()
    windows.flow(S, small, large)
    read(windows, S)
    for n in range(20, 40):
        windows.flow(n * S, small if n % 2 else -small, small)
        windows.flow(n * S, 2 * small, small)
        assert -1.0 <= read(windows, n * S).pressure <= 1.0
    if large / small < 1e30:  # what is not told apart by two floats is at least within its bounds
        assert read(windows, 39 * S).pressure == pytest.approx(tanh(20 / PRESSURE))


def test_the_usual_is_a_mean_over_time() -> None:
    usual = Usual()
    assert usual.follow(5, 4.0, 2.0) == (4.0, 2.0)  # nothing else is known
    assert usual.follow(5 + HOUR_NS // 2, 8.0, 1.0) == pytest.approx((4.0, 2.0))
    depth, spread = usual.follow(5 + HOUR_NS, 0.0, 0.0)
    older, newer = exp(-0.5) - exp(-1), 1 - exp(-0.5)
    assert depth == pytest.approx((4.0 * older + 8.0 * newer) / (older + newer))
    assert spread == pytest.approx((2.0 * older + 1.0 * newer) / (older + newer))


def test_how_often_it_is_asked_changes_no_mean() -> None:
    often, rarely = Usual(), Usual()
    for now in range(0, 100 * S, S):
        last = often.follow(now, float(now // (10 * S)), 1.0)
        if now % (10 * S) == 0:
            rarely.follow(now, float(now // (10 * S)), 1.0)
    assert rarely.follow(99 * S, 9.0, 1.0) == pytest.approx(last)


def test_what_is_unknown_does_not_count() -> None:
    usual = Usual()
    usual.follow(0, 4.0, 2.0)
    usual.follow(HOUR_NS, 100.0, 100.0)
    usual.pause()
    assert usual.follow(2 * HOUR_NS, 6.0, 6.0) == pytest.approx((4.0, 2.0))


def test_quality_falls_with_less_depth_than_usual() -> None:
    windows = Windows()
    assert read(windows, 0).depth_quality == 1.0
    thin = NUMBERS._replace(depth_bid_10bp=1.0)
    windows.read(HOUR_NS, NUMBERS)
    assert windows.read(HOUR_NS, thin).depth_quality == pytest.approx(0.5)
    assert windows.read(HOUR_NS, thin._replace(spread_bps=8.0)).depth_quality == pytest.approx(0.125)


def test_flow_across_an_outage_is_not_known_but_trades_are() -> None:
    windows = Windows()
    windows.flow(S, 6.0, 1.0)
    windows.trade(S, 3.0, bought=True)
    windows.restart()
    now = read(windows, S)
    assert (now.ofi_10s, now.trade_imbalance) == (0.0, 1.0)
