"""From SIGKILL of a component until its successor is in `setup`."""

from __future__ import annotations

import os
import select
import signal
import statistics
import time
from typing import TYPE_CHECKING

from dolphin_mp.bench import bare
from dolphin_mp.bench.harness import Effort, Row
from dolphin_mp.bench.house import own_folder, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SIZE = 16 << 20  # bytes of its array: with numpy and what it shares, the process has some 50 MiB
REST_S = 0.5  # after a birth: by then there is a spare again, and the bundle of the last death is written
BENCH = "SIGKILL until the successor runs"
KERNEL, FORK, OURS = "the kernel's part", "bare fork", "dolphin-mp, in setup()"
COMPONENT = """
[components.victim]
run = "dolphin_mp.bench.actors:Victim"
options = {{ fifo = "{fifo}", size = {size} }}
backoff = {{ reset_after = "0s" }}
"""
LIMIT_S = 30.0


def measure(effort: Effort) -> Iterator[Row]:
    """Give the rows."""
    before = bare.ask("deaths", effort.deaths // 2 + 1, SIZE)
    ours = _deaths(effort.deaths)
    after = bare.ask("deaths", effort.deaths // 2 + 1, SIZE)
    kernel, fork = zip(*before, *after, strict=True)
    floor = statistics.median(fork)
    yield _row(KERNEL, kernel)
    yield _row(FORK, fork)
    ratio = statistics.median(ours) / floor
    yield _row(OURS, ours, FORK, ratio, 1.5e6)
    slowest = sorted(ours)[max(0, len(ours) * 99 // 100 - 1)]
    yield Row(BENCH, f"{OURS}, 99 of 100", slowest, slowest, max(ours), limit_ns=5e6)


def _row(
    what: str,
    taken: Sequence[int],
    floor: str = "",
    ratio: float | None = None,
    limit_ns: float | None = None,
) -> Row:
    middle = statistics.median(taken)
    return Row(BENCH, what, min(taken), middle, max(taken), floor, ratio, limit_ns=limit_ns)


def _deaths(count: int) -> list[int]:
    """Give the ns of each."""
    with own_folder() as folder:
        fifo = str(folder / "births")
        os.mkfifo(fifo, 0o600)
        reading = os.open(fifo, os.O_RDWR)
        try:
            with running(folder, "mttr", COMPONENT.format(fifo=fifo, size=SIZE)):
                found = []
                _, pid = _next_birth(reading)
                for _ in range(count):
                    select.select([], [], [], REST_S)
                    killed = time.monotonic_ns()
                    os.kill(pid, signal.SIGKILL)
                    born, pid = _next_birth(reading)
                    found.append(born - killed)
                return found
        finally:
            os.close(reading)


def _next_birth(reading: int) -> tuple[int, int]:
    if not select.select([reading], [], [], LIMIT_S)[0]:
        raise RuntimeError("no successor came: see the system's output above")
    born, pid = os.read(reading, 100).split()
    return int(born), int(pid)
