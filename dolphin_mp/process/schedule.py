"""When a cron expression fires next."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def next_fire_ns(expression: str) -> int:
    """Give the next time of a cron expression (UTC) as ns of CLOCK_MONOTONIC."""
    from cronsim import CronSim

    now = datetime.now(UTC)
    after = next(CronSim(expression, now)) - now
    return time.monotonic_ns() + int(after.total_seconds() * 1e9)
