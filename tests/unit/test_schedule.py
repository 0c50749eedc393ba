"""Schedules in worlds whose clocks the tests set: UTC as people read it, and time that passes."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from dolphin_mp.plan import SchedulePlan
from dolphin_mp.process.schedule import MOST_COUNTED, SECOND, CronDues, Timetable

MINUTE, HOUR = 60, 3600


def ns(text, zone="UTC"):
    """The ns of a wall clock's "2024-03-31 01:30"; a final ! is the second of two such times."""
    moment = datetime.fromisoformat(text.rstrip("!")).replace(tzinfo=ZoneInfo(zone), fold=text.endswith("!"))
    return round(moment.timestamp()) * SECOND


def shown(time_ns, zone="UTC"):
    moment = datetime.fromtimestamp(time_ns / SECOND, ZoneInfo(zone))
    return f"{moment:%m-%d %H:%M}" + ("!" if moment.fold else "")


class World:
    """A machine's clocks and a component that is woken when it asked for it."""

    def __init__(self, start, zone="UTC", last=None, **schedule):
        self.zone = zone
        self.wall = ns(start, zone)
        self.boot = 1000 * SECOND
        self.plan = SchedulePlan(timezone=zone, **schedule)
        self.table = Timetable(self.plan, self.wall, self.boot, ns(last, zone) if last else None)
        self.ran = []

    def pass_time(self, seconds):
        self.wall += round(seconds * SECOND)
        self.boot += round(seconds * SECOND)

    def step_clock(self, seconds):
        self.wall += round(seconds * SECOND)

    def look(self, takes=0):
        """Look once, and run what is due; gives whether something ran."""
        due = self.table.look(self.wall, self.boot)
        if due is None or not due.runs:
            return False
        self.ran.append(shown(self.wall, self.zone))
        self.pass_time(takes)
        self.table.ended(self.wall, self.boot)
        return True

    def until(self, end, takes=0):
        """Sleep from due to due until a time; gives when it ran."""
        began = len(self.ran)
        while self.table.due_ns <= ns(end, self.zone):
            self.pass_time(max(0, (self.table.due_ns - self.wall) / SECOND))
            self.look(takes)
        self.pass_time((ns(end, self.zone) - self.wall) / SECOND)
        return self.ran[began:]


def hours(day, first, last):
    return [f"{day} {hour:02}:00" for hour in range(first, last + 1)]


class TestCron:
    def test_the_first_run_is_the_next_one_after_the_start(self):
        world = World("2024-05-01 12:03", cron="*/10 * * * *")
        assert not world.look()
        assert world.until("2024-05-01 12:30") == ["05-01 12:10", "05-01 12:20", "05-01 12:30"]

    def test_a_start_at_the_very_due_waits_for_the_next(self):
        world = World("2024-05-01 12:10", cron="*/10 * * * *")
        assert world.until("2024-05-01 12:20") == ["05-01 12:20"]

    def test_the_29th_of_february_is_there_every_fourth_year(self):
        world = World("2024-02-01 00:00", cron="30 6 29 2 *")
        assert shown(world.table.due_ns) == "02-29 06:30"
        world.until("2024-03-01 00:00")
        assert world.table.due_ns == ns("2028-02-29 06:30")

    def test_the_day_after_the_28th_is_the_29th_in_a_leap_year(self):
        world = World("2024-02-28 00:00", cron="0 0 * * *")
        assert world.until("2024-03-01 00:00") == ["02-29 00:00", "03-01 00:00"]

    def test_a_time_zone_has_its_own_midnight(self):
        world = World("2024-05-01 12:00", "Asia/Tokyo", cron="0 0 * * *")
        assert world.table.due_ns == ns("2024-05-01 15:00")


# each: zone, the day's eve, the day; clocks go forward at 01:00 (London) and 02:00 (New York)
FORWARD = [("Europe/London", "2024-03-31", "01"), ("America/New_York", "2024-03-10", "02")]
BACK = [("Europe/London", "2024-10-27", "01"), ("America/New_York", "2024-11-03", "01")]


