from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from dolphin_mp.workers.books.capture import CaptureError
from dolphin_mp.workers.books.record import Status
from dolphin_mp.workers.books.replay import Replay
from dolphin_mp.workers.books.venues import VENUES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BINANCE = VENUES["binance-futures"]
START_NS = 1000 * 1_000_000_000
INTERVAL_NS = 100_000_000
STREAMS = "aausdt@depth@100ms/bbusdt@depth@100ms/aausdt@bookTicker"
CONNECTED = f"wss://fstream.binance.com/stream?streams={STREAMS} <-> 1000.0"


def depth(at: float, first: int, last: int, previous: int, symbol: str = "AAUSDT", **sides: Any) -> str:
    data = {"e": "depthUpdate", "E": int(at * 1000) - 40, "s": symbol, "U": first, "u": last, "pu": previous}
    message = {"stream": f"{symbol.lower()}@depth@100ms", "data": {"b": [], "a": []} | data | sides}
    return f"{at}: {orjson.dumps(message).decode()}"


def reply(at: float, last_id: int, bids: Any, asks: Any, symbol: str = "AAUSDT") -> str:
    body = orjson.dumps({"lastUpdateId": last_id, "E": 5, "bids": bids, "asks": asks}).decode()
    return f"https://fapi.binance.com/fapi/v1/depth?symbol={symbol}&limit=1000 -> {at}: {body}"


SOCKET = [
    CONNECTED,
    depth(1000.01, 1, 9, 0, b=[["9", "1"]]),
    depth(1000.05, 9, 12, 9, b=[["10.5", "2"]]),
    '1000.06: {"stream":"aausdt@bookTicker","data":{"e":"bookTicker"}}',
    depth(1000.25, 13, 15, 12, a=[["11", "0"], ["11.5", "4"]]),
    depth(1000.45, 100, 101, 90, "BBUSDT", b=[["1.5", "1"]]),
]
REPLIES = [
    reply(1000.2, 10, [["10", "1"]], [["11", "3"], ["12", "1"]]),
    reply(1000.3, 100, [["1", "1"]], [["2", "1"]], "BBUSDT"),
]


@pytest.fixture
def capture(tmp_path: Path) -> Callable[..., Path]:
    def write(socket: list[str] = SOCKET, replies: list[str] = REPLIES) -> Path:
        for kind, lines in (("ws.1.0", socket), ("http.0.0", replies)):
            if lines:
                (tmp_path / f"BINANCE_FUTURES.{kind}").write_text("\n".join(lines) + "\n")
        return tmp_path

    return write


def play(folder: Path, symbols: tuple[str, ...] = ()) -> list[tuple[int, Any]]:
    replay = Replay(folder, BINANCE, symbols)
    rows = replay.market.rows(4)
    records = []
    for frame in replay.frames(INTERVAL_NS):
        if frame is not None:
            replay.market.fill(rows, frame)
            records.append((frame, rows.copy()))
    return records


def test_a_frame_is_published_for_each_interval_of_recorded_time(capture: Callable[..., Path]) -> None:
    records = play(capture())
    assert [frame - START_NS for frame, _ in records] == [INTERVAL_NS * n for n in (1, 2, 3, 4, 5)]
    first = [rows[0] for _, rows in records]
    assert [row["bid"] for row in first] == [10.5] * 5
    assert [row["ask"] for row in first] == [11, 11, 11.5, 11.5, 11.5]
    assert [row["n_applied"] for row in first] == [1, 1, 2, 2, 2]


def test_the_last_record_says_all(capture: Callable[..., Path]) -> None:
    rows = play(capture())[-1][1]
    assert rows["symbol"].tolist() == [b"AAUSDT", b"BBUSDT", b"", b""]
    row = rows[0]
    assert (row["bid"], row["ask"], row["bid_size"], row["ask_size"]) == (10.5, 11.5, 2.0, 4.0)
    assert row["mid"] == 11.0
    assert row["spread_bps"] == pytest.approx(1e4 / 11)
    assert row["microprice"] == pytest.approx((4 * 10.5 + 2 * 11.5) / 6)
    assert (row["imb1"], row["imb5"], row["imb20"]) == pytest.approx((-1 / 3, -2 / 8, -2 / 8))
    assert (row["n_dropped"], row["n_bad"], row["n_gaps"], row["n_crc_bad"], row["resyncs"]) == (
        1,
        0,
        0,
        0,
        0,
    )
    assert (row["synced"], row["status"]) == (1, Status.OK)
    assert (row["recv_ns"], row["event_ns"]) == (1000_250_000_000, 1000_210_000_000)
    assert row["ofi"] == 2.0 + 3.0  # a better bid of 2, then the 3 at the best ask went away


