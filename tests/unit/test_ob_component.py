from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from dolphin_mp import Done
from dolphin_mp.component import create_component
from dolphin_mp.workers import ob
from dolphin_mp.workers.books.record import BOOK, UPDATE, Status
from dolphin_mp.workers.ob import OrderBook

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

Options = OrderBook.Options


class Recorder:
    """What a component needs of an output: it keeps each record."""

    def __init__(self, last: Any = None) -> None:
        self.records: list[np.ndarray[Any, Any]] = []
        self._last = last

    def publish(self, rows: np.ndarray[Any, Any]) -> int:
        self.records.append(rows.copy())
        return len(self.records)

    def latest(self) -> Any:
        value = self.records[-1] if self.records else self._last
        return None if value is None else SimpleNamespace(value=value)


class Host:
    stopping = False

    def beat(self) -> None:
        """Nobody listens."""


def started(
    options: OrderBook.Options, output: Recorder, host: Host | None = None, updates: Recorder | None = None
) -> OrderBook:
    channels = {"book": output, "updates": updates or Recorder()}
    book = create_component(OrderBook, name="ob", options=options, channels=channels, host=host or Host())
    book.setup()
    return book


def depth(at: float, first: int, last: int, previous: int, price: str) -> str:
    data = {"e": "depthUpdate", "E": 1, "s": "AAUSDT", "U": first, "u": last, "pu": previous}
    return f"{at}: {orjson.dumps({'data': data | {'b': [[price, '1']], 'a': []}}).decode()}"


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    lines = [
        "wss://fstream.binance.com/stream?streams=aausdt@depth@100ms <-> 1000.0",
        depth(1000.01, 9, 10, 8, "9"),
    ]
    lines += [depth(1000.01 + n / 20, 10 + n, 10 + n, 9 + n, f"{9 + n / 1000}") for n in range(1, 200)]
    body = '{"lastUpdateId":10,"bids":[["8","1"]],"asks":[["11","3"]]}'
    reply = f"https://fapi.binance.com/fapi/v1/depth?symbol=AAUSDT&limit=1000 -> 1000.2: {body}"
    (tmp_path / "BINANCE_FUTURES.ws.1.0").write_text("\n".join(lines) + "\n")
    (tmp_path / "BINANCE_FUTURES.http.0.0").write_text(reply + "\n")
    return tmp_path


def steps_until_done(book: OrderBook) -> int:
    for steps in range(1, 10_000):
        try:
            book.step()
        except Done:
            return steps
    raise AssertionError("it never ends")


def replayed(path: Path, **options: Any) -> list[np.ndarray[Any, Any]]:
    output = Recorder()
    book = started(Options(feed="replay", path=str(path), speed=0.0, **options), output)
    steps_until_done(book)
    return output.records


def test_without_options_it_simulates_three_symbols() -> None:
    output = Recorder()
    book = started(Options(), output)
    for _ in range(20):
        book.step()
        book.step()
    rows = output.records[-1]
    assert rows.shape == (16,)
    assert rows.dtype == BOOK
    assert rows["symbol"].tolist()[:4] == [b"BTC-USDT-PERP", b"ETH-USDT-PERP", b"SOL-USDT-PERP", b""]
    assert rows["status"].tolist()[:4] == [Status.OK] * 3 + [Status.INIT]
    assert (rows["bid"][:3] < rows["ask"][:3]).all()


def test_the_simulator_publishes_one_record_a_step() -> None:
    output = Recorder()
    book = started(Options(symbols=["X"], seed=5), output)
    for _ in range(10):
        book.step()
    times = [int(rows["recv_ns"][0]) for rows in output.records]
    assert times == [n * 100_000_000 for n in range(len(times))]
    assert len(times) == 10


