from __future__ import annotations

import time
from random import Random

import pytest

from dolphin_mp.workers.feeds.backoff import Backoff
from dolphin_mp.workers.feeds.clock import FeedClock
from dolphin_mp.workers.feeds.fetch import retry_after
from dolphin_mp.workers.feeds.rates import Window

SECOND = 1_000_000_000


def test_delays_double_up_to_a_minute_and_are_jittered() -> None:
    backoff = Backoff(Random(3))
    delays = [backoff.next_s() for _ in range(9)]
    for delay, most in zip(delays, [1, 2, 4, 8, 16, 32, 60, 60, 60], strict=True):
        assert most / 2 <= delay <= most
    backoff.reset()
    assert backoff.next_s() <= 1.0
    assert len({Backoff(Random(seed)).next_s() for seed in range(9)}) == 9


def test_a_window_is_free_until_it_is_full_and_when_the_first_has_left_it() -> None:
    window = Window(2, 10.0)
    assert window.free_s(0.0) == 0.0
    window.spend(0.0)
    assert (window.free_s(1.0), window.free_s(1.0, 1)) == (1.0, 10.0)  # one is free, and no second
    window.spend(1.0)
    assert window.free_s(2.0) == 10.0
    assert window.free_s(10.0) == 10.0
    assert window.free_s(10.5, 1) == 11.0


def test_a_window_that_is_blocked_is_not_free_before() -> None:
    window = Window(0, 1.0)
    for _ in range(99):
        window.spend(0.0)
    assert window.free_s(0.0) == 0.0
    window.block(7.0)
    window.block(5.0)
    assert window.free_s(1.0) == 7.0
    assert window.free_s(8.0) == 8.0


def test_a_window_of_one_has_nothing_to_spare() -> None:
    window = Window(1, 1.0)
    assert window.free_s(0.0, 1) == 0.0


class Clocks:
    wall, monotonic = 1_000 * SECOND, 5 * SECOND


def clock_of(clocks: Clocks) -> FeedClock:
    return FeedClock(lambda: clocks.wall, lambda: clocks.monotonic)


def test_the_feeds_time_is_the_wall_clocks_and_its_pace_the_monotonic_ones() -> None:
    clocks = Clocks()
    clock = clock_of(clocks)
    assert clock.now_ns() == 1_000 * SECOND
    clocks.monotonic += 3 * SECOND
    clocks.wall -= 900 * SECOND  # somebody sets it back
    assert clock.now_ns() == 1_003 * SECOND


def test_no_two_times_are_equal() -> None:
    clock = clock_of(Clocks())
    assert [clock.now_ns() - 1_000 * SECOND for _ in range(3)] == [0, 1, 2]


def test_a_clock_set_forward_is_taken_over_where_it_does_no_harm_and_one_set_back_never() -> None:
    clocks = Clocks()
    clock = clock_of(clocks)
    clocks.wall += 50 * SECOND
    assert clock.now_ns() == 1_000 * SECOND
    clock.set()
    assert clock.now_ns() == 1_050 * SECOND
    clocks.wall -= 500 * SECOND
    clock.set()
    clocks.monotonic += SECOND
    assert clock.now_ns() == 1_051 * SECOND


def test_an_age_survives_a_suspension(monkeypatch: pytest.MonkeyPatch) -> None:
    running = time.clock_gettime_ns
    suspended = {time.CLOCK_BOOTTIME: 3_600 * SECOND}  # an hour of which no other clock knows
    clock = FeedClock()
    begun_ns = clock.now_ns()
    monkeypatch.setattr(time, "clock_gettime_ns", lambda which: running(which) + suspended.get(which, 0))
    assert clock.now_ns() - begun_ns >= 3_600 * SECOND


def test_a_clock_goes_on_after_what_was_recorded_before() -> None:
    clocks = Clocks()
    clock = clock_of(clocks)
    assert clock.go_on_after(900 * SECOND) == 0.0
    assert clock.go_on_after(1_500 * SECOND) == pytest.approx(500.0)
    assert clock.now_ns() == 1_500 * SECOND + 1
    clocks.monotonic += 2 * SECOND
    assert clock.now_ns() == 1_502 * SECOND + 1
    clocks.wall += 700 * SECOND
    clock.set()
    assert clock.now_ns() == 1_700 * SECOND


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [("7", 7.0), (" 30 ", 30.0), (None, 0.0), ("", 0.0), ("soon", 0.0), ("-3", 0.0), ("9" * 30, 86_400.0)],
)
def test_a_server_says_how_long_to_wait_in_seconds_or_not_at_all(text: str | None, wait_s: float) -> None:
    assert retry_after(text) == wait_s
