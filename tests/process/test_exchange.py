"""The local venues keep their word: a plain client has the true books, and each fault is what it says."""

import json
import socket
import threading
import urllib.error
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from exchange import DIALECTS, FAULTS, Limit, Limits, Venue
from exchange.reader import Reader
from websockets.exceptions import InvalidMessage, InvalidStatus
from websockets.sync.client import connect

SYMBOLS = {
    "binance-futures": ["BTCUSDT", "ETHUSDT"],
    "binance-delivery": ["BTCUSD_PERP", "ETHUSD_PERP"],
    "coinbase": ["BTC-USD", "ETH-USD"],
    "kraken": ["BTC/USD", "ETH/USD"],
    "bitget": ["USDT-FUTURES:BTCUSDT", "SPOT:BTCUSDT"],
    "okx": ["BTC-USDT", "BTC-USDT-SWAP"],
    "deribit": ["BTC-PERPETUAL", "ETH-PERPETUAL"],
}
BY_REST = {"binance-futures", "binance-delivery"}
CHAINED = {"binance-futures", "binance-delivery", "okx", "deribit"}
PROVEN = {"kraken", "bitget"}
MOVES = 150


def open_venue(name, **settings):
    return Venue(DIALECTS[name], SYMBOLS[name], seed=11, **settings)


def begin(venue, reader):
    """Subscribe, and have the books."""
    reader.subscribe()
    if venue.words.NAME in BY_REST:
        for symbol in reader.symbols:
            reader.take_up(symbol)
    reader.read()


def whole(book, lots, market):
    """Say whether a side is the market's."""
    mine = {price: Decimal(size) for price, (_, size) in book.items()}
    return mine == {market.price(price): market.size(each) for price, each in lots.items()}


@pytest.fixture(params=sorted(DIALECTS))
def name(request):
    return request.param


@pytest.fixture
def venue(name):
    with open_venue(name) as venue:
        yield venue


@pytest.fixture
def symbol(name):
    return SYMBOLS[name][0]


def test_a_plain_client_has_the_true_books(name, venue):
    with Reader(venue, SYMBOLS[name]) as reader:
        begin(venue, reader)
        venue.move(MOVES)
        assert reader.read()
        for symbol in SYMBOLS[name]:
            book, market = reader.books[symbol], venue.words.markets[symbol]
            assert book.problems == []
            assert len(book.path) == MOVES + 1
            assert whole(book.bids, market.bids, market)
            assert whole(book.asks, market.asks, market)
            for at, top in book.path[1:]:
                assert venue.truth.at_ms(symbol, at) == top
            assert venue.truth.strangers(symbol, [tuple(map(float, top)) for _, top in book.path]) == []
            told = venue.truth.sent(symbol, 1)
            assert [each.number for each in told if each.kind == "update"] == list(range(1, MOVES + 1))
        assert reader.unreadable == []
        assert reader.counters == list(range(len(reader.counters)))
        assert venue.excesses == []


def test_trades_are_told_by_the_takers_side(name, venue):
    routed = name == "binance-futures"
    if routed:
        venue.url = venue.url.replace("/public/", "/market/")
    with Reader(venue, SYMBOLS[name]) as reader:
        reader.subscribe()
        venue.move(60)
        reader.read()
        for symbol in SYMBOLS[name]:
            market, true = venue.words.markets[symbol], venue.truth.trades[symbol]
            assert len(true) > 10
            assert reader.trades[symbol] == [
                (market.price(each.ticks), market.size(each.lots), each.bought) for each in true
            ]
            if routed:
                assert reader.books[symbol].times == []