@pytest.mark.parametrize(("zone", "day", "hour"), FORWARD)
class TestTheHourThatIsLeftOut:
    def test_what_names_it_runs_once_at_its_end(self, zone, day, hour):
        world = World(f"{day} 00:00", zone, cron=f"30 {int(hour)} * * *")
        assert world.until(f"{day} 23:59") == [f"{day[5:]} {int(hour) + 1:02}:00"]
        assert shown(world.table.due_ns, zone).endswith(f"{hour}:30")

    def test_two_times_in_it_are_one_run(self, zone, day, hour):
        world = World(f"{day} 00:00", zone, cron=f"15,30,45 {int(hour)} * * *")
        assert world.until(f"{day} 23:59") == [f"{day[5:]} {int(hour) + 1:02}:00"]

    def test_what_runs_each_hour_runs_23_times(self, zone, day, hour):
        world = World(f"{day} 00:00", zone, cron="0 * * * *")
        ran = [f"{day[5:]} 00:00", *world.until(f"{day} 23:59")]
        assert ran == [time for time in hours(day[5:], 0, 23) if time != f"{day[5:]} {hour}:00"]

    def test_a_daily_run_comes_23_hours_after_the_last(self, zone, day, hour):
        world = World(f"{day} 00:00", zone, cron="0 8 * * *", last=f"{day} 00:00")
        before = ns(f"{day} 08:00", zone) - 23 * HOUR * SECOND
        assert world.table.due_ns - before == 23 * HOUR * SECOND
        assert shown(before, zone).endswith("08:00")

    def test_a_period_knows_nothing_of_it(self, zone, day, hour):
        world = World(f"{day} 00:00", zone, period_s=30 * MINUTE)
        count = len(world.until(f"{day} 23:59"))
        assert count == 45


@pytest.mark.parametrize(("zone", "day", "hour"), BACK)
class TestTheHourThatComesTwice:
    def test_what_names_it_runs_the_first_time_only(self, zone, day, hour):
        world = World(f"{day} 00:00", zone, cron=f"30 {int(hour)} * * *")
        assert world.until(f"{day} 23:59") == [f"{day[5:]} {hour}:30"]

    def test_it_is_not_caught_up_on_by_a_start_in_the_second_one(self, zone, day, hour):
        world = World(f"{day} {hour}:10!", zone, cron=f"30 {int(hour)} * * *")
        assert world.table.due_ns > ns(f"{day} 23:59", zone)

    def test_what_runs_each_hour_runs_25_times(self, zone, day, hour):
        world = World(f"{day} 00:00", zone, cron="0 * * * *")
        ran = [f"{day[5:]} 00:00", *world.until(f"{day} 23:59")]
        assert sorted(ran) == sorted([*hours(day[5:], 0, 23), f"{day[5:]} {hour}:00!"])

    def test_what_has_a_star_in_the_minute_runs_in_both(self, zone, day, hour):
        world = World(f"{day} 00:00", zone, cron=f"*/30 {int(hour)} * * *")
        times = [f"{day[5:]} {hour}:{minute}{fold}" for fold in ("", "!") for minute in ("00", "30")]
        assert world.until(f"{day} 23:59") == times

    def test_a_period_knows_nothing_of_it(self, zone, day, hour):
        world = World(f"{day} 00:00", zone, period_s=30 * MINUTE)
        assert len(world.until(f"{day} 23:59")) == 49


class TestPeriods:
    def test_an_aligned_one_counts_from_1970(self):
        world = World("2024-05-01 09:17", period_s=4 * HOUR)
        assert world.until("2024-05-01 21:00") == ["05-01 12:00", "05-01 16:00", "05-01 20:00"]

    def test_one_from_the_start_begins_now(self):
        world = World("2024-05-01 09:17", period_s=4 * HOUR, aligned=False)
        assert world.until("2024-05-01 18:00") == ["05-01 09:17", "05-01 13:17", "05-01 17:17"]

    def test_one_from_the_start_goes_on_from_the_last_run(self):
        world = World("2024-05-01 12:00", period_s=4 * HOUR, aligned=False, last="2024-05-01 09:17")
        assert world.until("2024-05-01 18:00") == ["05-01 13:17", "05-01 17:17"]

    @pytest.mark.parametrize("step_s", [-5 * HOUR, -1, 0.001, HOUR, 400 * 24 * HOUR])
    def test_one_from_the_start_counts_what_passes_whatever_the_clock_says(self, step_s):
        world = World("2024-05-01 09:00", period_s=4 * HOUR, aligned=False)
        assert world.look()
        world.pass_time(HOUR)
        world.step_clock(step_s)
        assert not world.look()
        world.pass_time(3 * HOUR - 1)
        assert not world.look()
        world.pass_time(1)
        assert world.look()

    def test_one_from_the_start_whose_last_run_lies_ahead_begins_again(self):
        world = World("2024-05-01 12:00", period_s=HOUR, aligned=False, last="2030-01-01 00:00")
        assert world.until("2024-05-01 14:00") == ["05-01 13:00", "05-01 14:00"]