def test_unused_rows_know_nothing(capture: Callable[..., Path]) -> None:
    row = play(capture())[-1][1][3]
    assert isnan(row["bid"])
    assert (row["n_applied"], row["synced"], row["status"]) == (0, 0, Status.INIT)


def test_two_replays_are_equal_to_the_bit(capture: Callable[..., Path]) -> None:
    folder = capture()
    first, second = play(folder), play(folder)
    assert [(frame, rows.tobytes()) for frame, rows in first] == [
        (frame, rows.tobytes()) for frame, rows in second
    ]


def test_a_paced_replay_waits_for_each_frame_and_shows_the_same(capture: Callable[..., Path]) -> None:
    folder = capture()
    replay = Replay(folder, BINANCE)
    rows = replay.market.rows(4)
    clock = [START_NS]
    shown: list[tuple[int, bytes]] = []
    for frame in replay.frames(INTERVAL_NS, lambda start: clock[0]):
        if frame is None:
            clock[0] += 30_000_000
            continue
        assert frame <= clock[0] or len(shown) == 4  # the last frame follows the last line at once
        replay.market.fill(rows, frame)
        shown.append((frame, rows.tobytes()))
    assert shown == [(frame, record.tobytes()) for frame, record in play(folder)]


def test_only_the_symbols_asked_for_are_kept(capture: Callable[..., Path]) -> None:
    rows = play(capture(), ("BBUSDT",))[-1][1]
    assert rows["symbol"].tolist() == [b"BBUSDT", b"", b"", b""]
    assert rows["bid"][0] == 1.5
    assert rows["n_bad"].tolist() == [0, 0, 0, 0]


def test_a_symbol_that_the_capture_lacks_stays_without_a_book(capture: Callable[..., Path]) -> None:
    rows = play(capture(), ("ZZUSDT", "AAUSDT"))[-1][1]
    assert rows["status"].tolist()[:2] == [Status.INIT, Status.OK]
    assert isnan(rows["bid"][0])


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("no record at all", 0),
        (depth(900.0, 102, 103, 101, "BBUSDT"), 1),  # time runs backward
        (depth(1000.46, 102, 103, 101, "BBUSDT")[20:], 1),
        ("1000.46: {}", 0),
        (depth(1000.46, 102, 103, 101, "QQUSDT"), 0),
        (depth(1000.46, 102, 103, 101, "BBUSDT")[:-30], 1),
        (depth(1000.46, 102, 103, 101, "BBUSDT", b=[["nan", "1"]]), 1),
        (depth(1000.46, 102, 103, 101, "BBUSDT", b=[["1.6", "1"], ["0", "1"]]), 1),
        (depth(1000.46, 102, 103, 101, "BBUSDT", a=[["1.9", "-1"]]), 1),
    ],
)
def test_each_bad_message_is_counted_once_and_changes_nothing(
    capture: Callable[..., Path], line: str, row: int
) -> None:
    good, bad = play(capture())[-1][1], play(capture([*SOCKET, line]))[-1][1]
    assert bad["n_bad"].tolist() == [int(number == row) for number in range(4)]
    for name in ("n_bad", "n_unreadable", "n_bad_values", "n_unknown"):
        good[name] = bad[name]
    assert good.tobytes() == bad.tobytes()