def test_its_clock_advances_by_what_the_host_calls_its_interval() -> None:
    output = Recorder()
    channels = {"book": output, "updates": Recorder()}
    book = create_component(OrderBook, name="ob", options=Options(), channels=channels)
    vars(book)["every_s"] = 0.25
    book.setup()
    for _ in range(3):
        book.step()
    assert [int(rows["recv_ns"][0]) for rows in output.records] == [0, 250_000_000, 500_000_000]


def test_the_shape_follows_from_the_options() -> None:
    shape = OrderBook.outputs()["book"].shape
    assert callable(shape)
    assert shape(Options()) == (16,)
    assert shape(Options(max_symbols=2)) == (2,)
    assert shape(Options(symbols=["A", "B", "C"], max_symbols=2)) == (3,)


def test_a_record_has_no_hidden_bytes() -> None:
    assert BOOK.isalignedstruct
    assert BOOK.itemsize == sum(BOOK[name].itemsize for name in BOOK.names or ())


def test_few_rows_mean_few_simulated_symbols() -> None:
    output = Recorder()
    started(Options(max_symbols=1), output).step()
    assert output.records[0]["symbol"].tolist() == [b"BTC-USDT-PERP"]


def test_a_successor_goes_on_in_time_and_price() -> None:
    output = Recorder()
    book = started(Options(symbols=["X"], price=500.0), output)
    for _ in range(40):
        book.step()
    before = output.records[-1][0]
    later = Recorder(output.records[-1])
    started(Options(symbols=["X"], price=500.0), later).step()
    after = later.records[0][0]
    assert after["recv_ns"] == before["recv_ns"] + 100_000_000
    assert after["mid"] == pytest.approx(before["mid"], abs=0.2)


def test_a_replay_ends_with_done_after_its_last_record(capture: Path) -> None:
    records = replayed(capture)
    last = records[-1][0]
    assert (last["symbol"], last["n_applied"], last["bid"]) == (b"AAUSDT", 200, 9.199)
    assert len(records) == 100  # one each 100 ms of 9.96 recorded seconds


def test_each_change_of_a_top_is_published_at_once(capture: Path) -> None:
    output, updates = Recorder(), Recorder()
    book = started(Options(feed="replay", path=str(capture), speed=0.0), output, updates=updates)
    steps_until_done(book)
    told = [record[()] for record in updates.records]
    assert [record.dtype for record in updates.records] == [UPDATE] * len(told)
    assert [int(each["n_applied"]) for each in told] == list(range(201))  # each message raises the bid
    first, last = told[0], told[-1]
    assert (first["symbol"], first["bid"], first["ask"], first["ofi_sum"]) == (b"AAUSDT", 8.0, 11.0, 0.0)
    assert (last["bid"], last["ask"], last["bid_size"], last["ask_size"]) == (9.199, 11.0, 1.0, 3.0)
    assert (last["ofi_sum"], last["synced"]) == (200.0, 1)
    assert last["recv_ns"] == output.records[-1]["recv_ns"][0]
    assert UPDATE.itemsize == sum(UPDATE[name].itemsize for name in UPDATE.names or ())


def test_a_lost_book_is_told_too(capture: Path) -> None:
    path = capture / "BINANCE_FUTURES.ws.1.0"
    lines = path.read_text().split("\n")
    path.write_text("\n".join(lines[:50] + lines[51:]))
    updates = Recorder()
    steps_until_done(
        started(Options(feed="replay", path=str(capture), speed=0.0), Recorder(), updates=updates)
    )
    last = updates.records[-1][()]
    assert (last["synced"], last["n_applied"], last["bid"]) == (0, 49, 9.048)
    assert all(each["synced"] for each in updates.records[:-1])


def test_the_simulators_changes_are_told(capture: Path) -> None:
    updates, output = Recorder(), Recorder()
    book = started(Options(symbols=["X"], seed=5), output, updates=updates)
    for _ in range(300):
        book.step()
    assert len(updates.records) > 100
    row, last = output.records[-1][0], updates.records[-1][()]
    assert [row[name] for name in ("bid", "ask", "ofi")] == [last[name] for name in ("bid", "ask", "ofi_sum")]
    assert -1 <= row["trade_imbalance"] <= 1
    assert abs(row["stoikov"] - row["mid"]) < 0.1


