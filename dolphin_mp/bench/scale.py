"""`status` of many: over the kept control connection, and as a whole command."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from dolphin_mp.bench.command import STATUS, program, time_command
from dolphin_mp.bench.harness import Effort, Row, alternate
from dolphin_mp.bench.house import many, own_folder, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolphin_mp.client import Client

PING = "an empty question"


def measure(effort: Effort) -> Iterator[Row]:
    """Give the rows."""
    with own_folder() as folder:
        with running(folder, "few", many(effort.births)) as client:
            yield from _over_control(client, effort)
        with running(folder, "many", many(effort.many)):
            turn = [time_command([*program(), "status"], 1) for _ in range(max(1, effort.rounds))]
    bench = f"a system of {effort.many}"
    yield Row(bench, STATUS, min(turn), statistics.median(turn), max(turn), limit_ns=150e6)


def _over_control(client: Client, effort: Effort) -> Iterator[Row]:
    what = f"status of {effort.births}"
    turns: dict[str, Callable[[], float]] = {
        PING: lambda: _median(client, "ping", effort.naps),
        what: lambda: _median(client, "status", effort.naps),
    }
    samples = alternate(turns, effort.rounds)
    bench = "over the kept control connection"
    floor = statistics.median(samples[PING])
    yield Row(bench, PING, min(samples[PING]), floor, max(samples[PING]))
    taken = samples[what]
    middle = statistics.median(taken)
    yield Row(bench, what, min(taken), middle, max(taken), PING, middle / floor, limit_ns=250e3)


def _median(client: Client, command: str, count: int) -> float:
    taken = []
    for _ in range(count):
        began = time.perf_counter_ns()
        client.request(command)
        taken.append(time.perf_counter_ns() - began)
    return statistics.median(taken)
