"""What a channel's calls cost in one process, as multiples of a Python call that does nothing."""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from dolphin_mp.bench import iceoryx
from dolphin_mp.bench.harness import Effort, Row, alternate, pinned, rows
from dolphin_mp.ipc import Channel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Call = Callable[[Any], None]

SIZE = 1024
EMPTY = "empty Python call"
PUBLISH, FIELDS = "publish(array), 1 KiB", "publish(bid=…, ask=…), 16 bytes"
INTO, LATEST = "latest_into(array), 1 KiB", "latest(), 1 KiB"
REACH = {PUBLISH: 4.0, INTO: 3.0, LATEST: 12.0}
QUOTE = np.dtype([("bid", "f8"), ("ask", "f8")])


def measure(effort: Effort) -> Iterator[Row]:
    """Give the rows."""
    array = np.zeros(SIZE, "u1")
    name = f"dolphin-mp-bench-{os.getpid()}"
    with (
        pinned(0),
        Channel.create(f"{name}.array", "u1", SIZE) as channel,
        Channel.create(f"{name}.quote", QUOTE) as quote,
    ):
        channel.claim()
        quote.claim()
        turns = {
            EMPTY: lambda: _empty(effort.calls),
            PUBLISH: lambda: _publish(channel, array, effort.calls),
            INTO: lambda: _latest_into(channel, array, effort.calls),
            LATEST: lambda: _latest(channel, effort.calls),
            FIELDS: lambda: _fields(quote, effort.calls // 10 + 1),
        }
        with iceoryx.in_process(f"{name}-iceoryx", array) as its:
            turns |= {what: lambda turn=turn: turn(effort.calls // 10 + 1) for what, turn in its.items()}  # type: ignore[misc]
            samples = alternate(turns, effort.rounds)
    yield from rows("in process", samples, {what: EMPTY for what in turns if what != EMPTY}, REACH)


# each with a loop of its own: a call through one more function would be part of what is measured


def _nothing() -> None:
    pass


def _empty(count: int) -> float:
    nothing = _nothing
    began = time.perf_counter_ns()
    for _ in itertools.repeat(None, count):
        nothing()
    return (time.perf_counter_ns() - began) / count


def _publish(channel: Channel, array: np.ndarray[Any, Any], count: int) -> float:
    began = time.perf_counter_ns()
    for _ in itertools.repeat(None, count):
        channel.publish(array)
    return (time.perf_counter_ns() - began) / count


def _fields(channel: Channel, count: int) -> float:
    began = time.perf_counter_ns()
    for _ in itertools.repeat(None, count):
        channel.publish(bid=99.5, ask=100.5)
    return (time.perf_counter_ns() - began) / count


def _latest_into(channel: Channel, array: np.ndarray[Any, Any], count: int) -> float:
    began = time.perf_counter_ns()
    for _ in itertools.repeat(None, count):
        channel.latest_into(array)
    return (time.perf_counter_ns() - began) / count


def _latest(channel: Channel, count: int) -> float:
    began = time.perf_counter_ns()
    for _ in itertools.repeat(None, count):
        channel.latest()
    return (time.perf_counter_ns() - began) / count