def test_two_replays_publish_the_same_bits(capture: Path) -> None:
    first, second = replayed(capture), replayed(capture)
    assert [rows.tobytes() for rows in first] == [rows.tobytes() for rows in second]


def test_the_speed_changes_no_record(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=7_000_000)
    monkeypatch.setattr(ob._Pace.__init__, "__defaults__", (lambda: next(clock),))
    output = Recorder()
    book = started(Options(feed="replay", path=str(capture), speed=2.0), output)
    assert steps_until_done(book) > 100
    assert [rows.tobytes() for rows in output.records] == [rows.tobytes() for rows in replayed(capture)]


def test_a_step_is_bounded(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ob, "STEP_S", 0.0)
    output = Recorder()
    book = started(Options(feed="replay", path=str(capture), speed=0.0), output)
    book.step()
    assert len(output.records) == 1
    book.step()
    assert len(output.records) == 2
    assert [rows.tobytes() for rows in replayed(capture)][:2] == [rows.tobytes() for rows in output.records]


def test_a_step_ends_when_it_is_asked_to_stop(capture: Path) -> None:
    output, host = Recorder(), Host()
    host.stopping = True
    book = started(Options(feed="replay", path=str(capture), speed=0.0), output, host)
    book.step()
    assert len(output.records) == 1


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"feed": "replay"}, "needs option path"),
        (
            {"feed": "replay", "path": "/nowhere/at/all"},
            "no capture at /nowhere/at/all: No such file or directory",
        ),
        ({"feed": "replay", "path": "/proc/self/fdinfo"}, r"has no file BINANCE_FUTURES\.ws"),
        ({"feed": "dead"}, "option feed is 'dead': it must be one of sim, replay, live, record"),
        ({"feed": "live"}, 'feed = "live" needs option symbols, in the venue\'s own names'),
        ({"feed": "record", "path": "x"}, 'feed = "record" needs option symbols'),
        ({"feed": "record", "symbols": ["A"]}, 'feed = "record" needs option path'),
        ({"feed": "live", "symbols": ["A"], "path": "x"}, 'not for "live"'),
        ({"feed": "live", "symbols": ["A"], "url": "http://x"}, "option url is 'http://x': it must begin"),
        ({"feed": "live", "symbols": ["A"], "rest_url": "ws://x"}, "option rest_url is 'ws://x'"),
        *(
            ({"feed": "live", "symbols": ["A"], name: f"{scheme}://{rest}"}, f"option {name} is .*no address")
            for name, scheme in (("url", "ws"), ("url", "wss"), ("rest_url", "https"))
            for rest in (
                "127.0.0.1:99999",
                "127.0.0.1:abc",
                "x" * 64 + ".com",
                "a..b",
                "",
                ":80",
                "a b",
                "[::1",
                "h\u00f6st",
            )
        ),
        (
            {"feed": "live", "venue": "bitget", "symbols": ["BTCUSDT"]},
            "symbol 'BTCUSDT' is not as the venue writes them: like usdt:BTCUSDT",
        ),
        ({"feed": "live", "symbols": ["BTC USDT"]}, "symbol 'BTC USDT' is not as the venue writes them"),
        ({"feed": "live", "symbols": ["A"], "file_mb": 0.0}, "option file_mb is 0.0: it must be more than 0"),
        ({"feed": "live", "symbols": ["A"], "total_mb": float("nan")}, "option total_mb is nan"),
        ({"venue": "kraken"}, 'option venue is for feed = "replay" and "live" and "record", not for "sim"'),
        ({"url": "ws://x"}, 'option url is for feed = "live" and "record", not for "sim"'),
        ({"rest_url": "http://x"}, 'option rest_url is for feed = "live" and "record", not for "sim"'),
        ({"speed": 2.0}, 'option speed is for feed = "replay", not for "sim"'),
        ({"total_mb": 5.0}, 'option total_mb is for feed = "record", not for "sim"'),
        ({"feed": "live", "symbols": ["A"], "file_mb": 5.0}, "option file_mb is for"),
        ({"feed": "live", "symbols": ["A"], "speed": 0.0}, 'speed is for feed = "replay", not for "live"'),
        ({"feed": "live", "symbols": ["A"], "seed": 4}, 'option seed is for feed = "sim", not for "live"'),
        (
            {"feed": "live", "venue": "kraken", "symbols": ["A/B"], "rest_url": "http://x"},
            "option rest_url is of no use: the venue sends its snapshots on the websocket",
        ),
        ({"venue": "mtgox"}, "option venue is 'mtgox': it must be one of binance-futures, binance-delivery"),
        ({"path": "x"}, 'option path is for feed = "replay"'),
        ({"speed": -1.0}, "option speed is -1.0"),
        ({"speed": float("nan")}, "option speed is nan"),
        ({"max_symbols": 0}, "option max_symbols is 0"),
        ({"symbols": ["A", "A"]}, "named twice"),
        ({"symbols": [""]}, "1 to 24 ASCII"),
        ({"symbols": ["X" * 25]}, "1 to 24 ASCII"),
        ({"tick": 0.0}, "option tick is 0.0: it must be more than 0"),
        ({"lot": float("inf")}, "option lot is inf"),
        ({"price": 0.5}, "at least 100 ticks"),
    ],
)
def test_wrong_options_are_one_clear_line(options: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=line) as caught:
        Options(**options)
    assert "\n" not in str(caught.value)