class TestOverlap:
    def test_what_comes_due_during_a_run_is_left_out(self):
        world = World("2024-05-01 12:00", cron="*/10 * * * *", missed="run-once")
        assert world.until("2024-05-01 13:00", takes=25 * MINUTE) == ["05-01 12:10", "05-01 12:40"]
        assert world.table.missed == 4

    def test_a_run_that_ends_in_time_leaves_nothing_out(self):
        world = World("2024-05-01 12:00", cron="*/10 * * * *")
        assert len(world.until("2024-05-01 13:00", takes=9 * MINUTE)) == 6
        assert world.table.missed == 0


class TestSuspend:
    """Nothing runs; both clocks go on."""

    @pytest.mark.parametrize(("missed", "ran"), [("skip", []), ("run-once", ["05-01 08:30"])])
    def test_what_came_due_in_it_is_missed(self, missed, ran):
        world = World("2024-04-30 22:00", cron="0 8 * * *", missed=missed)
        world.pass_time(10.5 * HOUR)
        world.look()
        assert world.ran == ran
        assert world.until("2024-05-02 08:00") == ["05-02 08:00"]

    def test_of_several_missed_the_last_runs(self):
        world = World("2024-04-30 22:00", cron="0 * * * *", missed="run-once")
        world.pass_time(10.5 * HOUR)
        assert world.look()
        assert not world.look()
        assert world.table.missed == 9
        assert shown(world.table.handled_ns) == "05-01 08:00"

    @pytest.mark.parametrize(("late", "runs"), [(60, True), (61, False)])
    def test_up_to_a_minute_late_is_in_time(self, late, runs):
        world = World("2024-05-01 07:59", cron="0 8 * * *")
        world.pass_time(MINUTE + late)
        assert world.look() is runs
        assert world.table.missed == (not runs)


class TestDowntime:
    def test_with_nothing_known_nothing_was_missed(self):
        world = World("2024-05-01 08:00", cron="59 7 * * *", missed="run-once")
        assert not world.look()

    @pytest.mark.parametrize(("missed", "ran"), [("skip", []), ("run-once", ["05-01 12:00"])])
    def test_what_came_due_in_it_is_missed(self, missed, ran):
        world = World("2024-05-01 12:00", cron="0 8 * * *", missed=missed, last="2024-04-28 08:00")
        world.look()
        assert world.ran == ran
        assert world.until("2024-05-02 09:00") == ["05-02 08:00"]

    def test_a_due_that_has_run_is_not_run_again(self):
        world = World("2024-05-01 08:00", cron="0 8 * * *", missed="run-once", last="2024-05-01 08:00")
        world.pass_time(5)
        assert not world.look()

    def test_a_restart_that_takes_seconds_misses_nothing(self):
        world = World("2024-05-01 08:00", cron="0 8 * * *", last="2024-04-30 08:00")
        world.pass_time(12)
        assert world.look()

    def test_years_of_it_are_counted_to_a_limit_and_the_last_due_is_right(self):
        world = World("2024-05-01 08:00", cron="*/5 9-17 * * 1-5", missed="run-once", last="2021-01-04 09:00")
        assert world.look()
        assert shown(world.table.handled_ns) == "04-30 17:55"
        assert world.table.missed == MOST_COUNTED - 1
        assert shown(world.table.due_ns) == "05-01 09:00"

    def test_so_it_is_for_what_comes_seldom(self):
        world = World("2024-05-01 08:00", cron="* * 1 1 *", missed="run-once", last="2020-01-01 00:00")
        assert world.look()
        assert shown(world.table.handled_ns) == "01-01 23:59"
        world = World("2024-05-01 08:00", period_s=1, missed="run-once", last="2020-01-01 00:00")
        assert world.look()
        assert world.table.handled_ns == world.wall


class TestAClockThatIsSetForward:
    @pytest.mark.parametrize(("missed", "ran"), [("skip", []), ("run-once", ["05-01 09:30"])])
    def test_what_it_leaps_over_is_missed(self, missed, ran):
        world = World("2024-05-01 07:30", cron="0 8 * * *", missed=missed)
        world.step_clock(2 * HOUR)
        world.look()
        assert world.ran == ran

    def test_a_leap_onto_a_due_runs_it(self):
        world = World("2024-05-01 07:30", cron="0 8 * * *")
        world.step_clock(HOUR / 2)
        assert world.look()


