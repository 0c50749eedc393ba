"""A live feed's real loop against local venues that speak the dialects, and do all that goes wrong."""

from __future__ import annotations

import errno
import math
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from exchange import DIALECTS as VENUE_KINDS
from exchange import FAULTS, Venue
from live_client import SYMBOLS, Client, at_venue

from dolphin_mp.workers.books import market, record
from dolphin_mp.workers.books.record import Status
from dolphin_mp.workers.books.replay import Replay
from dolphin_mp.workers.books.venues import VENUES
from dolphin_mp.workers.feeds import asker, backoff, line, recorder, session
from dolphin_mp.workers.feeds.dialects import DIALECTS
from dolphin_mp.workers.feeds.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dolphin_mp.workers.books.venues import VenueName

NAMES = sorted(DIALECTS)


def opened(name: VenueName, symbols: Sequence[str] = (), **settings: Any) -> Venue:
    return Venue(
        VENUE_KINDS[name], [at_venue(symbol) for symbol in symbols or SYMBOLS[name]], seed=7, **settings
    )


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delays are a twentieth; how they grow is the unit tests' matter."""
    monkeypatch.setattr(backoff, "FIRST_S", 0.05)
    monkeypatch.setattr(backoff, "MOST_S", 3.0)
    monkeypatch.setattr(asker, "ANSWER_S", 3.0)
    monkeypatch.setattr(asker, "FIRST_CHANGE_S", 0.3)


def check_tops(client: Client, symbol: str) -> None:
    """Each top that was published as in sync was the venue's at some time, in this order."""
    seen = [(top[1], top[3], top[2], top[4]) for top in client.told(symbol) if top[-1]]
    assert client.venue.truth.strangers(at_venue(symbol), seen) == []
    assert seen


def whose_is_unknown(name: VenueName, fault: str) -> bool:
    """Tell whether a fault may have been any book's, so that it costs all of them their sync."""
    if name == "coinbase":  # all messages of a connection are numbered together
        return fault in {"cut", "garbage", "lost", "repeated", "swapped"}
    return fault == "garbage" and name in {"bitget", "kraken"}  # elsewhere each book's next message shows it


def check_untouched(client: Client, symbol: str) -> None:
    """A book was in sync once and for all."""
    row = client.row(symbol)
    assert (row["resyncs"], row["n_bad"], row["synced"]) == (0, 0, 1)
    assert all(top[-1] for top in client.told(symbol))


@pytest.mark.parametrize("name", NAMES)
def test_books_are_the_venues(name: VenueName) -> None:
    with opened(name) as venue, Client(name, venue) as client:
        venue.wait_for_book()
        venue.move(200)
        client.wait_for_truth()
        venue.move(200)
        client.wait_for_truth()
        for symbol in client.symbols:
            check_tops(client, symbol)
            check_untouched(client, symbol)
            assert client.row(symbol)["status"] in {Status.OK, Status.DEGRADED}
        assert venue.excesses == []


@pytest.mark.parametrize("name", [name for name in NAMES if DIALECTS[name].REST_URL])
def test_on_a_quiet_market_the_snapshot_is_of_the_last_message(name: VenueName) -> None:
    with opened(name) as venue:
        for market in venue.words.markets.values():
            market.quiet = True
        with Client(name, venue) as client:
            venue.wait_for_book()
            client.wait_until(lambda: all(client.row(symbol)["synced"] for symbol in client.symbols))
            venue.move(20)
            client.wait_for_truth()
            for symbol in client.symbols:
                check_tops(client, symbol)
                check_untouched(client, symbol)
                assert client.row(symbol)["n_applied"] == 20


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_book_is_healed_and_the_others_are_not_touched(name: VenueName, fault: str) -> None:
    with opened(name) as venue, Client(name, venue) as client:
        venue.wait_for_book()
        venue.move(20)
        client.wait_for_truth()
        victim, other = client.symbols
        venue.spoil(at_venue(victim), fault)
        venue.run(per_s=100)
        client.wait_until(lambda: len(client.told(other)) > 50)
        venue.pause()
        venue.settle()
        client.wait_for_truth(victim)
        client.wait_for_truth(other)
        check_tops(client, victim)
        if whose_is_unknown(name, fault):
            check_tops(client, other)
        else:
            check_untouched(client, other)
        assert venue.excesses == []
        assert (venue.opened, venue.ended) == (1, [])