def test_a_book_is_cut_to_the_depth_that_was_asked_for():
    with open_venue("kraken") as venue, Reader(venue, SYMBOLS["kraken"], depth=10) as reader:
        begin(venue, reader)
        venue.move(400)
        reader.read()
        for symbol, book in reader.books.items():
            market = venue.words.markets[symbol]
            assert book.problems == []
            assert [*sorted(book.bids, reverse=True)] == [
                market.price(each) for each in sorted(market.bids, reverse=True)[:10]
            ]
            assert len(market.bids) > 10


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_fault_is_what_it_says(name, venue, symbol, fault):
    with Reader(venue, SYMBOLS[name]) as reader:
        begin(venue, reader)
        venue.move(2)
        reader.read()
        book = reader.books[symbol]
        del book.times[:]
        venue.spoil(symbol, fault)
        venue.move(3)
        reader.read()
        first, second, third = venue.truth.sent(symbol, 1)[-3:]
        times = [first.event_ms, second.event_ms, third.event_ms]
        assert [first.fault, second.fault] == [fault, ""]
        assert reader.books[SYMBOLS[name][1]].problems == []
        noticed = bool(book.problems or reader.unreadable or reader.counters != sorted(reader.counters))
        if fault in {"lost", "cut", "garbage"}:
            assert book.times == times[1:]
            assert len(reader.unreadable) == (fault != "lost")
        elif fault == "repeated":
            assert book.times == [times[0], *times]
        elif fault == "swapped":
            assert book.times == [times[1], times[0], times[2]]
        elif fault in {"corrupt", "not a number"}:
            assert noticed
        elif fault == "crossed":
            assert "the book is crossed" in book.problems
        elif name in PROVEN:
            assert "the checksum is another one" in book.problems
        else:
            assert not noticed
        if name in CHAINED and fault in {"lost", "swapped"}:
            assert any("does not continue" in each for each in book.problems)
        if name == "coinbase" and fault in {"lost", "repeated", "swapped"}:
            assert reader.counters != list(range(len(reader.counters)))


def test_a_subscription_can_end_and_begin_anew(name, symbol):
    with open_venue(name, limits=Limits()) as venue, Reader(venue, [symbol]) as reader:
        begin(venue, reader)
        asks = reader.ask([symbol], reader.depth)
        ended = json.dumps(asks).replace("subscribe", "unsubscribe").replace("SUBSCRIBE", "UNSUBSCRIBE")
        reader.say(*json.loads(ended))
        venue.wait_until(lambda: not venue.subscribers(symbol))
        reader.read()
        del reader.books[symbol].times[:]
        venue.move(2)
        reader.read()
        assert reader.books[symbol].times == []
        reader.subscribe()
        reader.read()
        assert len(reader.books[symbol].times) == (name not in BY_REST)
        reader.say(*asks)
        reader.read()
        assert len(reader.books[symbol].times) == (name not in BY_REST)


REFUSALS = {
    "coinbase": lambda message: message["type"] == "error" and "NO" in message["message"],
    "kraken": lambda message: not message["success"] and message["error"].startswith("Currency pair not"),
    "bitget": lambda message: message["event"] == "error" and message["code"] == 30001,
    "okx": lambda message: message["event"] == "error" and message["code"] == "60018",
    "deribit": lambda message: message["result"] == [],
    "binance-futures": lambda message: message["result"] is None,
    "binance-delivery": lambda message: message["result"] is None,
}


def test_an_unknown_symbol_is_refused_in_the_venues_words(name, venue):
    with Reader(venue, ["SPOT:NO"]) as reader:
        reader.socket.send(json.dumps(reader.ask(["SPOT:NO"], 10)[0]))
        texts = [json.loads(reader.socket.recv(timeout=10))]
        if name == "kraken":  # the state of the system came first
            texts.append(json.loads(reader.socket.recv(timeout=10)))
        assert REFUSALS[name](texts[-1])
        venue.move(2)
        reader.read()
        assert reader.books["SPOT:NO"].times == []


def test_connections_are_dropped_and_refused_and_let_in_again():
    with open_venue("kraken") as venue:
        drop_and_refuse(venue)


def drop_and_refuse(venue):
    with Reader(venue, venue.symbols) as reader:
        venue.wait_until(lambda: venue.connections == 1)
        assert venue.drop() == 1
        assert not reader.read_for(10)
    with Reader(venue, venue.symbols) as reader:
        venue.wait_until(lambda: venue.connections == 1)
        assert venue.hang_up(1012, "restart") == 1
        assert not reader.read_for(10)
        assert reader.socket.protocol.close_code == 1012
    venue.refuse(times=2, status=503)
    for _ in range(2):
        with pytest.raises(InvalidStatus, match="503"), connect(venue.url):
            pass
    with connect(venue.url):
        pass
    venue.refuse()
    with pytest.raises((OSError, EOFError, InvalidMessage)), connect(venue.url):
        pass
    venue.admit()
    with connect(venue.url):
        pass
    assert venue.opened == 4


