"""When a component steps by time: on a grid of beats, by a schedule, or never; here the clocks are read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from dolphin_mp.ipc import _core
from dolphin_mp.process.beat import Beat
from dolphin_mp.process.runs import RunBook, Runs
from dolphin_mp.process.schedule import ON_TIME_NS, SECOND, Timetable

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger

    from dolphin_mp.plan import ComponentPlan, SchedulePlan
    from dolphin_mp.process.schedule import Due

# A wait is on CLOCK_MONOTONIC, for it is on futexes too; a timerfd that tells of steps of the clock can't be
# waited for with them. So nobody sleeps longer than this without a look at the wall clock. Chosen: the
# process wakes each second anyway for its sample, and a clock's slewing of 500 ppm makes 5 ms of it.
LOOK_AGAIN_NS = 10 * SECOND


class Clocks(NamedTuple):
    """What tells the time, in ns: of UTC, CLOCK_BOOTTIME, CLOCK_MONOTONIC."""

    wall: Callable[[], int] = time.time_ns
    boot: Callable[[], int] = _core.boottime_ns
    monotonic: Callable[[], int] = time.monotonic_ns


class Rhythm(Protocol):
    """Says when steps by time are due; `missed` are those that could not be."""

    @property
    def missed(self) -> int:
        """How many steps could not be made in time."""

    def wake_ns(self) -> int:
        """Give until when one may sleep, CLOCK_MONOTONIC; -1 is for ever."""

    def take(self) -> bool:
        """Tell whether a step is due; if so it is taken, and the next becomes due."""

    def begin(self) -> None:
        """Hear that the step taken begins."""

    def end(self) -> None:
        """Hear that it has returned."""

    def overrun(self) -> str:
        """Say that the step has taken longer than it may, or nothing; asked from another thread."""


class Never:
    """No steps by time."""

    missed = 0

    def wake_ns(self) -> int:
        """For ever."""
        return -1

    def take(self) -> bool:
        """Never."""
        return False

    def begin(self) -> None:
        """Does not happen."""

    def end(self) -> None:
        """Does not happen."""

    def overrun(self) -> str:
        """Nothing to say."""
        return ""


class Beats(Never):
    """A step every so often, whatever the wall clock says."""

    def __init__(self, period_s: float, clocks: Clocks) -> None:
        self._now = clocks.monotonic
        self._beat = Beat(max(1, round(period_s * SECOND)), self._now())

    @property
    def missed(self) -> int:  # type: ignore[override]
        """How many beats could not be kept."""
        return self._beat.missed

    def wake_ns(self) -> int:
        """Until the next beat."""
        return self._beat.due_ns

    def take(self) -> bool:
        """Whether a beat is due."""
        return self._beat.take(self._now())


class Scheduled:
    """Steps by cron or period; what has run is kept in a file."""

    def __init__(self, plan: SchedulePlan, book: RunBook, log: Logger, clocks: Clocks) -> None:
        self._plan = plan
        self._book = book
        self._log = log
        self._clocks = clocks
        self._table = Timetable(plan, clocks.wall(), clocks.boot(), _last_ns(plan, book.runs))
        self._due: Due | None = None
        self._began_ns = 0  # of the run in progress, CLOCK_MONOTONIC; 0: none

    @property
    def missed(self) -> int:
        """How many runs were missed or left out."""
        return self._table.missed

    def wake_ns(self) -> int:
        """Until the next run, but for a look at the clock now and then."""
        left_ns = self._table.due_ns - self._clocks.wall()
        return self._clocks.monotonic() + max(0, min(left_ns, LOOK_AGAIN_NS))

    def take(self) -> bool:
        """Whether a run is due."""
        due = self._table.look(self._clocks.wall(), self._clocks.boot())
        if due is None:
            return False
        if due.missed or due.late_ns > ON_TIME_NS:
            what = "one runs now" if due.runs else "left out"
            ago_s = due.late_ns / SECOND
            self._log.warning("%d run(s) missed, the last %.0f s ago: %s", due.missed + due.runs, ago_s, what)
        self._due = due if due.runs else None
        return due.runs

    def begin(self) -> None:
        """Note which run begins."""
        if self._due is not None:
            self._book.begin(self._due.due_ns)
        self._began_ns = self._clocks.monotonic()

    def end(self) -> None:
        """Note that it has ended; what came due meanwhile is left out."""
        self._began_ns = 0
        left_out = self._table.ended(self._clocks.wall(), self._clocks.boot())
        if left_out:
            self._log.warning("%d run(s) came due while one was in progress: left out", left_out)
        if self._table.handled_ns is not None:
            self._book.end(self._table.handled_ns)
        self._due = None

    def overrun(self) -> str:
        """Say that a run has passed its deadline; time in suspend does not count."""
        began_ns, limit_s = self._began_ns, self._plan.deadline_s
        if not began_ns or limit_s is None:
            return ""
        took_s = (self._clocks.monotonic() - began_ns) / SECOND
        return f"over its deadline: {took_s:.1f} of {limit_s:g} s" if took_s > limit_s else ""


def rhythm_of(plan: ComponentPlan, state_path: str, log: Logger, clocks: Clocks | None = None) -> Rhythm:
    """Give a component's rhythm; its first beat is now.

    Args:
        plan: of the component.
        state_path: where its schedule's runs are kept.
        log: the component's.
        clocks: other ones than this machine's.
    """
    clocks = clocks or Clocks()
    if plan.every_s:
        return Beats(plan.every_s, clocks)
    if plan.schedule is not None:
        return Scheduled(plan.schedule, RunBook(state_path, str(plan.schedule), log), log, clocks)
    return Never()


def _last_ns(plan: SchedulePlan, runs: Runs) -> int | None:
    """Give the due of the last run; one that a crash cut short is missed if what is missed is to run."""
    if plan.missed == "skip" or runs.begun_ns is None:
        return runs.begun_ns
    if runs.ended_ns is None and plan.aligned:
        return runs.begun_ns - 1  # the very first one is due still
    return runs.ended_ns
