"""The real captures against an independent reference."""

from __future__ import annotations

import json
from functools import cache
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dolphin_mp.workers.books.events import Delta, Fault, Snapshot
from dolphin_mp.workers.books.features import numbers_of, order_flow
from dolphin_mp.workers.books.record import UPDATE, Status
from dolphin_mp.workers.books.replay import Replay
from dolphin_mp.workers.books.venues import VENUES

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
NAMES = ["binance-futures", "coinbase", "kraken", "bitget", "deribit"]
INTERVAL_NS = 100_000_000
TOP = ("bid", "ask", "bid_size", "ask_size")

pytestmark = pytest.mark.skipif(
    not (SHARED / "data").exists() or not (SHARED / "expected").exists(), reason="shared captures absent"
)


class Witness:
    """Follows a replay event by event and notes what the reference notes."""

    def __init__(self, name: Any) -> None:
        venue = VENUES[name]
        updates: list[tuple[Any, ...]] = []
        self.replay = Replay(SHARED / "data" / venue.CAPTURE, venue, changed=updates.append)
        self.notes: dict[str, dict[str, Any]] = {
            symbol: {"levels": 0, "flow": 0.0, "points": {}} for symbol in self.replay.symbols
        }
        market = self.replay.market
        take = market.take

        def watched(event: Any, recv_ns: int) -> bool:
            if not isinstance(event, Delta | Snapshot):
                return take(event, recv_ns)
            note, book = self.notes[event.symbol], market.book(event.symbol)
            before = book.top()
            done = take(event, recv_ns)
            if done:
                top = book.top()
                note["levels"] += len(event.bids) + len(event.asks)
                note["flow"] += order_flow(before, top) if isinstance(event, Delta) else 0.0
                note["points"][book.n_applied] = (recv_ns, top, numbers_of(book, top), book.depth())
            return done

        market.take = watched  # type: ignore[method-assign]
        self.rows = market.rows(len(self.replay.symbols))
        for frame in self.replay.frames(INTERVAL_NS):
            if frame is not None:
                market.fill(self.rows, frame)
        self.updates = np.array(updates, UPDATE)


@cache
def witness(name: str) -> Witness:
    return Witness(name)


@cache
def expected(name: Any) -> Any:
    path = SHARED / "expected" / f"expected_{VENUES[name].CAPTURE}.json"
    return json.loads(path.read_text())["symbols"]


def cases() -> list[Any]:
    if not (SHARED / "expected").exists():
        return [("none", "none")]
    return [(name, symbol) for name in NAMES for symbol in expected(name)]


def nanoseconds(seconds: float) -> int:
    """The time as the capture's text gives it: repr() of the float that was printed there."""
    whole, _, part = repr(seconds).partition(".")
    return int(whole) * 1_000_000_000 + int(part.ljust(9, "0"))


def number(text: str | None) -> float:
    return nan if text is None else float(text)


def equal(mine: Any, theirs: Any) -> bool:
    return all(a == b or (isnan(a) and isnan(b)) for a, b in zip(mine, theirs, strict=True))