def test_a_stalled_connection_stays_and_is_silent(name, venue, symbol):
    with Reader(venue, [symbol]) as reader:
        begin(venue, reader)
        venue.move(2)
        reader.read()
        before = len(reader.books[symbol].times)
        assert venue.stall() == 1
        venue.move(3)
        pong = reader.socket.ping()
        assert reader.read_for(0.1)
        assert len(reader.books[symbol].times) == before
        assert not pong.is_set()
        venue.resume()
        assert pong.wait(10)
        venue.move(1)
        reader.read()
        assert len(reader.books[symbol].times) == before + 1
        assert venue.connections == 1


HANDSHAKE = """GET /public/ws/btcusdt@depth HTTP/1.1\r
Host: venue\r
Upgrade: websocket\r
Connection: Upgrade\r
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
Sec-WebSocket-Version: 13\r
\r
"""


def test_newcomers_may_be_met_with_silence():
    with open_venue("kraken") as venue, Reader(venue, venue.symbols) as reader:
        venue.wait_until(lambda: venue.connections == 1)
        venue.stall(newcomers=True)
        with Reader(venue, venue.symbols) as late:
            venue.wait_until(lambda: venue.connections == 2)
            assert late.read_for(0.1)
            assert late.others == []
            assert venue.resume() == 2
            begin(venue, late)
            venue.move(3)
            assert late.read()
            assert [len(book.path) for book in late.books.values()] == [4, 4]
        assert reader.read()


@pytest.mark.parametrize("name", sorted(DIALECTS.keys() - BY_REST))
def test_a_snapshot_on_the_socket_may_be_lost_or_spoiled(name, venue, symbol):
    other = SYMBOLS[name][1]
    venue.spoil_snapshot(symbol, "lost")
    venue.spoil_snapshot(other, "cut")
    with Reader(venue, SYMBOLS[name]) as reader:
        begin(venue, reader)
        venue.move(1)
        reader.read()
        assert [len(book.times) for book in reader.books.values()] == [1, 1]
        assert [len(book.path) for book in reader.books.values()] == [0, 0]
        assert len(reader.unreadable) == 1
        assert [venue.truth.sent(each)[0].fault for each in SYMBOLS[name]] == ["lost", "cut"]


def test_a_client_that_does_not_read_is_left():
    with open_venue("binance-futures") as venue, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", urlsplit(venue.url).port))
        client.sendall(HANDSHAKE.encode())
        venue.wait_until(lambda: venue.connections == 1)
        venue.limit_backlog(100)
        venue.move(4000, "BTCUSDT")
        assert venue.ended == [(1, "slow consumer")]
        venue.wait_until(lambda: venue.connections == 0)


@pytest.mark.parametrize("name", sorted(BY_REST | {"okx"}))
def test_a_rest_snapshot_can_be_wrong_in_many_ways(venue, symbol):
    with Reader(venue, [symbol]) as reader:
        venue.spoil_rest(symbol, "status", status=429, retry_after_s=3)
        venue.spoil_rest(symbol, "status", status=500)
        for status, retry in ((429, "3"), (500, None)):
            with pytest.raises(urllib.error.HTTPError) as error:
                reader.fetch(symbol)
            with error.value as reply:
                assert reply.status == status
                assert reply.headers["Retry-After"] == retry
        for kind in ("garbage", "truncated"):
            venue.spoil_rest(symbol, kind)
            with pytest.raises(ValueError, match=r"Expecting|Unterminated|Invalid"):
                json.loads(reader.fetch(symbol)[1])
        venue.spoil_rest(symbol, "short")
        with pytest.raises(Exception, match="IncompleteRead"):
            reader.fetch(symbol)
        venue.spoil_rest(symbol, "old")
        venue.move(3)
        old = venue.truth.tops[symbol][-4]
        reader.take_up(symbol)
        assert reader.books[symbol].last_id == old[0]
        assert reader.books[symbol].top() == old[2]
        assert venue.truth.sent(symbol, 0)[-1].fault == "old"