class TestAClockThatIsSetBack:
    def test_a_named_time_is_not_repeated(self):
        world = World("2024-05-01 07:59", cron="0 8 * * *")
        world.until("2024-05-01 08:05")
        world.step_clock(-2 * HOUR)
        assert not world.look()
        assert world.until("2024-05-02 09:00") == ["05-02 08:00"]

    def test_a_named_time_that_has_not_come_yet_comes_later(self):
        world = World("2024-05-01 07:59", cron="0 8 * * *")
        world.step_clock(-2 * HOUR)
        world.look()
        assert world.until("2024-05-01 09:00") == ["05-01 08:00"]

    def test_three_hours_and_more_are_a_correction(self):
        world = World("2024-05-01 07:59", cron="0 8 * * *")
        world.until("2024-05-01 08:00")
        world.step_clock(-24 * HOUR)
        world.look()
        assert world.until("2024-05-01 09:00") == ["05-01 08:00"]

    def test_a_star_goes_by_the_new_time_at_once(self):
        world = World("2024-05-01 11:59", cron="*/10 * * * *")
        world.until("2024-05-01 12:05")
        world.step_clock(-HOUR)
        world.look()
        assert world.until("2024-05-01 11:25") == ["05-01 11:10", "05-01 11:20"]

    def test_a_little_never_makes_a_due_run_twice(self):
        world = World("2024-05-01 11:59", cron="*/10 * * * *")
        world.until("2024-05-01 12:00")
        world.step_clock(-0.5)
        assert not world.look()
        assert world.until("2024-05-01 12:20") == ["05-01 12:10", "05-01 12:20"]

    def test_a_year_in_the_future_is_not_waited_for(self):
        world = World("2030-05-01 07:59", cron="0 8 * * *")
        world.look()
        world.step_clock((ns("2024-05-01 07:00") - world.wall) / SECOND)
        world.look()
        assert world.table.due_ns == ns("2024-05-01 08:00")

    def test_a_last_run_that_lies_ahead_was_written_by_a_wrong_clock(self):
        world = World("2024-05-01 07:00", cron="0 8 * * *", last="2030-01-01 08:00", missed="run-once")
        assert world.until("2024-05-01 09:00") == ["05-01 08:00"]


@pytest.mark.parametrize("cron", ["0 8 * * *", "*/10 * * * *", "30 1,2 * * 0", "15 */3 * * *"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/London", "America/New_York"])
def test_over_months_no_due_comes_twice_and_none_goes_back(cron, zone):
    world = World("2024-01-01 00:00", zone, cron=cron)
    dues = []
    while world.table.due_ns < ns("2024-04-15 00:00"):
        dues.append(world.table.due_ns)
        world.pass_time((world.table.due_ns - world.wall) / SECOND)
        assert world.look()
    assert dues == sorted(set(dues))
    assert world.table.missed == 0


def fields(text, low, high):
    """The numbers of a cron field made of stars, steps and lists."""
    found = set()
    for part in text.split(","):
        base, _, step = part.partition("/")
        found |= set(range(low, high + 1, int(step or 1))) if base == "*" else {int(base)}
    return found


@pytest.mark.parametrize("cron", ["*/10 1,2 * * *", "5 */2 * * *", "*/20 * * * *", "0,30 * 10,27,31 * *"])
@pytest.mark.parametrize(("zone", "day"), [(zone, day) for zone, day, _ in FORWARD + BACK])
def test_what_has_a_star_in_minute_or_hour_is_due_whenever_the_local_time_fits(cron, zone, day):
    texts = cron.split()
    minute, hour, days = fields(texts[0], 0, 59), fields(texts[1], 0, 23), fields(texts[2], 1, 31)
    dues = CronDues(cron, ZoneInfo(zone))
    at, end = ns(f"{day} 00:00", zone) - 12 * HOUR * SECOND, ns(f"{day} 23:00", zone)
    expected = [
        shown(time_ns, zone)
        for time_ns in range(at + MINUTE * SECOND, end, MINUTE * SECOND)
        if (local := datetime.fromtimestamp(time_ns / SECOND, ZoneInfo(zone))).minute in minute
        and local.hour in hour
        and local.day in days
    ]
    found = []
    while (at := dues.after(at)) < end:
        found.append(shown(at, zone))
    assert found == expected
