"""Cron expressions, as far as a check needs them."""

from __future__ import annotations

from datetime import datetime

RIGHT = 'write five cron fields (minute hour day month weekday), such as "*/10 * * * *"'


def check_schedule(text: object) -> None:
    """Raise ValueError unless the text is a cron expression of five fields that can come due."""
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no schedule: {RIGHT}")  # noqa: TRY004 - a fault of the configuration
    if len(text.split()) != 5:
        raise ValueError(f'"{text}" has {len(text.split())} fields: {RIGHT}')
    try:
        from cronsim import CronSim, CronSimError
    except ImportError:
        raise ValueError("schedules need the package cronsim: pip install cronsim") from None
    try:
        # The day is arbitrary, its zone none: nothing is asked of the clock.
        next(CronSim(text, datetime(2024, 1, 1)))  # noqa: DTZ001
    except (CronSimError, StopIteration) as error:
        raise ValueError(f'"{text}" is no schedule: {error or "it never comes due"}') from None
