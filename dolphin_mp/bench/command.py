"""A whole `dolphin-mp status`, from the shell's point of view, as a multiple of `python -c 0`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from dolphin_mp.bench.harness import Effort, Row, alternate, rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FLOOR, STATUS, READ = "python -c 0", "dolphin-mp status", "dolphin-mp read ob.book"
REACH = {STATUS: 5.0}


def measure(effort: Effort) -> Iterator[Row]:
    """Give the rows; the demo runs meanwhile in a runtime folder of its own."""
    command = [sys.executable, "-P", "-m", "dolphin_mp.cli"]
    with tempfile.TemporaryDirectory(prefix="dmp-") as folder:
        environment = {**os.environ, "XDG_RUNTIME_DIR": folder, "XDG_STATE_HOME": f"{folder}/state"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or every start compiles the modules anew

        def run(arguments: Sequence[str]) -> None:
            subprocess.run(arguments, env=environment, cwd=folder, check=True, capture_output=True)

        def turn(arguments: Sequence[str]) -> float:
            began = time.monotonic_ns()
            for _ in range(effort.commands):
                run(arguments)
            return (time.monotonic_ns() - began) / effort.commands

        run([*command, "launch", "--detach"])
        try:
            turns = {
                FLOOR: lambda: turn([sys.executable, "-c", "0"]),
                STATUS: lambda: turn([*command, "status"]),
                READ: lambda: turn([*command, "read", "ob.book"]),
            }
            samples = alternate(turns, effort.rounds)
        finally:
            run([*command, "shutdown"])
    yield from rows("cli", samples, {STATUS: FLOOR, READ: FLOOR}, REACH)