def test_a_gap_latches_until_a_snapshot_comes(capture: Callable[..., Path]) -> None:
    socket = [
        *SOCKET,
        depth(1000.55, 20, 21, 19),
        depth(1000.65, 22, 25, 21, b=[["10.7", "1"]]),
        depth(1000.85, 26, 27, 25),
    ]
    rows = play(capture(socket))[-1][1]
    assert (rows["synced"][0], rows["status"][0], rows["n_gaps"][0], rows["n_bad"][0]) == (
        0,
        Status.BAD,
        1,
        1,
    )
    assert (rows["bid"][0], rows["ask"][0]) == (10.5, 11.5)  # the last good top
    assert all(isnan(rows[name][0]) for name in ("mid", "spread_bps", "microprice", "imb1", "imb5", "imb20"))
    assert rows["recv_ns"][0] == 1000_250_000_000
    assert rows["status"][1] == Status.OK
    healed = play(capture(socket, [*REPLIES, reply(1000.75, 23, [["10", "1"]], [["13", "1"]])]))[-1][1]
    assert (healed["synced"][0], healed["resyncs"][0], healed["bid"][0], healed["ask"][0]) == (
        1,
        1,
        10.7,
        13.0,
    )


def test_a_crossing_latches_too(capture: Callable[..., Path]) -> None:
    rows = play(capture([*SOCKET, depth(1000.55, 16, 17, 15, b=[["12", "1"]])]))[-1][1]
    assert (rows["synced"][0], rows["n_gaps"][0], rows["n_bad"][0], rows["bid"][0]) == (0, 0, 1, 10.5)


def test_an_empty_side_is_degraded_and_unknown(capture: Callable[..., Path]) -> None:
    rows = play(capture([*SOCKET, depth(1000.55, 102, 103, 101, "BBUSDT", a=[["2", "0"]])]))[-1][1]
    assert (rows["synced"][1], rows["status"][1], rows["bid"][1]) == (1, Status.DEGRADED, 1.5)
    assert all(isnan(rows[name][1]) for name in ("ask", "ask_size", "mid", "imb1", "imb20"))


def test_a_silent_feed_goes_stale_then_bad(capture: Callable[..., Path]) -> None:
    records = play(capture([*SOCKET, depth(1040.0, 16, 17, 15)]))
    states = [(frame, rows["status"][0]) for frame, rows in records]
    heard = 1000_450_000_000
    stale = next(frame for frame, status in states if status == Status.STALE)
    bad = next(frame for frame, status in states if status == Status.BAD)
    assert 0 < stale - heard - 5_000_000_000 <= INTERVAL_NS
    assert 0 < bad - heard - 30_000_000_000 <= INTERVAL_NS
    assert states[-1][1] == Status.OK


def test_losses_and_recoveries_are_reported(capture: Callable[..., Path]) -> None:
    socket = [*SOCKET, depth(1000.55, 20, 21, 19), depth(1000.85, 22, 27, 21)]
    heard: list[str] = []
    replay = Replay(capture(socket, [*REPLIES, reply(1000.75, 23, [], [])]), BINANCE, report=heard.append)
    list(replay.frames(INTERVAL_NS))
    assert heard == [
        "AAUSDT lost its book (gap: message 15, then one that follows 19): no numbers until a new snapshot",
        "AAUSDT has its book again, from snapshot 23",
    ]


def test_without_snapshots_nothing_is_known(capture: Callable[..., Path]) -> None:
    rows = play(capture(replies=[]))[-1][1]
    assert rows["status"].tolist()[:2] == [Status.INIT, Status.INIT]
    assert rows["symbol"].tolist()[:2] == [b"AAUSDT", b"BBUSDT"]
    assert rows["n_bad"].sum() == 0


def test_snapshots_alone_are_a_capture(capture: Callable[..., Path]) -> None:
    rows = play(capture(socket=[]))[-1][1]
    assert rows["symbol"].tolist()[:2] == [b"AAUSDT", b"BBUSDT"]
    assert rows["bid"].tolist()[:2] == [10.0, 1.0]


def test_a_broken_snapshot_is_counted_and_the_next_one_taken(capture: Callable[..., Path]) -> None:
    broken = REPLIES[0][:-20]
    rows = play(capture(replies=[broken, *REPLIES]))[-1][1]
    assert (rows["n_bad"][0], rows["synced"][0], rows["resyncs"][0], rows["bid"][0]) == (1, 1, 0, 10.5)


