"""A system that idles: how often its parent wakes, and what memory its processes hold."""

from __future__ import annotations

import select
from pathlib import Path
from typing import TYPE_CHECKING

from dolphin_mp.bench import bare
from dolphin_mp.bench.harness import Effort, Row
from dolphin_mp.bench.house import many, own_folder, running

if TYPE_CHECKING:
    from collections.abc import Iterator

REST_S = 1.0  # after the start: spares are being parked, and the client's questions answered
MIB = 1 << 20


def measure(effort: Effort) -> Iterator[Row]:
    """Give the rows."""
    bench = f"{effort.births} idle components"
    forked = bare.ask("footprint", effort.births) / MIB
    with own_folder() as folder, running(folder, "idle", many(effort.births)) as client:
        status = client.status()
        parent = int(status["pid"])
        select.select([], [], [], REST_S)
        before = _wake_ups(parent)
        select.select([], [], [], effort.idle_s)
        wakes = (_wake_ups(parent) - before) / effort.idle_s
        pids = {int(row["pid"]) for row in status["components"]}
        children = sum(map(bare.pss, pids)) / MIB
        others = sum(map(bare.pss, _family(parent) - pids)) / MIB
    yield Row(bench, "wake-ups of the parent", wakes, wakes, wakes, unit="a second", limit_ns=0.0)
    yield Row(bench, "memory (PSS) of so many bare forks", forked, forked, forked, unit="MiB")
    floor = "memory (PSS) of so many bare forks"
    yield Row(
        bench,
        "of the components",
        children,
        children,
        children,
        floor,
        children / forked,
        unit="MiB",
        limit_ns=150.0 * effort.births / 50,
    )
    yield Row(bench, "of parent, zygote, spares and logs", others, others, others, unit="MiB")


def _wake_ups(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    return int(text.split("voluntary_ctxt_switches:")[1].split()[0])


def _family(parent: int) -> set[int]:
    """Give a process and its children."""
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
    return {parent, *map(int, text.split())}