def check_point(point: Any, want: dict[str, Any]) -> None:
    recv_ns, top, numbers, depth = point
    assert recv_ns == nanoseconds(want["ts"])
    assert equal(top, [number(want[key]) for key in TOP])
    assert depth == (want["n_bids"], want["n_asks"])
    if "mid" not in want:
        assert all(map(isnan, numbers))
        return
    assert numbers.mid == pytest.approx(float(want["mid"]), rel=1e-15)
    names = ("spread_bps", "microprice", "imb1", "imb5")
    mine = [getattr(numbers, name) for name in names]
    assert mine == pytest.approx([want[name] for name in names], rel=1e-11, abs=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_all_symbols_of_the_capture_are_followed(name: str) -> None:
    assert set(witness(name).replay.symbols) == set(expected(name))


@pytest.mark.parametrize(("name", "symbol"), cases())
def test_the_counts_are_the_references(name: str, symbol: str) -> None:
    book, want = witness(name).replay.market.book(symbol), expected(name)[symbol]
    counts = {
        "snapshots": book.snapshots,
        "applied": book.n_applied,
        "dropped": book.n_dropped,
        "levels_changed": witness(name).notes[symbol]["levels"],
        "deletes_of_absent": book.n_absent,
        "gaps": book.faults[Fault.GAP],
        "crc_ok": book.n_crc_ok,
        "crc_bad": book.faults[Fault.CHECKSUM],
        "crossed": book.n_bad,
    }
    assert counts == {key: want[key] for key in counts}


@pytest.mark.parametrize(("name", "symbol"), cases())
def test_every_checkpoint_is_the_references(name: str, symbol: str) -> None:
    points, want = witness(name).notes[symbol]["points"], expected(name)[symbol]
    for checkpoint in [*want["checkpoints"], want["final"]]:
        check_point(points[checkpoint["n"]], checkpoint)


@pytest.mark.parametrize(("name", "symbol"), cases())
def test_every_checkpoint_can_be_read_from_the_updates(name: str, symbol: str) -> None:
    updates = witness(name).updates
    mine = updates[updates["symbol"] == symbol.encode()]
    for checkpoint in [*expected(name)[symbol]["checkpoints"], expected(name)[symbol]["final"]]:
        last = mine[mine["n_applied"] <= checkpoint["n"]][-1]
        assert equal([last[key] for key in TOP], [number(checkpoint[key]) for key in TOP])
    assert mine[-1]["ofi_sum"] == pytest.approx(float(expected(name)[symbol]["ofi_sum"]), rel=1e-15)
    assert mine["synced"].all()


@pytest.mark.parametrize(("name", "symbol"), cases())
def test_the_order_flow_is_the_references(name: str, symbol: str) -> None:
    seen = witness(name)
    row, want = seen.rows[seen.replay.symbols.index(symbol)], float(expected(name)[symbol]["ofi_sum"])
    assert row["ofi"] == pytest.approx(seen.notes[symbol]["flow"], rel=1e-9)
    assert row["ofi"] == pytest.approx(want, rel=1e-15)


@pytest.mark.parametrize(("name", "symbol"), cases())
def test_the_last_record_is_the_references(name: str, symbol: str) -> None:
    seen, want = witness(name), expected(name)[symbol]
    row = seen.rows[seen.replay.symbols.index(symbol)]
    final = want["final"]
    status = Status.OK if "mid" in final else Status.DEGRADED
    assert row["symbol"] == symbol.encode()
    assert (row["n_applied"], row["synced"], row["status"], row["n_bad"]) == (want["applied"], 1, status, 0)
    assert equal([row[key] for key in TOP], [number(final[key]) for key in TOP])
    assert (row["n_bids"], row["n_asks"], row["n_crc_ok"]) == (
        final["n_bids"],
        final["n_asks"],
        want["crc_ok"],
    )
    assert row["recv_ns"] == nanoseconds(final["ts"])


@pytest.mark.parametrize("name", NAMES)
def test_features_are_within_their_bounds(name: str) -> None:
    rows = witness(name).rows
    known = rows[rows["status"] == Status.OK]
    for field in ("imb1", "imb5", "imb20", "pressure"):
        assert (np.abs(known[field]) <= 1).all()
    assert ((known["depth_quality"] >= 0) & (known["depth_quality"] <= 1)).all()
    assert (known["depth_bid_10bp"] <= known["depth_bid_50bp"]).all()
    assert (known["depth_ask_10bp"] <= known["depth_ask_50bp"]).all()
    slopes = known["slope"][np.isfinite(known["slope"])]
    assert len(slopes)
    assert (slopes >= 0).all()
    unknown = rows[rows["status"] != Status.OK]
    for field in ("mid", "ofi_10s", "slope", "depth_quality", "stoikov", "trade_imbalance"):
        assert np.isnan(unknown[field]).all()


@pytest.mark.parametrize("name", NAMES)
def test_windows_hold_what_the_updates_told(name: str) -> None:
    seen = witness(name)
    for symbol, row in zip(seen.replay.symbols, seen.rows, strict=True):
        if row["status"] == Status.OK:
            mine = seen.updates[seen.updates["symbol"] == symbol.encode()]
            for field, span_ns in (("ofi_1s", 10**9), ("ofi_10s", 10**10)):
                before = mine[mine["recv_ns"] <= row["at_ns"] - span_ns]
                at_start = before[-1]["ofi_sum"] if len(before) else 0.0
                assert row[field] == pytest.approx(row["ofi"] - at_start, rel=1e-9, abs=1e-9)
