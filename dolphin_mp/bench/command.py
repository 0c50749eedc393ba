"""What a whole command costs, beside an interpreter that does nothing; the demo runs meanwhile."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dolphin_mp.bench.harness import Effort, Row, alternate, rows
from dolphin_mp.bench.house import own_folder, running

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHON, STATUS = "python -c 0", "dolphin-mp status"
REACH = {STATUS: 5.0}
DEMO = """
[components.ob]
run = "dolphin_mp.workers.ob:OrderBook"
options = { feed = "sim" }

[components.spread]
run = "dolphin_mp.workers.spread:Spread"
"""


def measure(effort: Effort) -> Iterator[Row]:
    """Give the rows."""
    commands = {PYTHON: [sys.executable, "-c", "0"], STATUS: [*program(), "status"]}
    with own_folder() as folder, running(folder, "demo", DEMO):
        turns = {
            what: lambda command=command: time_command(command, effort.commands)
            for what, command in commands.items()
        }
        samples = alternate(turns, effort.rounds)
    yield from rows("a whole command", samples, {STATUS: PYTHON}, REACH)


def program() -> list[str]:
    """Give the command as it was installed, else as a module."""
    script = Path(sys.executable).parent / "dolphin-mp"
    return [str(script)] if script.exists() else [sys.executable, "-m", "dolphin_mp.cli"]


def time_command(command: list[str], count: int) -> float:
    """Give the ns that one of so many runs takes."""
    began = time.perf_counter_ns()
    for _ in range(count):
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return (time.perf_counter_ns() - began) / count
