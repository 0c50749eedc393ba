"""Local venues' beats, pings, time-outs and notices, some of them hurried."""

import contextlib
import json

import pytest
from exchange import DIALECTS, Venue
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


def open_venue(name, symbol, hurry=1.0):
    return Venue(DIALECTS[name], [symbol], hurry=hurry)


def until_it_ends(client):
    """Give what still comes."""
    texts = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            texts.append(client.recv(timeout=10))
    return texts


def test_kraken_beats_when_nothing_else_is_said_and_only_to_subscribers():
    with open_venue("kraken", "BTC/USD", 20) as venue, connect(venue.url) as client:
        assert json.loads(client.recv(timeout=10))["data"][0]["system"] == "online"
        with pytest.raises(TimeoutError):
            client.recv(timeout=0.15)
        params = {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": True}
        client.send(json.dumps({"method": "subscribe", "params": params}))
        assert json.loads(client.recv(timeout=10))["success"] is True
        assert json.loads(client.recv(timeout=10))["type"] == "snapshot"
        assert client.recv(timeout=10) == '{"channel":"heartbeat"}'
        client.send('{"method":"ping","req_id":101}')
        texts = [json.loads(client.recv(timeout=10)) for _ in range(3)]
        assert [each["req_id"] for each in texts if each.get("method") == "pong"] == [101]


def test_kraken_says_that_its_engine_goes_into_maintenance():
    with open_venue("kraken", "BTC/USD") as venue, connect(venue.url) as client:
        client.recv(timeout=10)
        assert venue.notice() == 1
        assert json.loads(client.recv(timeout=10))["data"][0]["system"] == "maintenance"


def test_coinbase_counts_its_beats_and_all_messages():
    with open_venue("coinbase", "BTC-USD", 20) as venue, connect(venue.url) as client:
        client.send('{"type":"subscribe","channel":"heartbeats"}')
        texts = [json.loads(client.recv(timeout=10)) for _ in range(4)]
        assert [each["sequence_num"] for each in texts] == [0, 1, 2, 3]
        counters = [int(each["events"][0]["heartbeat_counter"]) for each in texts[1:]]
        assert counters == list(range(counters[0], counters[0] + 3))


@pytest.mark.parametrize(
    ("name", "symbol", "why"),
    [
        ("coinbase", "BTC-USD", "nothing subscribed"),
        ("okx", "BTC-USDT", "no ping"),
        ("bitget", "SPOT:BTCUSDT", "no ping"),
    ],
)
def test_a_silent_client_is_left(name, symbol, why):
    with open_venue(name, symbol, 200) as venue, connect(venue.url) as client:
        assert until_it_ends(client) == []
        assert venue.ended == [(1, why)]


@pytest.mark.parametrize(("name", "symbol"), [("okx", "BTC-USDT"), ("bitget", "SPOT:BTCUSDT")])
def test_ping_is_a_word(name, symbol):
    with open_venue(name, symbol) as venue, connect(venue.url) as client:
        client.send("ping")
        assert client.recv(timeout=10) == "pong"


def test_okx_announces_the_end():
    with open_venue("okx", "BTC-USDT") as venue, connect(venue.url) as client:
        venue.wait_until(lambda: venue.connections == 1)
        assert venue.notice() == 1
        notice = json.loads(client.recv(timeout=10))
        assert (notice["event"], notice["code"]) == ("notice", "64008")


def call(client, method, **params):
    client.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))


def test_deribit_wants_its_test_answered():
    with open_venue("deribit", "BTC-PERPETUAL", 200) as venue, connect(venue.url) as client:
        call(client, "public/set_heartbeat", interval=5)
        assert json.loads(client.recv(timeout=10))["error"]["code"] == -32602
        call(client, "public/set_heartbeat", interval=10)
        assert json.loads(client.recv(timeout=10))["result"] == "ok"
        for _ in range(3):
            kinds = [json.loads(client.recv(timeout=10))["params"]["type"] for _ in range(2)]
            assert kinds == ["heartbeat", "test_request"]
            call(client, "public/test")
            assert "version" in json.loads(client.recv(timeout=10))["result"]
        assert len(until_it_ends(client)) == 2
        assert venue.ended == [(1, "no answer to the test")]


def test_deribit_refuses_raw_books_to_strangers_and_ends_who_asks_too_much():
    with open_venue("deribit", "BTC-PERPETUAL") as venue, connect(venue.url) as client:
        call(client, "public/subscribe", channels=["book.BTC-PERPETUAL.raw"])
        assert json.loads(client.recv(timeout=10))["error"]["code"] == 13778
        for _ in range(10):
            call(client, "public/subscribe", channels=["book.BTC-PERPETUAL.100ms"])
        texts = until_it_ends(client)
        assert json.loads(texts[-1])["error"]["code"] == 10028
        assert venue.excesses == ["connection 1: more than 10 subscriptions in 3 s"]


def test_binance_pushes_what_belongs_to_the_route():
    with open_venue("binance-futures", "BTCUSDT") as venue:
        for route, kinds in (("/public", {"depthUpdate"}), ("/market", {"aggTrade"}), ("", {"depthUpdate"})):
            url = venue.url.replace("/public/stream", f"{route}/ws/btcusdt@depth/btcusdt@aggTrade")
            with connect(url, max_queue=1 << 20) as client:
                venue.wait_until(lambda: venue.connections == 1)
                venue.move(40)
                texts = [json.loads(client.recv(timeout=10)) for _ in range(20)]
                assert {each["e"] for each in texts} == kinds
            venue.wait_until(lambda: venue.connections == 0)


def test_binance_complains_of_what_it_does_not_understand():
    with open_venue("binance-futures", "BTCUSDT") as venue, connect(venue.url) as client:
        asks = (
            '{"method":"SUBSCRIBE","params":["btcusdt@depth"]}',
            "{",
            '{"method":"X","id":1,"params":["a"]}',
        )
        for text in asks:
            client.send(text)
            assert "error" in json.loads(client.recv(timeout=10))