@pytest.mark.parametrize("name", sorted(BY_REST | {"okx"}))
def test_a_late_snapshot_is_of_the_time_when_it_was_asked_for(venue, symbol):
    with Reader(venue, [symbol]) as reader:
        reader.subscribe()
        venue.spoil_rest(symbol, "late")
        asking = threading.Thread(target=reader.take_up, args=(symbol,))
        asking.start()
        venue.wait_until(lambda: venue.exchange.rest.held == 1)
        asked_at = venue.truth.tops[symbol][-1]
        venue.move(3)
        ids = [told.last_id for told in venue.truth.sent(symbol, 1) if told.kind == "update"]
        assert venue.truth.tops[symbol][0][0] < asked_at[0] < ids[0]  # it lies between two messages
        venue.release_rest()
        asking.join(10)
        assert reader.books[symbol].last_id == asked_at[0]
        reader.read()
        assert reader.books[symbol].problems == []
        assert whole(reader.books[symbol].bids, venue.words.markets[symbol].bids, venue.words.markets[symbol])


def test_binance_tells_trades_on_the_stream_that_its_public_route_carries():
    with open_venue("binance-futures") as venue, Reader(venue, ["BTCUSDT"]) as reader:
        reader.say({"method": "SUBSCRIBE", "params": ["btcusdt@trade", "btcusdt@aggTrade"], "id": 1})
        venue.move(40, "BTCUSDT")
        reader.read()
        told = [each["data"] for each in reader.others if "data" in each]
        assert [int(each["t"]) for each in told] == [each.number for each in venue.truth.trades["BTCUSDT"]]


def test_okx_may_leave_the_snapshot_to_rest():
    with open_venue("okx") as venue, Reader(venue, venue.symbols) as reader:
        venue.words.snapshot_by_socket = False
        begin(venue, reader)
        venue.move(3)
        for symbol in venue.symbols:
            reader.take_up(symbol)
        venue.move(3)
        reader.read()
        for symbol, book in reader.books.items():
            assert book.problems == []
            assert whole(book.asks, venue.words.markets[symbol].asks, venue.words.markets[symbol])


@pytest.mark.parametrize(("checksums", "chained"), [(False, True), (True, True), (False, False)])
def test_bitget_may_chain_its_messages_and_may_prove_them(checksums, chained):
    symbol = SYMBOLS["bitget"][0]
    with open_venue("bitget") as venue, Reader(venue, venue.symbols) as reader:
        venue.words.checksums, venue.words.chained = checksums, chained
        begin(venue, reader)
        venue.move(20)
        reader.read()
        assert reader.books[symbol].problems == []
        venue.spoil(symbol, "lost", "wrong checksum")
        venue.move(3)
        reader.read()
        problems = " ".join(reader.books[symbol].problems)
        assert ("does not continue" in problems) == chained
        assert ("the checksum is another one" in problems) == checksums


def test_limits_are_enforced_and_recorded():
    limits = Limits(messages=Limit(3, 60), connects=Limit(2, 60), requests=Limit(40, 60), open_at_once=1)
    with open_venue("binance-futures", limits=limits) as venue, Reader(venue, venue.symbols) as reader:
        for _ in range(2):
            reader.fetch("BTCUSDT")
        with pytest.raises(urllib.error.HTTPError) as error:
            reader.fetch("BTCUSDT")
        error.value.close()
        assert error.value.status == 429
        with pytest.raises(InvalidStatus, match="429"), connect(venue.url):
            pass
        with pytest.raises(InvalidStatus, match="429"), connect(venue.url):
            pass
        for number in range(4):
            reader.socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        assert not reader.read_for(10)
        assert venue.exchange.rest.meter.most() == 60
        assert venue.exchange.all_lines[0].messages.most() == 4
        assert venue.excesses == [
            "connection 1: more than 3 messages in 60 s",
            "more than 1 connections at once",
            "more than 2 connections opened",
            "more REST requests than allowed",
        ]
        assert venue.ended == [(1, "too many messages")]


def test_a_market_moves_by_itself(venue, symbol):
    venue.run(500)
    venue.wait_until(lambda: venue.words.markets[symbol].number >= 20)
    venue.pause()
    number = venue.words.markets[symbol].number
    venue.move(1)
    assert venue.words.markets[symbol].number == number + 1


def test_nothing_is_left_behind():
    before = threading.active_count()
    with open_venue("kraken") as venue, connect(venue.url) as client:
        assert "online" in client.recv(timeout=10)
        venue.run(100)
    assert threading.active_count() == before
    with pytest.raises(OSError, match="refused"), connect(venue.url):
        pass
