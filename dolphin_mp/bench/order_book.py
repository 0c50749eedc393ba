"""What order books cost: messages that are objects already, and bytes until a record is published."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from dolphin_mp.bench.engines import DICT, OURS, engines
from dolphin_mp.bench.harness import Effort, Row, alternate, pinned, rows
from dolphin_mp.bench.streams import INTERVAL_NS, Stream, streams
from dolphin_mp.ipc import Channel
from dolphin_mp.workers.books.market import Market
from dolphin_mp.workers.books.record import BOOK, UPDATE

if TYPE_CHECKING:
    from collections.abc import Iterator

PARSED = "JSON bytes to Delta"
TOPS = "JSON bytes to published records: tops at once, books each 100 ms"
WHOLE = "the same, all books after each message"
LEAST_SHARE = 0.8
"""Of the unchecked dict's speed."""
REACH_NS = {OURS: 1e9 / 300_000, TOPS: 1e9 / 50_000}


def measure(effort: Effort) -> Iterator[Row]:
    """Give the rows: of depth messages that are objects already, for each session, then of bytes."""
    with pinned(0):
        first: Stream | None = None
        for stream in streams():
            first = first or stream
            yield from _applied(stream, effort, judged=stream is first)
        if first is not None:
            yield from _published(first, effort)


def _applied(stream: Stream, effort: Effort, *, judged: bool) -> Iterator[Row]:
    turns = engines(stream)
    samples = alternate(turns, effort.rounds)
    reach = {OURS: 1 / LEAST_SHARE} if judged else {}
    title = f"order book, {stream.name}: {len(stream.deltas)} depth messages, {stream.changes} level changes"
    floors = {what: DICT for what in turns if what != DICT}
    for row in rows(f"{title}; top read after each", samples, floors, reach):
        yield _told(row, stream, judged=judged)


def _published(stream: Stream, effort: Effort) -> Iterator[Row]:
    name = f"dolphin-mp-bench-{os.getpid()}.ob"
    with (
        Channel.create(f"{name}.book", BOOK, len(stream.snapshots), keep=512) as book,
        Channel.create(f"{name}.updates", UPDATE, keep=16_384) as updates,
    ):
        book.claim()
        updates.claim()
        turns = {
            PARSED: lambda: _parsed(stream),
            TOPS: lambda: _pipeline(stream, book, updates, whole=False),
            WHOLE: lambda: _pipeline(stream, book, updates, whole=True),
        }
        samples = alternate(turns, effort.rounds)
    for row in rows(f"order book, {stream.name}: from bytes, on one core", samples, {}):
        yield _told(row, stream, judged=True)


def _told(row: Row, stream: Stream, *, judged: bool) -> Row:
    a_second = 1e9 / row.median_ns
    levels = a_second * stream.changes / len(stream.deltas)
    note = f"{a_second:,.0f} messages/s, {levels:,.0f} level changes/s"
    return dataclasses.replace(row, note=note, limit_ns=REACH_NS.get(row.what) if judged else None)


def _parsed(stream: Stream) -> float:
    parse = stream.venue.parse
    began = time.perf_counter_ns()
    for _, payload in stream.messages:
        parse(payload)
    return (time.perf_counter_ns() - began) / len(stream.messages)


def _pipeline(stream: Stream, book: Channel, updates: Channel, *, whole: bool) -> float:
    """Play the session as a component does: each change of a top at once, the books by the clock."""
    update = np.zeros((), UPDATE)

    def publish(values: tuple[Any, ...]) -> None:
        update[()] = values
        updates.publish(update)

    market = Market([snapshot.symbol for snapshot in stream.snapshots], stream.venue.RULES, changed=publish)
    rows = market.rows(len(stream.snapshots))
    for snapshot in stream.snapshots:
        market.take(snapshot, stream.messages[0][0])
    parse, take, due_ns = stream.venue.parse, market.take, 0
    began = time.perf_counter_ns()
    for recv_ns, payload in stream.messages:
        market.heard_ns = recv_ns
        for event in parse(payload):
            take(event, recv_ns)
        now_ns = time.perf_counter_ns()
        if whole or now_ns >= due_ns:
            due_ns = now_ns + INTERVAL_NS
            market.fill(rows, recv_ns)
            book.publish(rows)
    return (time.perf_counter_ns() - began) / len(stream.messages)
