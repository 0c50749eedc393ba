"""Cron expressions, as far as a check needs them."""

from __future__ import annotations

from datetime import datetime

FIELDS = "minute hour day month weekday"


def check_schedule(text: object) -> None:
    """Raise ValueError, with what is wrong, unless the text is a cron expression of five fields that can come true."""
    if not isinstance(text, str):
        raise ValueError(f'{text!r} is no schedule: write five cron fields ({FIELDS}) such as "*/10 * * * *"')
    if len(text.split()) != 5:
        raise ValueError(f'"{text}" has {len(text.split())} fields, not five ({FIELDS}), such as "*/10 * * * *"')
    try:
        from cronsim import CronSim, CronSimError
    except ImportError:
        raise ValueError("schedules need the package cronsim: pip install cronsim") from None
    try:
        # The day is arbitrary, its zone none: nothing is asked of the clock.
        next(CronSim(text, datetime(2024, 1, 1)))  # noqa: DTZ001
    except (CronSimError, StopIteration) as error:
        raise ValueError(f'"{text}" is no schedule: {error or "it never comes due"}') from None
