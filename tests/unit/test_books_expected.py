"""The real capture against an independent reference, and damage done to it."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dolphin_mp.workers.books.events import Delta
from dolphin_mp.workers.books.features import order_flow
from dolphin_mp.workers.books.record import Status, features_of
from dolphin_mp.workers.books.replay import Replay
from dolphin_mp.workers.books.venues import VENUES

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
CAPTURE = SHARED / "data" / "BINANCE_FUTURES"
EXPECTED = SHARED / "expected" / "expected_BINANCE_FUTURES.json"
SOCKET = "BINANCE_FUTURES.ws.1.0"
BINANCE = VENUES["binance-futures"]
INTERVAL_NS = 100_000_000
SYMBOLS = ["SUSHIUSDT", "AKROUSDT", "KEEPUSDT", "CTKUSDT"]

pytestmark = pytest.mark.skipif(not (CAPTURE.exists() and EXPECTED.exists()), reason="shared captures absent")


class Witness:
    """Follows a replay event by event and notes what the reference notes."""

    def __init__(self, folder: Path) -> None:
        self.replay = Replay(folder, BINANCE)
        self.notes: dict[str, dict[str, Any]] = {
            symbol: {"levels": 0, "flow": 0.0, "points": {}} for symbol in self.replay.symbols
        }
        market = self.replay.market
        take = market.take

        def watched(event: Any, recv_ns: int) -> bool:
            note, book = self.notes[event.symbol], market.book(event.symbol)
            before = book.top()
            done = take(event, recv_ns)
            if done:
                note["levels"] += len(event.bids) + len(event.asks)
                note["flow"] += order_flow(before, book.top()) if isinstance(event, Delta) else 0.0
                note["points"][book.n_applied] = (
                    recv_ns,
                    book.top(),
                    features_of(book, book.top()),
                    book.depth(),
                )
            return done

        market.take = watched  # type: ignore[method-assign]
        self.rows = market.rows(len(self.replay.symbols))
        for frame in self.replay.frames(INTERVAL_NS):
            if frame is not None:
                market.fill(self.rows, frame)


@cache
def witness() -> Witness:
    return Witness(CAPTURE)


@cache
def expected() -> Any:
    return json.loads(EXPECTED.read_text())["symbols"]


def nanoseconds(seconds: float) -> int:
    """The time as the capture's text gives it: repr() of the float that was printed there."""
    whole, _, part = repr(seconds).partition(".")
    return int(whole) * 1_000_000_000 + int(part.ljust(9, "0"))


def check_point(point: Any, want: dict[str, Any]) -> None:
    recv_ns, top, features, depth = point
    assert recv_ns == nanoseconds(want["ts"])
    assert top == tuple(float(want[key]) for key in ("bid", "ask", "bid_size", "ask_size"))
    assert depth == (want["n_bids"], want["n_asks"])
    mid, spread_bps, microprice, imb1, imb5, _ = features
    assert mid == pytest.approx(float(want["mid"]), rel=1e-15)
    assert [spread_bps, microprice, imb1, imb5] == pytest.approx(
        [want[key] for key in ("spread_bps", "microprice", "imb1", "imb5")], rel=1e-11
    )


