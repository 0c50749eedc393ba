"""What a second core is worth to a pool whose steps need the processor and nothing else."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dolphin_mp import Component, Input, Output, System
from dolphin_mp.bench.harness import CORES, Effort, Row, alternate, rows
from dolphin_mp.bench.house import own_folder
from dolphin_mp.ipc import wait_any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolphin_mp import Client

WORK = 60_000  # additions in a step: about a millisecond
SLACK = 1.25  # chosen: what is left of the ideal on a machine with other guests
LIMIT_S = 60.0


class Jobs(Component):
    """Publishes so many jobs at each start."""

    every = "1h"
    job = Output("i8", keep=8192)

    @dataclass
    class Options:
        """``count``: of jobs at a start."""

        count: int = 1

    def setup(self) -> None:
        for number in range(self.options.count):
            self.job.publish(number)

    def step(self) -> None:
        """Do nothing: all is done at the start."""


class Grinder(Component):
    """Works for about a millisecond on each job."""

    job = Input("jobs.job", share=True)
    part = Output("i8")

    def step(self) -> None:
        self.part.publish(sum(range(WORK)))


class Pool:
    """A running system of one pool."""

    def __init__(self, instances: int, jobs: int, stack: ExitStack) -> None:
        self._jobs = jobs
        system = System(
            f"bench-pool-{instances}",
            {
                "jobs": (Jobs, {"options": {"count": jobs}}),
                "mc": (Grinder, {"instances": instances}),
            },
        )
        self._client: Client = stack.enter_context(system.launch())
        self._parts = [self._client.channel(f"mc@{number}.part") for number in range(instances)]
        self._wait(jobs)

    def _wait(self, done: int) -> None:
        seen = [part.version for part in self._parts]
        while sum(seen) < done:
            if not wait_any(list(zip(self._parts, seen, strict=True)), LIMIT_S):
                raise TimeoutError("the pool does nothing")
            seen = [part.version for part in self._parts]

    def turn(self) -> float:
        """Have all jobs done once more; gives ns a job."""
        before = sum(part.version for part in self._parts)
        self._client.restart("jobs")
        self._wait(before + self._jobs)
        first = self._client.channel("jobs.job").history(self._jobs)[0].written_ns
        latest = [part.latest() for part in self._parts]
        return (max(part.written_ns for part in latest if part) - first) / self._jobs


def measure(effort: Effort) -> Iterator[Row]:
    """Give the rows."""
    sizes = sorted({1, 2, min(8, len(CORES))}) if len(CORES) > 1 else [1]
    jobs = max(4, effort.trips // 20)
    with own_folder(), ExitStack() as stack:
        pools = {_name(size): Pool(size, jobs, stack) for size in sizes}
        samples = alternate({name: pool.turn for name, pool in pools.items()}, effort.rounds)
    floors = {_name(size): _name(1) for size in sizes[1:]}
    reach = {_name(size): SLACK / size for size in sizes[1:]}
    ideal = {_name(size): f"ideal {1 / size:.2f}" for size in sizes[1:]}
    for row in rows("a pool's time for a job of a millisecond", samples, floors, reach):
        yield replace(row, note=ideal.get(row.what, ""))


def _name(size: int) -> str:
    return f"{size} instance{'s' if size > 1 else ''}"
