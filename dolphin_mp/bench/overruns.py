"""How many reads of large records fail beside a writer that never pauses."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import numpy as np

from dolphin_mp.bench.harness import Effort, Partner, Row, pinned
from dolphin_mp.ipc import Channel, OverrunError

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 1 << 20


def measure(effort: Effort) -> Iterator[Row]:
    """Give the row."""
    name = f"dolphin-mp-bench-{os.getpid()}.flood"
    count = effort.trips // 2 + 1
    array = np.zeros(SIZE, "u1")
    taken, failed = [], 0
    with pinned(0), Channel.create(name, "u1", SIZE, keep=1) as channel, Partner() as partner:
        partner.tell("flood", name, SIZE, count)
        while channel.wait(0) == 0:  # it ends at the claim, too
            pass
        while channel.version < count:
            began = time.monotonic_ns()
            try:
                channel.latest_into(array)
            except OverrunError:
                failed += 1
            taken.append(time.monotonic_ns() - began)
        partner.answer()
    taken = taken or [0]
    yield Row(
        "1 MiB beside a back-to-back writer",
        "latest_into(array)",
        min(taken),
        sorted(taken)[len(taken) // 2],
        max(taken),
        note=f"{failed} of {len(taken)} reads failed",
    )


def flood(name: str, size: int, count: int) -> None:
    """Be that writer."""
    with Channel.attach(name) as channel:
        channel.claim()
        array = np.zeros(size, "u1")
        for _ in range(count):
            channel.publish(array)
