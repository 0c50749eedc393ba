"""A component's rhythm with clocks that the tests set."""

import logging

import pytest

from dolphin_mp.plan import ComponentPlan, SchedulePlan
from dolphin_mp.process.rhythm import LOOK_AGAIN_NS, Clocks, rhythm_of
from dolphin_mp.process.schedule import SECOND

EIGHT = 1714550400 * SECOND  # 2024-05-01 08:00 UTC
HOUR = 3600


class Machine:
    def __init__(self, wall_ns=EIGHT - HOUR * SECOND):
        self.wall_ns, self.boot_ns, self.monotonic_ns = wall_ns, 2000 * SECOND, 1000 * SECOND
        self.clocks = Clocks(lambda: self.wall_ns, lambda: self.boot_ns, lambda: self.monotonic_ns)

    def pass_time(self, seconds):
        self.suspend(seconds)
        self.monotonic_ns += round(seconds * SECOND)

    def suspend(self, seconds):
        self.wall_ns += round(seconds * SECOND)
        self.boot_ns += round(seconds * SECOND)


@pytest.fixture
def rhythm(tmp_path):
    def rhythm(machine, **plan):
        schedule = plan.pop("schedule", None)
        part = ComponentPlan("c", "m:C", "c", b"", schedule=schedule and SchedulePlan(**schedule), **plan)
        return rhythm_of(part, str(tmp_path / "c.json"), logging.getLogger("c"), machine.clocks)

    return rhythm


def run(rhythm, machine, takes=0.0):
    rhythm.begin()
    machine.pass_time(takes)
    rhythm.end()


def test_without_a_time_it_sleeps_for_ever(rhythm):
    never = rhythm(Machine())
    assert (never.wake_ns(), never.take(), never.missed, never.overrun()) == (-1, False, 0, "")


def test_beats_heed_no_wall_clock(rhythm):
    machine = Machine()
    beats = rhythm(machine, every_s=0.5)
    assert beats.take()
    machine.wall_ns += 10**15
    assert not beats.take()
    assert beats.wake_ns() == machine.monotonic_ns + SECOND // 2
    machine.pass_time(1.6)
    assert beats.take()
    assert beats.missed == 2


def test_a_schedule_is_slept_for_in_short_stretches_and_to_the_ns(rhythm):
    machine = Machine()
    daily = rhythm(machine, schedule={"cron": "0 8 * * *"})
    assert daily.wake_ns() == machine.monotonic_ns + LOOK_AGAIN_NS
    machine.pass_time(HOUR - 0.25)
    assert not daily.take()
    assert daily.wake_ns() == machine.monotonic_ns + SECOND // 4
    machine.pass_time(0.25)
    assert daily.wake_ns() == machine.monotonic_ns
    assert daily.take()


def test_after_a_suspend_what_is_due_is_seen_within_one_stretch(rhythm):
    machine = Machine()
    daily = rhythm(machine, schedule={"cron": "0 8 * * *", "missed": "run-once"})
    asleep_until = daily.wake_ns()
    machine.suspend(5 * HOUR)
    machine.pass_time((asleep_until - machine.monotonic_ns) / SECOND)
    assert daily.take()


def test_a_crash_in_a_run_is_a_missed_run_only_if_missed_ones_are_wanted(rhythm):
    for missed, wanted in (("skip", False), ("run-once", True)):
        machine = Machine()
        first = rhythm(machine, schedule={"cron": "0 8 * * *", "missed": missed})
        machine.pass_time(HOUR)
        assert first.take()
        first.begin()
        machine.pass_time(5)
        successor = rhythm(machine, schedule={"cron": "0 8 * * *", "missed": missed})
        assert successor.take() is wanted


def test_a_run_that_has_ended_is_not_missed_by_a_successor(rhythm):
    machine = Machine()
    schedule = {"cron": "0 8 * * *", "missed": "run-once"}
    first = rhythm(machine, schedule=schedule)
    machine.pass_time(HOUR)
    assert first.take()
    run(first, machine, 30)
    assert not rhythm(machine, schedule=schedule).take()


def test_what_came_due_during_a_run_is_not_missed_by_a_successor_either(rhythm, caplog):
    machine = Machine()
    schedule = {"cron": "*/10 * * * *", "missed": "run-once"}
    first = rhythm(machine, schedule=schedule)
    machine.pass_time(HOUR)
    assert first.take()
    run(first, machine, 25 * 60)
    assert first.missed == 7
    assert "2 run(s) came due while one was in progress" in caplog.text
    assert not rhythm(machine, schedule=schedule).take()


def test_what_was_missed_in_downtime_is_told(rhythm, caplog):
    machine = Machine()
    schedule = {"cron": "0 8 * * *"}
    first = rhythm(machine, schedule=schedule)
    machine.pass_time(HOUR)
    assert first.take()
    run(first, machine)
    machine.pass_time(49 * HOUR)
    assert not rhythm(machine, schedule=schedule).take()
    assert "2 run(s) missed, the last 3600 s ago: left out" in caplog.text


def test_a_run_over_its_deadline_is_told_time_in_suspend_does_not_count(rhythm):
    machine = Machine()
    daily = rhythm(machine, schedule={"cron": "0 8 * * *", "deadline_s": 300.0})
    machine.pass_time(HOUR)
    assert daily.overrun() == ""
    assert daily.take()
    daily.begin()
    machine.suspend(HOUR)
    machine.pass_time(300)
    assert daily.overrun() == ""
    machine.pass_time(1)
    assert daily.overrun() == "over its deadline: 301.0 of 300 s"
    daily.end()
    assert daily.overrun() == ""
