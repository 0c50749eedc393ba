"""How much is taken of whom, and when."""

import pytest

from dolphin_mp.logs.pacing import Allowance, Pace

PACE = Pace(burst=1000, rate=100, total_rate=150, sip=50, turn=600, least=10, most=200)


def test_a_burst_is_taken_at_once_and_then_a_steady_rate():
    allowance = Allowance(PACE, 0.0)
    allowance.take(999, 0.0)
    assert not allowance.is_over
    allowance.take(51, 0.0)
    assert allowance.is_over
    assert allowance.due() == pytest.approx(1.0)  # 50 under nought, and a sip


def test_who_rests_fills_up_to_a_burst_and_no_more():
    allowance = Allowance(PACE, 0.0)
    allowance.take(1000, 0.0)
    allowance.take(0, 1000.0)
    allowance.take(999, 1000.0)
    assert not allowance.is_over
    allowance.take(1, 1000.0)
    assert allowance.is_over


def test_those_over_their_allowance_share_a_total():
    assert [PACE.rate_of_each(over) for over in (0, 1, 2, 3)] == [100, 100, 75, 50]


def test_a_turn_is_divided_among_those_who_have_something():
    assert [PACE.share(ready) for ready in (0, 1, 3, 6, 1000)] == [200, 200, 200, 100, 10]
