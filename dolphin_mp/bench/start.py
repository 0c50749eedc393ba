"""Starts of whole systems, beside so many bare forks of a process with numpy."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from dolphin_mp.bench import bare
from dolphin_mp.bench.harness import Effort, Row, Samples, alternate, rows
from dolphin_mp.bench.house import many, own_folder, write
from dolphin_mp.bench.starter import time_start

if TYPE_CHECKING:
    from collections.abc import Iterator

FORK, WARM, COLD = "bare fork", "zygote warm", "cold, with interpreter, zygote and check"


def measure(effort: Effort) -> Iterator[Row]:
    """Give the rows."""
    with own_folder() as folder:
        path = write(folder, "start", many(effort.births))
        cold: list[float] = []

        def start() -> float:
            took = time_start(path)
            cold.append(took["cold"])
            return took["warm"]

        turns = {FORK: lambda: float(bare.ask("births", effort.births)), WARM: start}
        samples: Samples = alternate(turns, effort.starts)
        samples[COLD] = cold[1:]
        bench = f"start of {effort.births} numpy components until all are ready"
        yield from rows(bench, samples, {WARM: FORK, COLD: FORK}, {WARM: 2.0})
        yield from _many(effort, write(folder, "many", many(effort.many)))


def _many(effort: Effort, path: object) -> Iterator[Row]:
    took = [time_start(path)["cold"] for _ in range(max(1, effort.starts // 3))]  # type: ignore[arg-type]
    forks = float(bare.ask("births", effort.many))
    bench = f"start of {effort.many} numpy components until all are ready"
    yield Row(bench, FORK, forks, forks, forks)
    middle = statistics.median(took)
    yield Row(bench, COLD, min(took), middle, max(took), FORK, middle / forks, limit_ns=6e9)