@pytest.mark.parametrize("name", NAMES)
def test_a_lost_connection_comes_again_with_all_books(name: VenueName) -> None:
    with opened(name) as venue, Client(name, venue) as client:
        venue.wait_for_book()
        venue.move(20)
        client.wait_for_truth()
        venue.refuse()
        assert venue.drop() == 1
        client.wait_until(lambda: not client.rows["synced"].any())
        assert (client.rows["status"] == Status.BAD).all()
        assert all(math.isnan(mid) for mid in client.rows["mid"])
        assert not any(math.isnan(bid) for bid in client.rows["bid"])  # the top stays, with its age
        venue.admit()
        venue.wait_until(lambda: venue.opened > 1 and venue.connections > 0)
        venue.wait_for_book()
        venue.move(20)
        client.wait_for_truth()
        assert (client.rows["resyncs"] == 1).all()
        for symbol in client.symbols:
            check_tops(client, symbol)
        assert venue.excesses == []


@pytest.mark.parametrize("name", NAMES)
def test_a_connection_closed_in_good_manners_comes_again_too(name: VenueName) -> None:
    with opened(name) as venue, Client(name, venue) as client:
        venue.wait_for_book()
        venue.move(5)
        client.wait_for_truth()
        venue.hang_up(1001, "going away")
        client.wait_until(lambda: bool((client.rows["resyncs"] == 1).all()))
        venue.move(5)
        client.wait_for_truth()


