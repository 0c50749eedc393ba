"""What each venue's messages mean, by an example of each."""

from __future__ import annotations

from typing import Any

import pytest

from dolphin_mp.workers.books.events import BadMessageError, Delta, Opened, Snapshot, Trade
from dolphin_mp.workers.books.venues import VENUES

MS = 1_000_000


def parse(venue: Any, message: bytes) -> Any:
    return VENUES[venue].parse(message)


def test_coinbase() -> None:
    update = (
        b'{"type":"l2update","product_id":"A-B","changes":[["buy","1.5","2"],["sell","1.7","0"]],'
        b'"time":"2021-04-17T16:43:37.075687Z"}'
    )
    at = 1618677817075687000
    assert parse("coinbase", update) == (Delta("A-B", at, at, -1, at, [(1.5, 2.0)], [(1.7, 0.0)]),)
    whole = b'{"type":"snapshot","product_id":"A-B","asks":[["2","3"]],"bids":[["1","5"]]}'
    assert parse("coinbase", whole) == (Snapshot("A-B", 0, 0, [(1.0, 5.0)], [(2.0, 3.0)]),)
    trade = (
        b'{"type":"match","side":"sell","size":"985","price":"0.5","product_id":"A-B",'
        b'"time":"2021-04-17T16:43:37.075687Z"}'
    )
    assert parse("coinbase", trade) == (Trade("A-B", at, 0.5, 985.0, True),)  # the maker sold: it was bought
    for other in (b'{"type":"ticker"}', b'{"type":"last_match"}', b'{"type":"subscriptions"}'):
        assert parse("coinbase", other) == ()


def test_kraken() -> None:
    change = (
        b'[5,{"a":[["1.70","0.05","1618678133.383209"]]},'
        b'{"b":[["1.50","2.00","1618678134.5","r"]],"c":"974"},"book-1000","A/B"]'
    )
    (delta,) = parse("kraken", change)
    assert delta[:7] == ("A/B", 0, 0, 0, 1618678134_500_000_000, [(1.5, 2.0)], [(1.7, 0.05)])
    assert delta.proof == (["150200"], ["1705"], 974)
    whole = b'[5,{"as":[["2","3","1.5"]],"bs":[]},"book-25","A/B"]'
    (snapshot,) = parse("kraken", whole)
    assert (snapshot.last_id, snapshot.limit, snapshot.bids, snapshot.proof) == (
        0,
        25,
        [],
        ([], ["23"], None),
    )
    trades = b'[6,[["1.5","2","3.25","s","l",""],["1.6","4","3.5","b","m",""]],"trade","A/B"]'
    assert parse("kraken", trades) == (
        Trade("A/B", 3250 * MS, 1.5, 2.0, False),
        Trade("A/B", 3500 * MS, 1.6, 4.0, True),
    )
    opened = b'{"channelID":5,"channelName":"book-25","event":"subscriptionStatus","pair":"A/B"}'
    assert parse("kraken", opened) == (Opened("A/B", 5, True),)
    for other in (b'{"event":"heartbeat"}', b'[6,{"a":["1",2]},"ticker","A/B"]'):
        assert parse("kraken", other) == ()


def test_bitget() -> None:
    message = (
        b'{"action":"%s","arg":{"instType":"MC","channel":"%s","instId":"AB"},'
        b'"data":[{"asks":[["2.0","0"]],"bids":[["1.50","3"]],"checksum":-5,"ts":"1649290077496"}]}'
    )
    at = 1649290077496 * MS
    proof = (["1.50:3"], ["2.0:0"], -5)
    levels = [(1.5, 3.0)], [(2.0, 0.0)]
    assert parse("bitget", message % (b"update", b"books")) == (
        Delta("mc:AB", at, at, -1, at, *levels, proof),
    )  # type: ignore[arg-type]
    assert parse("bitget", message % (b"snapshot", b"books")) == (Snapshot("mc:AB", at, at, *levels, proof),)  # type: ignore[arg-type]
    assert parse("bitget", message % (b"snapshot", b"candle1m")) == ()
    trade = (
        b'{"action":"%s","arg":{"instType":"sp","channel":"trade","instId":"AB"},'
        b'"data":[["1649290077496","1.5","2","buy"]]}'
    )
    assert parse("bitget", trade % b"update") == (Trade("sp:AB", at, 1.5, 2.0, True),)
    assert parse("bitget", trade % b"snapshot") == ()  # what was traded before
    assert parse("bitget", b"pong") == parse("bitget", b'{"event":"subscribe","arg":{}}') == ()


