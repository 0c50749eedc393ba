"""PURE: when a component with a schedule is due; the clocks are read by who asks.

Times are ns of UTC ("wall") since 1970, but for ``boot_ns``, CLOCK_BOOTTIME, which goes on in suspend and is
never set. What a schedule does when clocks misbehave:

- *Daylight saving*: cronsim follows Debian's cron(8). What names an hour and a minute runs once a day: in the
  hour that is left out, at that hour's end; in the hour that comes twice, the first time. What has a ``*`` in
  the minute or hour goes by the time that passes: not in the first, in both of the second. Periods know UTC
  alone.
- *Forward*, by a step of the clock or in suspend: what came due meanwhile is late. Not more than
  `ON_TIME_NS`, it runs; else ``missed`` says whether its last one does.
- *Back*: what names an hour and a minute is not repeated, up to `REPEAT_NS`, and nothing is up to
  `ON_TIME_NS`; all else goes by the new time at once.
- A period from the start (``aligned = false``) counts time that passes and heeds no step at all.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from datetime import tzinfo

    from dolphin_mp.plan import SchedulePlan

SECOND = 1_000_000_000
ON_TIME_NS = 60 * SECOND  # chosen: cron's own grain
REPEAT_NS = 3 * 3600 * SECOND  # Source: cron(8): a step of three hours and more is a correction
MOST_COUNTED = 1000  # runs missed in a row; beyond, `missed` is too low
_WINDOWS_NS = tuple(days * 86400 * SECOND for days in (1 / 24, 1, 31, 366, 3660, 36600))


class Dues(Protocol):
    """An endless row of due times; `repeats`: a clock that was set back makes it run again."""

    repeats: bool

    def after(self, ns: int) -> int:
        """Give the first due after a time."""

    def latest(self, ns: int, known: int) -> int:
        """Give the last due up to a time; `known` is one of them."""


class CronDues:
    """The dues of a cron expression of five fields."""

    def __init__(self, expression: str, zone: tzinfo) -> None:
        minute, hour = expression.split()[:2]
        self.repeats = minute.startswith("*") or hour.startswith("*")
        self._expression = expression
        self._zone = zone

    def after(self, ns: int) -> int:
        """Give the first due after a time."""
        from cronsim import CronSim

        began = datetime.fromtimestamp(ns // SECOND, self._zone)
        # Begun in the fold's second hour, cronsim also gives what was due in the first one.
        moments = (int(due.timestamp()) * SECOND for due in CronSim(self._expression, began))
        return next(due for due in moments if due > ns)

    def latest(self, ns: int, known: int) -> int:
        """Give the last due up to a time, looking back no further than needed."""
        for width in _WINDOWS_NS:
            due = self.after(max(known, ns - round(width)))
            if due <= ns:
                break
        else:
            return known
        while (later := self.after(due)) <= ns:
            due = later
        return due


class PeriodDues:
    """The dues of a period: whole numbers of it from an origin."""

    repeats = True

    def __init__(self, period_ns: int, origin_ns: int = 0) -> None:
        self.period_ns = period_ns
        self.origin_ns = origin_ns

    def after(self, ns: int) -> int:
        """Give the first due after a time."""
        return ns + self.period_ns - (ns - self.origin_ns) % self.period_ns

    def latest(self, ns: int, known: int) -> int:
        """Give the last due up to a time."""
        return max(known, ns - (ns - self.origin_ns) % self.period_ns)


def zone_of(name: str) -> tzinfo:
    """Give a time zone; raises ValueError or zoneinfo.ZoneInfoNotFoundError (a KeyError)."""
    if name == "UTC":
        return UTC  # cronsim is quicker with it, and it needs no files
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


class Due(NamedTuple):
    """What has come due: whether to run now, for which due, how many are missed, and how late this is."""

    runs: bool
    due_ns: int
    missed: int
    late_ns: int


class Timetable:
    """Says when the next run is due, and what to do about those that could not be.

    Args:
        plan: the schedule.
        wall_ns: now.
        boot_ns: now.
        last_ns: the due of the last run before now, by whatever process; None if there was none.

    Attributes: due_ns (the next); handled_ns (the last one that was dealt with, or None); missed (so far).
    """

    def __init__(self, plan: SchedulePlan, wall_ns: int, boot_ns: int, last_ns: int | None = None) -> None:
        self.missed = 0
        self.handled_ns = last_ns
        self._runs_missed = plan.missed == "run-once"
        self._seen_ns = wall_ns
        self._offset_ns = wall_ns - boot_ns
        self._floats: PeriodDues | None = None
        if plan.period_s is None:
            self._dues: Dues = CronDues(plan.cron, zone_of(plan.timezone))
        elif plan.aligned:
            self._dues = PeriodDues(round(plan.period_s * SECOND))
        else:  # its first run is now; one that lies ahead was written down before the clock was set back
            last_ns = self.handled_ns = None if last_ns is None else min(last_ns, wall_ns)
            origin_ns = wall_ns if last_ns is None else last_ns
            self._dues = self._floats = PeriodDues(round(plan.period_s * SECOND), origin_ns)
        begins = self._floats is not None and last_ns is None
        self.due_ns = wall_ns if begins else self._first(wall_ns)

    def look(self, wall_ns: int, boot_ns: int) -> Due | None:
        """Tell what has come due by now, if anything; the next one becomes due."""
        self._follow(wall_ns, boot_ns)
        if wall_ns < self.due_ns:
            return None
        count = self._pass(wall_ns)
        due_ns = self.handled_ns or 0
        late_ns = wall_ns - due_ns
        runs = late_ns <= ON_TIME_NS or self._runs_missed
        self.missed += count - runs
        return Due(runs, due_ns, count - runs, late_ns)

    def ended(self, wall_ns: int, boot_ns: int) -> int:
        """Hear that a run has ended: what came due meanwhile is left out; gives how many those are."""
        self._follow(wall_ns, boot_ns)
        count = self._pass(wall_ns) if wall_ns >= self.due_ns else 0
        self.missed += count
        return count

    def _first(self, wall_ns: int) -> int:
        """Give the first due that was not dealt with."""
        last_ns = self.handled_ns
        if last_ns is None:
            return self._dues.after(wall_ns)
        is_ahead = last_ns > wall_ns
        if not is_ahead or (not self._dues.repeats and last_ns - wall_ns < REPEAT_NS):
            return self._dues.after(last_ns)
        is_slight = last_ns - wall_ns <= ON_TIME_NS  # as a time server may set it just after a run
        return self._dues.after(last_ns if is_slight else wall_ns)

    def _pass(self, wall_ns: int) -> int:
        """Go past all dues up to now; gives how many they are, to a limit."""
        due_ns, count = self.due_ns, 1
        while (later := self._dues.after(due_ns)) <= wall_ns:
            if count == MOST_COUNTED:
                due_ns = self._dues.latest(wall_ns, due_ns)
                later = self._dues.after(due_ns)
                break
            due_ns, count = later, count + 1
        self.handled_ns, self.due_ns = due_ns, later
        return count

    def _follow(self, wall_ns: int, boot_ns: int) -> None:
        """Heed what was done to the clock since the last look."""
        step_ns = wall_ns - boot_ns - self._offset_ns
        self._offset_ns += step_ns
        if self._floats is not None:
            self._floats.origin_ns += step_ns
            self.due_ns += step_ns
            if self.handled_ns is not None:
                self.handled_ns += step_ns
        elif wall_ns < self._seen_ns:
            self.due_ns = self._first(wall_ns)
        self._seen_ns = wall_ns