def test_more_symbols_than_rows_is_said_at_the_start(capture: Path) -> None:
    path = capture / "BINANCE_FUTURES.ws.1.0"
    path.write_text(path.read_text().replace("aausdt@depth@100ms", "aausdt@depth/bbusdt@depth"))
    with pytest.raises(ValueError, match="2 symbols don't fit 1 rows"):
        started(Options(feed="replay", path=str(capture), max_symbols=1), Recorder())


def test_only_a_live_feed_has_a_run_of_its_own() -> None:
    assert not hasattr(OrderBook, "run")
    assert not hasattr(started(Options(), Recorder()), "run")
    book = started(Options(feed="live", venue="kraken", symbols=["BTC/USD"]), Recorder())
    assert callable(book.run)


def test_a_recording_whose_bounds_can_not_hold_is_refused_with_the_options_named() -> None:
    pairs = [f"usdt:A{number}USDT" for number in range(25)]  # two connections of 24
    recording: dict[str, Any] = {"feed": "record", "path": "/nowhere", "file_mb": 10.0}
    for venue, symbols, least in (("kraken", ["BTC/USD"], 30.0), ("bitget", pairs, 40.0)):
        Options(venue=venue, symbols=symbols, total_mb=least, **recording)
        with pytest.raises(
            ValueError, match=f"option total_mb is {least - 1:g}: .* times file_mb, which is 10"
        ):
            Options(venue=venue, symbols=symbols, total_mb=least - 1, **recording)


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in ("file", "file/deep/folder"):
        with pytest.raises(ValueError, match=r"option path is .*there can be no such folder, for .*/file is"):
            Options(feed="record", venue="kraken", symbols=["BTC/USD"], path=str(tmp_path / path))


def test_a_folder_that_can_not_be_made_stops_no_book(tmp_path: Path) -> None:
    options = Options(
        feed="record", venue="kraken", symbols=["BTC/USD"], path=str(tmp_path / "made" / "later")
    )
    (tmp_path / "made").write_text("in the way since")
    assert callable(started(options, Recorder()).run)