def test_okx() -> None:
    message = (
        b'{"action":"update","arg":{"channel":"books","instId":"A-B"},"data":[{"asks":[["2.0","0","0","0"]],'
        b'"bids":[["1.50","3","0","2"]],"checksum":%s,"ts":"1649290077496"%s}]}'
    )
    at = 1649290077496 * MS
    (now,) = parse("okx", message % (b"0", b',"seqId":9,"prevSeqId":7'))
    assert now[:5] == ("A-B", 9, 9, 7, at)
    assert now.proof.checksum is None  # 0 says nothing
    (before,) = parse("okx", message % (b"-5", b""))
    assert before[:5] == ("A-B", at, at, -2, at)
    assert before.proof == (["1.50:3"], ["2.0:0"], -5)
    trade = (
        b'{"arg":{"channel":"trades","instId":"A-B"},'
        b'"data":[{"instId":"A-B","tradeId":"1","px":"1.5","sz":"2","side":"sell","ts":"1649290077496"}]}'
    )
    assert parse("okx", trade) == (Trade("A-B", at, 1.5, 2.0, False),)
    assert parse("okx", b"pong") == parse("okx", b'{"event":"error","code":"60012"}') == ()


def test_deribit() -> None:
    message = (
        b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"%s","data":{"type":"%s",'
        b'"timestamp":1626993724318,%s"instrument_name":"A-B","change_id":9,'
        b'"bids":[["new",0.001,2.6]],"asks":[%s]}}}'
    )
    at = 1626993724318 * MS
    change = message % (b"book.A-B.raw", b"change", b'"prev_change_id":7,', b'["delete",0.002,0.0]')
    assert parse("deribit", change) == (Delta("A-B", 9, 9, 7, at, [(0.001, 2.6)], [(0.002, 0.0)]),)
    whole = message % (b"book.A-B.raw", b"snapshot", b"", b'["new",1,4]')
    assert parse("deribit", whole) == (Snapshot("A-B", 9, at, [(0.001, 2.6)], [(1.0, 4.0)]),)
    trades = (
        b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"trades.A-B.raw","data":[{"price":1.5,'
        b'"amount":2.0,"direction":"buy","timestamp":1626993724318,"instrument_name":"A-B"}]}}'
    )
    assert parse("deribit", trades) == (Trade("A-B", at, 1.5, 2.0, True),)
    assert parse("deribit", b'{"jsonrpc":"2.0","id":0,"result":[]}') == ()


@pytest.mark.parametrize(("maker", "bought"), [(b"true", False), (b"false", True)])
def test_binance_trades(maker: bytes, bought: bool) -> None:
    trade = b'{"e":"aggTrade","E":9,"s":"AB","p":"1.5","q":"2","T":8,"m":%s}' % maker
    assert parse("binance-futures", trade) == (Trade("AB", 8 * MS, 1.5, 2.0, bought),)
    assert parse("binance-delivery", trade) == (Trade("AB", 8 * MS, 1.5, 2.0, bought),)


@pytest.mark.parametrize(
    ("venue", "message", "symbol"),
    [
        ("binance-futures", b'{"e":"aggTrade","s":"AB","p":"nan","q":"2","T":8,"m":true}', "AB"),
        ("binance-futures", b'{"stream":"ab@aggTrade","data":{"e":"aggTrade","s":"AB","p":"1', "AB"),
        ("coinbase", b'{"type":"match","product_id":"A-B","side":"up"}', "A-B"),
        ("coinbase", b'{"type":"ticker","product_id":"A-B","pri', "A-B"),
        ("kraken", b'[6,[["1.5","2"]],"trade","A/B"]', "A/B"),
        ("kraken", b'[6,[["1.5","2","3.25","x"]],"trade","A/B"]', "A/B"),
        (
            "bitget",
            b'{"action":"update","arg":{"instType":"sp","channel":"trade","instId":"AB"},"data":[1]}',
            "sp:AB",
        ),
        (
            "bitget",
            b'{"action":"update","arg":{"instType":"sp","channel":"ticker","instId":"AB"},"da',
            "sp:AB",
        ),
        ("okx", b'{"arg":{"channel":"trades","instId":"A-B"},"data":[{"px":"0","sz":"1","ts":"1"}]}', "A-B"),
        ("deribit", b'{"jsonrpc":"2.0","params":{"channel":"trades.A-B.raw","data":[{"pr', "A-B"),
    ],
)
def test_a_bad_trade_is_no_matter_of_the_book(venue: Any, message: bytes, symbol: str) -> None:
    with pytest.raises(BadMessageError) as caught:
        parse(venue, message)
    assert (caught.value.symbol, caught.value.of_book) == (symbol, False)


@pytest.mark.parametrize(
    ("venue", "message", "symbols"),
    [
        ("binance-futures", b'{"method":"SUBSCRIBE","params":["ab@depth@100ms","cd@aggTrade"]}', ["AB"]),
        (
            "coinbase",
            b'{"type":"subscribe","product_ids":["A-B","C-D"],"channels":["level2"]}',
            ["A-B", "C-D"],
        ),
        ("coinbase", b'{"type":"subscribe","product_ids":["A-B"],"channels":["ticker"]}', []),
        ("coinbase", b'{"channels":[{"name":"level2_batch","product_ids":["A-B"]}]}', ["A-B"]),
        (
            "kraken",
            b'{"event":"subscribe","pair":["A/B"],"subscription":{"name":"book","depth":10}}',
            ["A/B"],
        ),
        ("kraken", b'{"event":"subscribe","pair":["A/B"],"subscription":{"name":"trade"}}', []),
        (
            "bitget",
            b'{"op":"subscribe","args":[{"instType":"MC","channel":"books","instId":"AB"}]}',
            ["mc:AB"],
        ),
        ("bitget", b'{"op":"subscribe","args":[{"instType":"MC","channel":"trade","instId":"AB"}]}', []),
        ("okx", b'{"op":"subscribe","args":[{"channel":"books50-l2-tbt","instId":"A-B"}]}', ["A-B"]),
        ("deribit", b'{"params":{"channels":["book.A-B.raw","ticker.A-C.raw"]}}', ["A-B"]),
    ],
)
def test_a_subscription_names_its_books(venue: Any, message: bytes, symbols: list[str]) -> None:
    assert VENUES[venue].symbols_sent(message) == symbols


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize(
    "message", [b"", b"ping", b"[]", b"{}", b"5", b"null", b'{"args":5}', b'{"params":[{}]}']
)
def test_nothing_that_was_sent_does_harm(venue: Any, message: bytes) -> None:
    assert VENUES[venue].symbols_sent(message) == []
    assert VENUES[venue].symbols_in("wss://nobody") == []


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize(
    "payload", [b"", b"\xff", b"[]", b"5", b'"x"', b"null", b"{}", b"[" * 100_000, b"[1,2,3]"]
)
def test_what_no_venue_says_is_bad(venue: Any, payload: bytes) -> None:
    with pytest.raises(BadMessageError):
        parse(venue, payload)


MALFORMED = {
    "coinbase": [
        b'{"type":"l2update","product_id":"S","time":"2021-04-17T16:43:37Z"}',
        b'{"type":"l2update","product_id":"S","changes":[["buy","1"]],"time":"2021-04-17T16:43:37Z"}',
        b'{"type":"l2update","product_id":"S","changes":[["up","1","1"]],"time":"2021-04-17T16:43:37Z"}',
        b'{"type":"l2update","product_id":"S","changes":[[{},"1","1"]],"time":"2021-04-17T16:43:37Z"}',
        b'{"type":"l2update","product_id":"S","changes":[["buy","1","1"]],"time":"soon"}',
        b'{"type":"l2update","product_id":"S","changes":[["buy","1","1"]],"time":"2021-13-17T16:43:37Z"}',
        b'{"type":"l2update","product_id":"S","changes":[["buy","1","1"]]}',
        b'{"type":"snapshot","product_id":"S","bids":[]}',
    ],
    "kraken": [
        b'[5,{"b":[["1","2","3"]]},"book-10","S"]',  # no checksum
        b'[5,{"b":[["1","2","3"]],"c":5},"book-10","S"]',
        b'[5,{"b":[["1","2","3"]],"c":"x"},"book-10","S"]',
        b'[5,{"b":[["1","2"]],"c":"5"},"book-10","S"]',
        b'[5,{"b":[["1","2","soon"]],"c":"5"},"book-10","S"]',
        b'[5,{"b":[["1","2","3"]]},{"b":[],"c":"5"},"book-10","S"]',
        b'[5,{"c":"5"},"book-10","S"]',
        b'[5,{"x":[],"c":"5"},"book-10","S"]',
        b'[5,{"as":[]},"book-10","S"]',
        b'[5,[],"book-10","S"]',
    ],
    "bitget": [
        b'{"action":"update","arg":{"instType":"x","channel":"books","instId":"S"},"data":[]}',
        b'{"action":"update","arg":{"instType":"x","channel":"books","instId":"S"},"data":[{"bids":[],"asks":[],"ts":"1"}]}',
        b'{"action":"update","arg":{"instType":"x","channel":"books","instId":"S"},"data":[{"bids":[],"checksum":1,"ts":"1"}]}',
        b'{"action":"new","arg":{"instType":"x","channel":"books","instId":"S"},"data":[{"bids":[],"asks":[],"checksum":1,"ts":"1"}]}',
        b'{"action":"update","arg":{"instType":"x","channel":"books","instId":"S"},"data":[{"bids":[],"asks":[],"checksum":1}]}',
        b'{"action":"update","arg":{"channel":"books","instId":"S"},"data":[{}]}',
    ],
    "okx": [
        b'{"action":"update","arg":{"channel":"books","instId":"S"},"data":[{"bids":[],"asks":[],"checksum":"1","ts":"1"}]}',
        b'{"action":"update","arg":{"channel":"books","instId":"S"},"data":[{"bids":[["1"]],"asks":[],"ts":"1"}]}',
        b'{"action":"update","arg":{"channel":"books","instId":"S"},"data":[{"bids":[],"asks":[],"ts":"1","seqId":-4}]}',
        b'{"action":"update","arg":{"channel":"books","instId":"S"},"data":[{"bids":[],"asks":[],"ts":"1","seqId":4}]}',
        b'{"arg":{"channel":"books","instId":"S"},"data":[{"bids":[],"asks":[],"ts":"1"}]}',
        b'{"action":"update","arg":{"channel":"books"},"data":[{"bids":[],"asks":[],"ts":"1"}]}',
    ],
    "deribit": [
        b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.S.raw","data":%s}}' % data
        for data in (
            b"5",
            b'{"instrument_name":"T","type":"change","change_id":1,"bids":[],"asks":[],"timestamp":1}',
            b'{"instrument_name":"S","type":"change","change_id":1,"bids":[],"asks":[],"timestamp":1}',
            b'{"instrument_name":"S","type":"snapshot","change_id":1.5,"bids":[],"asks":[],"timestamp":1}',
            b'{"instrument_name":"S","type":"snapshot","change_id":1,"bids":[["new",1]],"asks":[],"timestamp":1}',
            b'{"instrument_name":"S","type":"snapshot","change_id":1,"bids":[["old",1,1]],"asks":[],"timestamp":1}',
            b'{"instrument_name":"S","type":"snapshot","change_id":1,"bids":[["new","1",1]],"asks":[],"timestamp":1}',
            b'{"instrument_name":"S","type":"snapshot","change_id":1,"bids":[["new",true,1]],"asks":[],"timestamp":1}',
            b'{"instrument_name":"S","type":"snapshot","change_id":1,"bids":[["new",1,0]],"asks":[],"timestamp":1}',
            b'{"instrument_name":"S","type":"snapshot","change_id":1,"bids":[],"asks":[]}',
            b'{"instrument_name":"S","type":"all","change_id":1,"bids":[],"asks":[],"timestamp":1}',
        )
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("venue", "payload"), [(venue, payload) for venue, payloads in MALFORMED.items() for payload in payloads]
)
def test_a_message_of_another_shape_is_bad(venue: Any, payload: bytes) -> None:
    with pytest.raises(BadMessageError) as caught:
        parse(venue, payload)
    assert caught.value.of_book