@pytest.mark.parametrize("name", NAMES)
def test_a_stalled_connection_is_left(name: VenueName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SILENT_S", 2.0)
    for module in (record, market):
        monkeypatch.setattr(module, "STALE_AFTER_NS", 700_000_000)
    with opened(name) as venue, Client(name, venue) as client:
        venue.wait_for_book()
        venue.run(per_s=20)
        client.wait_until(lambda: bool(client.rows["synced"].all()))
        begun_ns = int(client.rows["at_ns"][0])
        client.wait_until(lambda: int(client.rows["at_ns"][0]) - begun_ns > 3_000_000_000)
        assert venue.opened == 1  # what speaks is not left
        venue.stall()
        client.wait_until(lambda: bool((client.rows["status"] == Status.STALE).all()))
        assert client.rows["synced"].all()
        client.wait_until(lambda: bool((client.rows["resyncs"] == 1).all()))
        venue.pause()
        venue.settle()
        client.wait_for_truth()
        assert any("nothing was heard for 2 s" in line for line in client.lines)


@pytest.mark.parametrize("name", NAMES)
def test_who_is_turned_away_comes_again(name: VenueName) -> None:
    with opened(name) as venue:
        venue.refuse(3)
        venue.refuse(2, 503)
        with Client(name, venue) as client:
            venue.wait_for_book()
            venue.move(5)
            client.wait_for_truth()
            assert sum("connection ended" in line for line in client.lines) >= 2
            assert venue.excesses == []


@pytest.mark.parametrize("name", ["binance-futures", "binance-delivery", "okx"])
def test_a_venue_that_announces_its_end_is_left(name: VenueName) -> None:
    with opened(name) as venue, Client(name, venue) as client:
        venue.wait_for_book()
        venue.move(5)
        client.wait_for_truth()
        assert venue.notice() == 1
        client.wait_until(lambda: bool((client.rows["resyncs"] == 1).all()))
        venue.move(5)
        client.wait_for_truth()


def test_an_address_where_nobody_listens_is_a_state_and_no_crash() -> None:
    with opened("kraken") as venue:
        url, rest_url = venue.url, venue.rest_url

    class Nobody:
        pass

    nobody: Any = Nobody()
    nobody.url, nobody.rest_url = url, rest_url
    with Client("kraken", nobody) as client:
        client.wait_until(lambda: sum("Connect call failed" in line for line in client.lines) >= 3)
        assert (client.rows["status"] == Status.INIT).all()


@pytest.mark.parametrize("place", ["127.0.0.1:99999", "x" * 64 + ".invalid"])
def test_an_address_that_is_none_is_a_state_too(place: str) -> None:
    nobody: Any = SimpleNamespace(url=f"ws://{place}/", rest_url="")
    with Client("kraken", nobody) as client:
        client.wait_until(lambda: sum("is no address" in line for line in client.lines) >= 3)
        assert (client.rows["status"] == Status.INIT).all()


def test_a_rest_service_whose_address_is_none_is_a_state_too() -> None:
    with opened("binance-futures") as venue:
        somewhere: Any = SimpleNamespace(url=venue.url, rest_url="http://127.0.0.1:99999")
        with Client("binance-futures", somewhere) as client:
            venue.wait_for_book()
            venue.run(per_s=20)
            client.wait_until(lambda: sum("is no address" in line for line in client.lines) >= 3)
            assert (client.rows["status"] == Status.INIT).all()
            assert venue.opened == 1


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_symbol_costs_the_others_nothing(name: VenueName) -> None:
    known = SYMBOLS[name]
    unknown = known[0].replace("BTC", "NIX")
    with opened(name) as venue, Client(name, venue, [known[0], unknown, known[1]]) as client:
        venue.wait_for_book()
        venue.run(per_s=50)
        client.wait_until(lambda: all(client.row(symbol)["n_applied"] > 30 for symbol in known))
        client.wait_until(lambda: any(unknown in line or "refuses" in line for line in client.lines))
        venue.pause()
        venue.settle()
        client.wait_for_truth(*known)
        assert client.row(unknown)["status"] == Status.INIT
        assert venue.opened == 1
        assert venue.excesses == []
        assert len([path for path in venue.asked if unknown in path]) == (name in BY_REST)  # for good
        assert sum("refuses" in line for line in client.lines) == 1
        assert any("refuses" in line and unknown in line for line in client.lines)


@pytest.mark.parametrize("name", NAMES)
def test_many_symbols_are_asked_for_within_the_limits(name: VenueName) -> None:
    first = SYMBOLS[name][0]
    count = 25 if name in BY_REST else 60  # a minute's limit on snapshots leaves room for both rounds
    symbols = [first.replace("BTC", f"C{number:02}") for number in range(count)]
    with opened(name, symbols) as venue, Client(name, venue, symbols) as client:
        venue.run(per_s=5)
        client.wait_until(lambda: int(client.rows["synced"].sum()) >= 20)
        venue.drop()
        client.wait_until(lambda: int(client.rows["resyncs"].sum()) >= 20)
        assert venue.excesses == []


def test_where_a_venue_limits_a_connections_symbols_each_connection_is_by_itself() -> None:
    kraken = DIALECTS["kraken"]
    dialect = SimpleNamespace(**{name: getattr(kraken, name) for name in dir(kraken) if name[0] != "_"})
    dialect.LIMITS = kraken.LIMITS._replace(symbols=2)
    symbols = ["BTC/USD", "ETH/USD", "SOL/USD"]
    with opened("kraken", symbols) as venue, Client("kraken", venue, symbols, dialect=dialect) as client:
        venue.wait_for_book()
        venue.move(20)
        client.wait_for_truth()
        assert venue.connections == 2
        assert [client.row(symbol)["symbol"].decode() for symbol in symbols] == symbols
        alone = next(each for each in venue.exchange.lines if "SOL" in str(each.peer.channels))
        venue._thread.do(alone.cut)
        client.wait_until(lambda: bool(client.row("SOL/USD")["resyncs"]))
        venue.move(20)
        client.wait_for_truth()
        check_untouched(client, "BTC/USD")
        check_untouched(client, "ETH/USD")
        assert venue.excesses == []


BY_REST: list[VenueName] = ["binance-futures", "binance-delivery"]


@pytest.mark.parametrize("kind", ["garbage", "truncated", "short", "status", "old", "late"])
@pytest.mark.parametrize("name", BY_REST)
def test_a_snapshot_that_does_not_come_is_fetched_again(
    name: VenueName, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line.fetch, "TIMEOUT_S", 1.0)
    with opened(name) as venue:
        victim, other = SYMBOLS[name]
        venue.spoil_rest(victim, kind, status=503, times=2)
        venue.move(30)
        with Client(name, venue) as client:
            venue.wait_for_book()
            venue.run(per_s=50)
            client.wait_until(lambda: bool(client.rows["synced"].all()))
            venue.release_rest()
            venue.pause()
            venue.settle()
            client.wait_for_truth()
            check_tops(client, victim)
            check_untouched(client, other)
            assert len([path for path in venue.asked if victim in path]) >= 3
            assert venue.excesses == []


@pytest.mark.parametrize("status", [429, 418])
def test_a_venue_that_wants_to_be_left_alone_is(status: int) -> None:
    with opened("binance-futures") as venue:
        venue.spoil_rest("BTCUSDT", "status", status=status, retry_after_s=2)
        with Client("binance-futures", venue) as client:
            venue.run(per_s=50)
            client.wait_until(lambda: any(f"HTTP {status}" in line for line in client.lines))
            turned_away_ns = int(client.row("BTCUSDT")["at_ns"])
            client.wait_until(lambda: bool(client.row("BTCUSDT")["synced"]))
            assert int(client.row("BTCUSDT")["at_ns"]) - turned_away_ns > 1_500_000_000


@pytest.mark.parametrize("name", NAMES)
def test_what_was_recorded_replays_to_the_same_updates(name: VenueName, tmp_path: Path) -> None:
    with opened(name) as venue, Client(name, venue, folder=tmp_path, file_bytes=100_000) as client:
        venue.wait_for_book()
        venue.move(50)
        client.wait_for_truth()
        venue.spoil(at_venue(client.symbols[0]), "lost", "cut", "crossed")
        venue.run(per_s=50)
        client.wait_until(lambda: len(client.updates) > 150)
        venue.pause()
        venue.settle()
        client.wait_for_truth()
        before = client.rows["resyncs"].copy()
        venue.drop()
        client.wait_until(lambda: bool((client.rows["resyncs"] > before).all()))
        venue.move(20)
        client.wait_for_truth()
    updates: list[tuple[Any, ...]] = []
    replay = Replay(tmp_path, VENUES[name], changed=updates.append)
    assert replay.symbols == tuple(client.symbols)
    for _ in replay.frames(100_000_000):
        pass
    assert list(map(repr, updates)) == list(map(repr, client.updates))  # NaN is not NaN
    for symbol in client.symbols:
        row, book = client.row(symbol), replay.market.book(symbol)
        counts = (book.n_applied, book.n_dropped, book.n_bad, book.resyncs, book.synced)
        assert counts == tuple(row[["n_applied", "n_dropped", "n_bad", "resyncs", "synced"]].item())
    assert len(list(tmp_path.glob("*.ws.1.*"))) > 1


@pytest.mark.parametrize("name", NAMES)
def test_what_is_left_of_a_recording_always_has_its_snapshots(
    name: VenueName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "RENEW_S", 0.5)
    bounds = {"file_bytes": 150_000, "total_bytes": 900_000}
    with opened(name) as venue, Client(name, venue, folder=tmp_path, **bounds) as client:
        venue.wait_for_book()
        venue.run(per_s=400)
        first = tmp_path / f"{VENUES[name].CAPTURE}.ws.1.0"
        client.wait_until(lambda: any(f"removed {first.name}," in line for line in client.lines))
        client.wait_until(lambda: sum("removed" in line for line in client.lines) >= 4)
        venue.pause()
        venue.settle()
        client.wait_for_truth()
        assert any("will be removed from the recording" in line for line in client.lines)
        assert venue.excesses == []
    assert not first.exists()
    replay = Replay(tmp_path, VENUES[name])
    for _ in replay.frames(100_000_000):
        pass
    assert sorted(replay.symbols) == sorted(client.symbols)
    for symbol in client.symbols:
        assert replay.market.book(symbol).synced
        assert [float(each) for each in replay.market.book(symbol).top()] == [
            float(client.row(symbol)[side]) for side in ("bid", "ask", "bid_size", "ask_size")
        ]


@pytest.mark.parametrize("name", NAMES)
def test_after_a_gap_a_recording_gets_new_snapshots(
    name: VenueName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, put = threading.Event(), recorder._put

    def put_if_there_is_room(file: Any, data: Any) -> int:
        if not room.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        return put(file, data)

    monkeypatch.setattr(recorder, "RETRY_S", 0.1)
    monkeypatch.setattr(line, "RENEW_S", 0.1)
    room.set()
    with opened(name) as venue, Client(name, venue, folder=tmp_path) as client:
        monkeypatch.setattr(recorder, "_put", put_if_there_is_room)
        venue.wait_for_book()
        venue.run(per_s=50)
        client.wait_until(lambda: bool(client.rows["synced"].all()))
        room.clear()
        client.wait_until(lambda: any("stops: No space" in line for line in client.lines))
        room.set()
        client.wait_until(lambda: any("is missing in the recording" in line for line in client.lines))
        client.wait_until(lambda: bool((client.rows["resyncs"] >= 1).all()))
        venue.pause()
        venue.settle()
        client.wait_for_truth()
        assert venue.opened > 1
    replay = Replay(tmp_path, VENUES[name])
    for _ in replay.frames(100_000_000):
        pass
    for symbol in client.symbols:
        row = client.row(symbol)
        assert replay.market.book(symbol).synced
        assert replay.market.book(symbol).top()[:2] == (row["bid"], row["ask"])


def test_a_disk_that_hangs_delays_no_book_and_loses_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves, write = threading.Event(), Recorder.write

    def write_late(self: Recorder, batch: dict[str, list[bytes]], now: float) -> None:
        moves.wait(20.0)
        write(self, batch, now)

    monkeypatch.setattr(Recorder, "write", write_late)
    with opened("kraken") as venue, Client("kraken", venue, folder=tmp_path) as client:
        venue.wait_for_book()
        venue.move(100)
        client.wait_for_truth()
        assert list(tmp_path.iterdir()) == []
        moves.set()
    updates: list[tuple[Any, ...]] = []
    for _ in Replay(tmp_path, VENUES["kraken"], changed=updates.append).frames(100_000_000):
        pass
    assert list(map(repr, updates)) == list(map(repr, client.updates))