def test_a_capture_that_names_no_symbol_says_so(capture: Callable[..., Path]) -> None:
    with pytest.raises(CaptureError, match="names no symbol: give the option symbols"):
        Replay(capture(SOCKET[1:], []), BINANCE)


def test_nothing_but_garbage_ends_in_counts(capture: Callable[..., Path]) -> None:
    records = play(capture(["garbage", "\x00\x01", "}{"], []), ("AAUSDT",))
    assert len(records) == 1
    assert records[0][1]["n_bad"].tolist() == [3, 0, 0, 0]


def test_more_symbols_than_rows_is_one_clear_error(capture: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="2 symbols don't fit 1 rows: name fewer"):
        Replay(capture(), BINANCE).market.rows(1)


def test_a_venue_that_is_subscribed_to_by_message(tmp_path: Path) -> None:
    def book(at: float, name: str, kind: str, number: int, **fields: Any) -> str:
        data = {"type": kind, "timestamp": 5, "instrument_name": name, "change_id": number} | fields
        params = {"channel": f"book.{name}.raw", "data": data}
        text = orjson.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params}).decode()
        return f"{at}: {text}"

    channels = '["book.B-1-P.raw","book.A-1-C.raw","ticker.A-1-C.raw"]'
    lines = [
        "wss://www.deribit.com/ws/api/v2 <-> 1000.0",
        f'wss://www.deribit.com/ws/api/v2 <- 1000.01: {{"params":{{"channels":{channels}}}}}',
        book(1000.02, "A-1-C", "snapshot", 7, bids=[], asks=[["new", 0.5, 2.0]]),
        book(1000.03, "B-1-P", "snapshot", 8, bids=[["new", 0.25, 1.0]], asks=[["new", 0.5, 2.0]]),
        book(1000.04, "B-1-P", "change", 10, prev_change_id=8, bids=[["new", 0.3, 4.0]], asks=[]),
        book(1000.05, "A-1-C", "change", 11, prev_change_id=9, bids=[["new", 0.3, 4.0]], asks=[]),
    ]
    (tmp_path / "DERIBIT.ws.1.0").write_text("\n".join(lines) + "\n")
    replay = Replay(tmp_path, VENUES["deribit"])
    rows = replay.market.rows(2)
    (frame,) = [frame for frame in replay.frames(INTERVAL_NS) if frame is not None]
    replay.market.fill(rows, frame)
    assert rows["symbol"].tolist() == [b"B-1-P", b"A-1-C"]
    assert rows["synced"].tolist() == [1, 0]
    assert rows["n_gaps"].tolist() == [0, 1]
    assert rows["bid"][0] == 0.3
    assert isnan(rows["bid"][1])
    assert rows["at_ns"].tolist() == [frame, frame]


def asked(at: float, *symbols: str, method: str = "SUBSCRIBE") -> str:
    params = [f"{symbol.lower()}@depth@100ms" for symbol in symbols]
    return f"wss://x/stream <- {at}: {orjson.dumps({'method': method, 'params': params, 'id': 1}).decode()}"


RECORDED = [
    "wss://x/stream <-> 1000.0",
    asked(1000.0, "AAUSDT", "BBUSDT"),
    depth(1000.1, 9, 10, 8, b=[["9", "1"]]),
    depth(1000.2, 11, 11, 10, b=[["9.5", "1"]]),
    depth(1000.4, 12, 12, 11, b=[["9.6", "1"]]),
]


def played(folder: Path) -> tuple[Replay, list[tuple[Any, ...]]]:
    updates: list[tuple[Any, ...]] = []
    replay = Replay(folder, BINANCE, changed=updates.append)
    for _ in replay.frames(INTERVAL_NS):
        pass
    return replay, updates


def test_a_snapshot_of_a_subscribed_symbol_comes_in_its_turn(capture: Callable[..., Path]) -> None:
    replies = [reply(1000.3, 10, [["8", "1"]], [["11", "3"]])]
    replay, updates = played(capture(RECORDED, replies))
    assert replay.symbols == ("AAUSDT", "BBUSDT")
    assert [(update[1], update[-2]) for update in updates] == [
        (8.0, START_NS + 300_000_000),
        (9.0, START_NS + 300_000_000),  # what was held for it comes with it
        (9.5, START_NS + 300_000_000),
        (9.6, START_NS + 400_000_000),
    ]


