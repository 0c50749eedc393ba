"""What a whole command costs, beside an interpreter that does nothing; the demo runs meanwhile."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dolphin_mp.bench.harness import Effort, Row, alternate, rows

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
    script = Path(sys.executable).parent / "dolphin-mp"
    program = [str(script)] if script.exists() else [sys.executable, "-m", "dolphin_mp.cli"]
    commands = {PYTHON: [sys.executable, "-c", "0"], STATUS: [*program, "status"]}
    with _demo():
        turns = {
            what: lambda command=command: _turn(command, effort.commands)
            for what, command in commands.items()
        }
        samples = alternate(turns, effort.rounds)
    yield from rows("a whole command", samples, {STATUS: PYTHON}, REACH)


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """Have systems run in a runtime folder of their own, beside whatever else this user runs."""
    before = {name: os.environ.get(name) for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME")}
    with tempfile.TemporaryDirectory(prefix="dmp-bench-") as folder:
        os.environ.update(XDG_RUNTIME_DIR=folder, XDG_STATE_HOME=folder)
        try:
            yield Path(folder)
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


@contextlib.contextmanager
def _demo() -> Iterator[None]:
    from dolphin_mp import Client
    from dolphin_mp.parent.detached import start_detached

    with own_folder() as folder:
        path = folder / "demo.toml"  # in the current folder there may be another system's file
        path.write_text(DEMO, encoding="utf-8")
        start_detached(str(path))
        with Client("demo") as client:
            yield
            client.shutdown()


def _turn(command: list[str], count: int) -> float:
    began = time.perf_counter_ns()
    for _ in range(count):
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return (time.perf_counter_ns() - began) / count
