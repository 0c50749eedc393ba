"""Schedules: a cron expression, or a table with one or with a period."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from dolphin_mp.checking.tables import Duration, Table, check_table
from dolphin_mp.faults import suggest
from dolphin_mp.plan import SchedulePlan

if TYPE_CHECKING:
    from dolphin_mp.faults import Faults

RIGHT = 'write five cron fields (minute hour day month weekday), such as "*/10 * * * *"'
SHORTEST_S = 1.0


class ScheduleSettings(Table):
    """``components.NAME.schedule`` as a table."""

    cron: str | None = None
    period: Duration | None = None
    aligned: bool = True
    timezone: str = "UTC"
    missed: Literal["skip", "run-once"] = "skip"
    deadline: Duration | None = None


def check_schedule(value: object, place: str, faults: Faults) -> SchedulePlan | None:
    """Give the plan of a schedule, None if it is faulty; what is wrong is noted.

    Args:
        value: a cron expression, or a table.
        place: its dotted key.
        faults: takes what is wrong.
    """
    before = len(faults.lines)
    settings = ScheduleSettings()
    if isinstance(value, Mapping):
        settings = check_table(ScheduleSettings, dict(value), place, faults)
        _check_keys(settings, value, place, faults)
        if settings.cron is not None:
            _note(faults, f"{place}.cron", cron_fault(settings.cron))
    elif isinstance(value, str):
        settings = ScheduleSettings(cron=value)
        _note(faults, place, cron_fault(value))
    else:
        faults.add(place, f"{value!r} is no schedule: {RIGHT}")
    if len(faults.lines) > before:
        return None
    return SchedulePlan(
        cron=settings.cron or "",
        period_s=settings.period,
        aligned=settings.aligned,
        timezone=settings.timezone,
        missed=settings.missed,
        deadline_s=settings.deadline,
    )


def cron_fault(text: str) -> str:
    """Say why a text is no cron expression of five fields that can come due; nothing if it is one."""
    if len(text.split()) != 5:
        return f'"{text}" has {len(text.split())} fields: {RIGHT}'
    try:
        from cronsim import CronSim, CronSimError
    except ImportError:
        return "schedules need the package cronsim: pip install cronsim"
    try:
        # The day is arbitrary, its zone none: nothing is asked of the clock.
        next(CronSim(text, datetime(2024, 1, 1)))  # noqa: DTZ001
    except (CronSimError, StopIteration) as error:
        return f'"{text}" is no schedule: {error or "it never comes due"}'
    return ""


def zone_fault(name: str) -> str:
    """Say why a text names no time zone; nothing if it does."""
    from zoneinfo import ZoneInfo, available_timezones

    try:
        if name != "UTC":
            ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        known = available_timezones()
        if not known:
            return "this machine has no time zones: install tzdata (its package, or pip install tzdata)"
        near = suggest(name, known)
        return f'"{name}" is no time zone' + (near if "did you mean" in near else ', such as "Europe/London"')
    return ""


def _check_keys(settings: ScheduleSettings, given: Mapping[str, object], place: str, faults: Faults) -> None:
    if ("cron" in given) == ("period" in given):
        faults.add(place, 'needs either cron or period: write for instance { period = "4h" }')
    if "period" in given and "timezone" in given:
        faults.add(f"{place}.timezone", "a period is counted in UTC: use cron for local times")
    elif "timezone" in given:
        _note(faults, f"{place}.timezone", zone_fault(settings.timezone))
    if "cron" in given and "aligned" in given:
        faults.add(f"{place}.aligned", "goes with period: a cron expression has its times")
    if settings.period is not None and settings.period < SHORTEST_S:
        faults.add(f"{place}.period", f"is less than {SHORTEST_S:g} s: use every")


def _note(faults: Faults, place: str, text: str) -> None:
    if text:
        faults.add(place, text)