def test_all_symbols_of_the_capture_are_followed() -> None:
    assert list(witness().replay.symbols) == SYMBOLS
    assert set(expected()) == set(SYMBOLS)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_counts_are_the_references(symbol: str) -> None:
    book, want = witness().replay.market.book(symbol), expected()[symbol]
    counts = {
        "snapshots": book.snapshots,
        "applied": book.n_applied,
        "dropped": book.n_dropped,
        "levels_changed": witness().notes[symbol]["levels"],
        "deletes_of_absent": book.n_absent,
        "gaps": book.n_gaps,
        "crc_bad": book.n_crc_bad,
        "crossed": book.n_bad,
    }
    assert counts == {key: want[key] for key in counts}


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_checkpoint_is_the_references(symbol: str) -> None:
    points, want = witness().notes[symbol]["points"], expected()[symbol]
    assert len(want["checkpoints"]) >= 8
    for checkpoint in [*want["checkpoints"], want["final"]]:
        check_point(points[checkpoint["n"]], checkpoint)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_order_flow_is_the_references(symbol: str) -> None:
    row = witness().rows[SYMBOLS.index(symbol)]
    assert row["ofi"] == witness().notes[symbol]["flow"] == float(expected()[symbol]["ofi_sum"])


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_last_record_is_the_references(symbol: str) -> None:
    row, want = witness().rows[SYMBOLS.index(symbol)], expected()[symbol]
    assert row["symbol"] == symbol.encode()
    assert (row["n_applied"], row["synced"], row["status"], row["n_bad"]) == (
        want["applied"],
        1,
        Status.OK,
        0,
    )
    features = [row[name] for name in ("mid", "spread_bps", "microprice", "imb1", "imb5", "imb20")]
    top = tuple(row[name] for name in ("bid", "ask", "bid_size", "ask_size"))
    check_point((row["recv_ns"], top, features, (row["n_bids"], row["n_asks"])), want["final"])


# damage: a clean capture says nothing about whether a loss would be seen


def damaged(folder: Path, damage: Any) -> np.ndarray[Any, Any]:
    for path in CAPTURE.iterdir():
        data = path.read_bytes()
        if path.name == SOCKET:
            lines = data.split(b"\n")
            at = [
                n for n, line in enumerate(lines) if b'"depthUpdate"' in line and b'"s":"SUSHIUSDT"' in line
            ]
            data = b"\n".join(damage(lines, at[100], at[101]))
        (folder / path.name).write_bytes(data)
    return Witness(folder).rows


def drop(lines: list[bytes], n: int, m: int) -> list[bytes]:
    return lines[:n] + lines[n + 1 :]


def double(lines: list[bytes], n: int, m: int) -> list[bytes]:
    return lines[: n + 1] + lines[n:]


def swap(lines: list[bytes], n: int, m: int) -> list[bytes]:
    stamps = [lines[k].split(b": ", 1)[0] for k in (n, m)]
    texts = [lines[k].split(b": ", 1)[1] for k in (m, n)]
    out = list(lines)
    out[n], out[m] = (b": ".join(pair) for pair in zip(stamps, texts, strict=True))
    return out


def cross(lines: list[bytes], n: int, m: int) -> list[bytes]:
    return [*lines[:n], re.sub(rb'"b":\[', b'"b":[["7.7","1"],', lines[n]), *lines[n + 1 :]]


def spoil(lines: list[bytes], n: int, m: int) -> list[bytes]:
    return [*lines[:n], re.sub(rb'"b":\[', b'"b":[["NaN","1"],', lines[n]), *lines[n + 1 :]]


def cut(lines: list[bytes], n: int, m: int) -> list[bytes]:
    return [*lines[:n], lines[n][:-20], *lines[n + 1 :]]


@pytest.mark.parametrize(
    ("damage", "gaps", "bad"),
    [(drop, 1, 1), (double, 1, 1), (swap, 1, 1), (cross, 0, 1), (spoil, 1, 2), (cut, 1, 2)],
)
def test_each_kind_of_damage_is_seen_and_latches(damage: Any, gaps: int, bad: int, tmp_path: Path) -> None:
    rows = damaged(tmp_path, damage)
    row = rows[0]
    assert (row["n_gaps"], row["n_bad"], row["synced"], row["status"]) == (gaps, bad, 0, Status.BAD)
    assert np.isnan(row["mid"])
    assert 0 < row["bid"] < row["ask"]
    assert row["n_applied"] in {100 - 3, 100 - 2, 100 - 1, 100}
    assert rows[1:].tobytes() == witness().rows[1:].tobytes()  # the others did not notice


def test_a_truncated_capture_is_read_to_its_end(tmp_path: Path) -> None:
    def half(lines: list[bytes], n: int, m: int) -> list[bytes]:
        return [*lines[:n], lines[n][: len(lines[n]) // 2]]

    rows = damaged(tmp_path, half)
    assert rows["synced"].tolist() == [1, 1, 1, 1]
    assert rows["n_bad"].tolist() == [1, 0, 0, 0]
