"""What `dolphin-mp bench` measures: each thing as a ratio to the least it could cost, in the same run.

One module a family of measurements; each has `measure(effort)`, which gives rows.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from dolphin_mp.bench.harness import FULL, TINY, Effort, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["BENCHES", "FULL", "TINY", "Effort", "Row", "measure"]

# name: (the modules that measure it, what it is)
BENCHES = {
    "channel": (
        ("in_process", "one_way", "asleep", "large", "overruns"),
        "a channel in one process and between two",
    ),
    "mttr": (("mttr",), "from the death of a component until its successor is in setup()"),
    "start": (("start",), "whole systems until all components are ready; 1,000 components too"),
    "idle": (("idle",), "wake-ups and memory of a system that idles"),
    "scale": (("scale",), "status of many components"),
    "pool": (("pool",), "a pool's throughput with a second core"),
    "ob": (("order_book",), "order books on real or simulated messages, and from bytes to published records"),
    "cli": (("command",), "a whole `dolphin-mp status`, beside `python -c 0`"),
}


def measure(names: Sequence[str], effort: Effort = FULL) -> Iterator[Row]:
    """Give the rows of the named benches as they come; all of them if none is named.

    Raises LookupError for a name that is none.
    """
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        raise LookupError(f"no bench {unknown[0]!r}: there are {', '.join(BENCHES)}")
    for name in names or BENCHES:
        for module in BENCHES[name][0]:
            yield from importlib.import_module(f"dolphin_mp.bench.{module}").measure(effort)