@pytest.mark.parametrize("again", [asked(1000.5, "AAUSDT"), "wss://x/stream <-> 1000.5"])
def test_a_book_begins_anew_where_it_or_its_connection_is_asked_for_anew(
    capture: Callable[..., Path], again: str
) -> None:
    socket = [*RECORDED, again, depth(1000.6, 13, 13, 12, b=[["9.7", "1"]])]
    replies = [reply(1000.3, 10, [["8", "1"]], [["11", "3"]])]
    replay, updates = played(capture(socket, replies))
    assert (updates[-1][1], updates[-1][-1]) == (9.6, 0)
    assert not replay.market.book("AAUSDT").synced
    replies.append(reply(1000.7, 13, [["9", "1"]], [["11", "3"]]))
    replay, updates = played(capture(socket, replies))
    book = replay.market.book("AAUSDT")
    assert (book.synced, book.resyncs, book.n_bad) == (True, 1, 0)
    assert updates[-1][1] == 9.7


def test_another_connection_touches_no_book(capture: Callable[..., Path]) -> None:
    folder = capture(RECORDED, [reply(1000.3, 10, [["8", "1"]], [["11", "3"]])])
    other = ["wss://x/stream <-> 1000.0", asked(1000.0, "CCUSDT"), "wss://x/stream <-> 1000.5"]
    (folder / "BINANCE_FUTURES.ws.2.0").write_text("\n".join(other) + "\n")
    replay, updates = played(folder)
    assert "CCUSDT" in replay.symbols
    assert all(update[-1] for update in updates)


def test_symbols_are_found_wherever_they_are_subscribed_to(capture: Callable[..., Path]) -> None:
    noise = [depth(1000.0 + n / 1000, n, n, n - 1) for n in range(1, 300)]
    replay, _ = played(capture([RECORDED[0], *noise, asked(1000.9, "AAUSDT")], []))
    assert replay.symbols == ("AAUSDT",)


def test_what_was_held_on_a_lost_connection_is_not_held_for_the_next(capture: Callable[..., Path]) -> None:
    socket = [
        *RECORDED[:4],  # held, for no snapshot has come
        "wss://x/stream <-> 1001.0",
        asked(1001.0, "AAUSDT", "BBUSDT"),
        depth(1001.1, 51, 52, 50, b=[["9.7", "1"]]),
    ]
    replay, _ = played(capture(socket, [reply(1001.2, 51, [["8", "1"]], [["11", "3"]])]))
    book = replay.market.book("AAUSDT")
    assert (book.synced, book.bid, book.n_applied, book.n_bad, book.n_dropped) == (True, 9.7, 1, 0, 0)


def test_snapshots_hours_apart_are_all_taken_up(capture: Callable[..., Path]) -> None:
    socket: list[str] = []
    replies: list[str] = []
    for at, first in ((1000.0, 10), (9000.0, 500), (17000.0, 900)):
        socket += [f"wss://x/stream <-> {at}", asked(at, "AAUSDT")]
        ids = range(first, first + 200)
        socket += [depth(at + (n - first + 1) * 30, n, n, n - 1, b=[["9", f"{n}"]]) for n in ids]
        replies.append(reply(at + 31, first, [["8", "1"]], [["11", "3"]]))
    replay, updates = played(capture(socket, replies))
    book = replay.market.book("AAUSDT")
    assert (book.synced, book.resyncs, book.n_bad) == (True, 2, 0)
    assert updates[-1][3] == 1099.0


def test_symbols_come_in_the_order_of_connections(capture: Callable[..., Path]) -> None:
    folder = capture(RECORDED[:2], [])
    (folder / "BINANCE_FUTURES.ws.2.0").write_text("\n".join([RECORDED[0], asked(1000.0, "CCUSDT")]) + "\n")
    assert Replay(folder, BINANCE).symbols == ("AAUSDT", "BBUSDT", "CCUSDT")
