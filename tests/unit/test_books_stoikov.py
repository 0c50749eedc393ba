from __future__ import annotations

from math import isnan
from random import Random

import pytest

from dolphin_mp.workers.books.book import Top
from dolphin_mp.workers.books.stoikov import MEMORY, MOVES, REFIT_NS, MicroPrice, _fit

TICK = 0.01


def top(ticks: int, bid_size: float, ask_size: float, width: int = 1) -> Top:
    return Top(round(ticks * TICK, 2), round((ticks + width) * TICK, 2), bid_size, ask_size)


def walked(seed: int, count: int, up_if_heavy: float) -> MicroPrice:
    """A price that moves one tick in the direction of the heavier side with that probability."""
    random, micro, ticks = Random(seed), MicroPrice(), 1000
    before = top(ticks, 5.0, 4.6)
    for _ in range(count):
        heavy = random.random() < 0.5
        after = top(ticks, *((8.5, 1.5) if heavy else (1.5, 8.5)))
        micro.follow(before, after)
        if random.random() < 0.5:
            ticks += 1 if (random.random() < up_if_heavy) == heavy else -1
            moved = top(ticks, 5.0, 4.6)
            micro.follow(after, moved)
            after = moved
        before = after
    return micro


def mid(of: Top) -> float:
    return (of.bid + of.ask) / 2


def gain(micro: MicroPrice, of: Top) -> float:
    return (micro.price(0, of, mid(of)) - mid(of)) / TICK


def test_nothing_is_said_before_enough_was_seen() -> None:
    micro = MicroPrice()
    for n in range(MOVES - 1):
        micro.follow(top(n, 1.0, 1.0), top(n + 1, 1.0, 1.0))
    assert isnan(gain(micro, top(5, 1.0, 1.0)))
    micro.follow(top(5, 1.0, 1.0), top(4, 1.0, 1.0))
    assert not isnan(gain(micro, top(5, 1.0, 1.0)))


def test_it_leans_to_the_side_that_is_about_to_win() -> None:
    micro = walked(1, 4000, 0.9)
    heavy, light = top(1000, 8.5, 1.5), top(1000, 1.5, 8.5)
    # half of the time it moves, by 0.9 - 0.1 ticks on average; what follows is as likely up as down
    assert gain(micro, heavy) == pytest.approx(0.5 * 0.8, abs=0.06)
    assert gain(micro, light) == pytest.approx(-gain(micro, heavy))  # a mirrored market is as likely
    assert gain(micro, top(1000, 5.0, 4.6)) == pytest.approx(0.0, abs=0.2)


def test_moves_after_the_next_one_count_too() -> None:
    random, micro, ticks = Random(5), MicroPrice(), 1000
    heavy = True
    before = top(ticks, 8.5, 1.5)
    for _ in range(4000):
        ticks += 1 if heavy else -1
        heavy = heavy if random.random() < 0.75 else not heavy  # what was heavy mostly stays so
        after = top(ticks, *((8.5, 1.5) if heavy else (1.5, 8.5)))
        micro.follow(before, after)
        before = after
    assert gain(micro, top(1000, 8.5, 1.5)) == pytest.approx(sum(0.5**n for n in range(6)), abs=0.1)


def test_where_imbalance_says_nothing_it_is_the_mid_price() -> None:
    micro = walked(2, 4000, 0.5)
    assert gain(micro, top(1000, 8.5, 1.5)) == pytest.approx(0.0, abs=0.06)


def test_a_state_from_which_no_move_was_seen_is_unknown() -> None:
    micro = walked(1, 400, 0.9)
    assert isnan(gain(micro, top(1000, 8.5, 1.5, width=3)))


def test_a_fit_holds_for_a_while() -> None:
    micro = walked(1, 200, 0.9)
    before = gain(micro, top(1000, 8.5, 1.5))
    for n in range(50):
        micro.follow(top(1000 + n, 8.5, 1.5), top(999 + n, 5.0, 4.6))
    assert gain(micro, top(1000, 8.5, 1.5)) == before
    here = top(1000, 8.5, 1.5)
    assert (micro.price(REFIT_NS, here, mid(here)) - mid(here)) / TICK < before


def test_a_narrower_spread_makes_all_anew() -> None:
    micro = MicroPrice()
    for n in range(MOVES):
        micro.follow(top(n, 1.0, 1.0, width=4), top(n + 1, 1.0, 1.0, width=4))
    assert not isnan(gain(micro, top(5, 1.0, 1.0, width=4)))
    micro.follow(top(5, 1.0, 1.0, width=4), top(5, 1.0, 1.0, width=1))
    assert isnan(gain(micro, top(5, 1.0, 1.0, width=4)))


def test_the_past_fades(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dolphin_mp.workers.books.stoikov.MEMORY", 1000)
    assert MEMORY == 100_000
    micro = walked(1, 20_000, 0.9)
    assert sum(micro._counts.values()) <= 1001


def crossing(micro: MicroPrice, count: int) -> None:
    """The imbalance wanders through all states, and the price does not move."""
    for n in range(count):
        before, after = (top(1000, float(k % 10) + 0.5, 9.5 - k % 10) for k in (7 * n, 7 * n + 7))
        micro.follow(before, after)


def test_moves_that_faded_away_leave_no_price_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dolphin_mp.workers.books.stoikov.MEMORY", 40)
    micro = walked(1, 400, 0.9)
    now = 0
    for _ in range(2000):  # 2,000 halvings: more than a float has exponents
        crossing(micro, 20)
        now += REFIT_NS
        here = top(1000, 8.5, 1.5)
        told = micro.price(now, here, mid(here))
        assert isnan(told) or abs(told - mid(here)) < 10 * TICK
    assert isnan(told)
    micro = walked(2, 400, 0.9)
    assert not isnan(gain(micro, here))


def test_what_can_not_be_solved_is_unknown() -> None:
    counts = {(0, 3, False): 1.0, (3, 0, False): 1.0, (0, 0, True): 1e-300, (0, 27, True): 1e-300}
    assert all(map(isnan, _fit(counts, [0.0] * 30)))
