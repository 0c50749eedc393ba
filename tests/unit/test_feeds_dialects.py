"""What is said to each venue, and what its answers mean."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from dolphin_mp.workers.books.venues import VENUES, VenueName
from dolphin_mp.workers.feeds.dialect import Answer, Brings, Leave, Refused, Subscribed
from dolphin_mp.workers.feeds.dialects import DIALECTS

SYMBOLS = {
    "binance-futures": ["BTCUSDT", "ETHUSDT"],
    "binance-delivery": ["BTCUSD_PERP", "ETHUSD_PERP"],
    "bitget": ["usdt:BTCUSDT", "spot:ETHUSDT", "coin:BTCUSD", "usdc:BTCPERP"],
    "coinbase": ["BTC-USD", "ETH-EUR"],
    "kraken": ["BTC/USD", "ETH/EUR"],
    "okx": ["BTC-USDT", "BTC-USDT-SWAP"],
    "deribit": ["BTC-PERPETUAL", "SOL_USDC-31DEC26-100-C"],
}
every_venue = pytest.mark.parametrize("venue", DIALECTS)


def said(messages: list[bytes]) -> list[Any]:
    return [orjson.loads(message) for message in messages]


def subscribed(venue: Any, number: int = 7) -> list[Any]:
    return said(DIALECTS[venue].subscribe(SYMBOLS[venue], number))


def unsubscribed(venue: Any, number: int = 7) -> list[Any]:
    return said(DIALECTS[venue].unsubscribe(SYMBOLS[venue], number))


def hear(venue: Any, message: Any) -> Any:
    payload = message if isinstance(message, bytes) else orjson.dumps(message)
    return DIALECTS[venue].hear(payload)


@every_venue
def test_a_recording_of_what_was_said_names_its_symbols(venue: Any) -> None:
    found = [
        symbol
        for message in DIALECTS[venue].subscribe(SYMBOLS[venue], 1)
        for symbol in VENUES[venue].symbols_sent(message)
    ]
    assert found == SYMBOLS[venue]
    assert DIALECTS.keys() == VENUES.keys()
    assert not [s for message in DIALECTS[venue].greet() for s in VENUES[venue].symbols_sent(message)]


@every_venue
def test_its_addresses_and_limits_can_be_kept(venue: Any) -> None:
    dialect = DIALECTS[venue]
    assert dialect.WS_URL.startswith("wss://")
    assert bool(dialect.REST_URL) == bool(dialect.snapshot_url("http://127.0.0.1:1", "A"))
    assert dialect.snapshot_url("http://127.0.0.1:1", "A").startswith(
        "http://127.0.0.1:1/" if dialect.REST_URL else ""
    )
    limits = dialect.LIMITS
    assert min(limits.sends, limits.connects, limits.batch) >= 1
    assert min(limits.sends_within_s, limits.connects_within_s) >= 1.0
    assert (limits.fetches > 0) == bool(dialect.REST_URL)
    assert (dialect.HEARTBEAT.ping is None) == (dialect.HEARTBEAT.every_s == 0)


@every_venue
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b"5",
        b"null",
        b"pong",
        b"{}",
        b'{"error":5,"event":5,"result":5,"params":5,"type":5,"channel":5,"method":5,"arg":5}',
        b'{"error":[],"event":[],"result":[5],"params":[],"type":[],"channel":[],"method":[],"arg":[]}',
        b'{"event":"subscribe"}',
        b'{"channel":"subscriptions","events":[5,{"subscriptions":5},{"subscriptions":{"level2":5}}]}',
        b'{"method":"subscribe","success":true,"result":5}',
        b'{"method":"heartbeat","params":{}}',
    ],
)
def test_what_says_nothing_is_heard_in_peace(venue: Any, payload: bytes) -> None:
    assert DIALECTS[venue].hear(payload) == ()


@every_venue
@pytest.mark.parametrize(
    "payload",
    [
        b'{"type":"error"}',
        b'{"event":"error"}',
        b'{"event":"notice","code":5}',
        b'{"success":false,"method":"subscribe"}',
        b'{"error":{"code":5}}',
        b'{"error":{}}',
    ],
)
def test_no_answer_without_its_parts_does_harm(venue: Any, payload: bytes) -> None:
    DIALECTS[venue].hear(payload)


def test_binance_is_asked_for_depth_and_fills() -> None:
    streams = ["btcusdt@depth@100ms", "btcusdt@trade", "ethusdt@depth@100ms", "ethusdt@trade"]
    assert subscribed("binance-futures") == [{"method": "SUBSCRIBE", "params": streams, "id": 7}]
    assert unsubscribed("binance-futures") == [{"method": "UNSUBSCRIBE", "params": streams, "id": 7}]
    assert subscribed("binance-delivery")[0]["params"][:2] == ["btcusd_perp@depth@100ms", "btcusd_perp@trade"]
    for venue, path in (("binance-futures", "fapi"), ("binance-delivery", "dapi")):
        url = DIALECTS[venue].snapshot_url("http://127.0.0.1:80", "BTC_1")  # type: ignore[index]
        assert url == f"http://127.0.0.1:80/{path}/v1/depth?symbol=BTC_1&limit=1000"
        assert VENUES[venue].symbols_in(url) == ["BTC_1"]  # type: ignore[index]


@pytest.mark.parametrize("venue", ["binance-futures", "binance-delivery"])
def test_binance_refuses(venue: Any) -> None:
    assert hear(venue, {"result": None, "id": 1}) == ()
    malformed = {"error": {"code": 2, "msg": "Invalid request: too many parameters"}, "id": 1}
    assert hear(venue, malformed) == (Refused(None, "2: Invalid request: too many parameters", final=True),)
    assert hear(venue, {"code": -1003, "msg": "Too many requests"}) == (
        Refused(None, "-1003: Too many requests", final=False),
    )
    assert hear(venue, {"code": -1121, "msg": "Invalid symbol."}) == (
        Refused(None, "-1121: Invalid symbol.", final=True),
    )
    assert hear(venue, {"e": "serverShutdown", "E": 1})[0].reason


def test_bitget_is_asked_by_type_and_name() -> None:
    (message,) = subscribed("bitget")
    assert message["op"] == "subscribe"
    assert message["args"][:2] == [
        {"instType": "USDT-FUTURES", "channel": "books", "instId": "BTCUSDT"},
        {"instType": "USDT-FUTURES", "channel": "trade", "instId": "BTCUSDT"},
    ]
    kinds = [each["instType"] for each in message["args"][::2]]
    assert kinds == ["USDT-FUTURES", "SPOT", "COIN-FUTURES", "USDC-FUTURES"]
    assert unsubscribed("bitget") == [message | {"op": "unsubscribe"}]


def test_bitget_answers() -> None:
    argument = {"instType": "SPOT", "channel": "books", "instId": "AB"}
    assert hear("bitget", {"event": "subscribe", "arg": argument}) == (Subscribed("spot:AB"),)
    assert hear("bitget", {"event": "subscribe", "arg": argument | {"channel": "trade"}}) == ()
    unknown = {"event": "error", "arg": argument, "code": 30001, "msg": "doesn't exist"}
    assert hear("bitget", unknown) == (Refused("spot:AB", "30001: doesn't exist", final=True),)
    assert hear("bitget", unknown | {"arg": argument | {"channel": "trade"}}) == ()
    too_many = {"event": "error", "code": "30006", "msg": "request too many"}
    assert hear("bitget", too_many) == (Refused(None, "30006: request too many", final=False),)


def test_okx_is_asked() -> None:
    (message,) = subscribed("okx")
    assert message["args"][:2] == [
        {"channel": "books", "instId": "BTC-USDT"},
        {"channel": "trades", "instId": "BTC-USDT"},
    ]
    assert unsubscribed("okx") == [message | {"op": "unsubscribe"}]


def test_okx_answers() -> None:
    argument = {"channel": "books", "instId": "A-B"}
    assert hear("okx", {"event": "subscribe", "arg": argument, "connId": "x"}) == (Subscribed("A-B"),)
    assert hear("okx", {"event": "subscribe", "arg": argument | {"channel": "trades"}}) == ()
    unknown = "Wrong URL or channel:%s,instId:A-B doesn't exist. Please use the correct URL."
    assert hear("okx", {"event": "error", "code": "60018", "msg": unknown % "books"}) == (
        Refused("A-B", f"60018: {unknown % 'books'}", final=True),
    )
    assert hear("okx", {"event": "error", "code": "60018", "msg": unknown % "trades"}) == ()
    assert hear("okx", {"event": "error", "code": "60012", "msg": "Invalid request"}) == (
        Refused(None, "60012: Invalid request", final=True),
    )
    assert hear("okx", {"event": "error", "code": "60014", "msg": "Requests too frequent"}) == (
        Refused(None, "60014: Requests too frequent", final=False),
    )
    notice = {"event": "notice", "code": "64008", "msg": "The connection will soon be closed"}
    assert hear("okx", notice) == (Leave("The connection will soon be closed"),)


def test_deribit_is_asked() -> None:
    channels = [
        f"{kind}.{symbol}.100ms"
        for symbol in ("BTC-PERPETUAL", "SOL_USDC-31DEC26-100-C")
        for kind in ("book", "trades")
    ]
    request = {"jsonrpc": "2.0", "id": 14, "method": "public/subscribe", "params": {"channels": channels}}
    assert subscribed("deribit") == [request]
    assert unsubscribed("deribit") == [request | {"method": "public/unsubscribe", "id": 15}]
    (greeting,) = said(DIALECTS["deribit"].greet())
    assert (greeting["method"], greeting["params"]) == ("public/set_heartbeat", {"interval": 10})


def test_deribit_answers() -> None:
    beat = {"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "heartbeat"}}
    assert hear("deribit", beat) == ()
    (answer,) = hear("deribit", beat | {"params": {"type": "test_request"}})
    assert isinstance(answer, Answer)
    assert orjson.loads(answer.payload)["method"] == "public/test"
    done = {"jsonrpc": "2.0", "id": 14, "result": ["book.A-1.100ms", "trades.A-1.100ms", "book.B.100ms"]}
    assert hear("deribit", done) == (Brings(7, ("A-1", "B")),)
    assert hear("deribit", done | {"id": 15}) == ()  # these no longer come
    assert hear("deribit", done | {"result": []}) == (Brings(7, ()),)
    assert hear("deribit", done | {"id": 15, "result": []}) == ()
    assert hear("deribit", {"jsonrpc": "2.0", "id": 0, "result": "ok"}) == ()
    for code, final in ((13778, True), (-32602, True), (10028, False), (13028, False)):
        error = {"jsonrpc": "2.0", "id": 7, "error": {"code": code, "message": "no"}}
        assert hear("deribit", error) == (Refused(None, f"{code}: no", final=final),)


def test_kraken_is_asked_for_books_and_trades() -> None:
    pairs = ["BTC/USD", "ETH/EUR"]
    book = {"channel": "book", "depth": 1000, "symbol": pairs}
    assert subscribed("kraken") == [
        {"method": "subscribe", "params": book | {"snapshot": True}, "req_id": 7},
        {
            "method": "subscribe",
            "params": {"channel": "trade", "symbol": pairs, "snapshot": False},
            "req_id": 7,
        },
    ]
    assert unsubscribed("kraken") == [
        {"method": "unsubscribe", "params": book, "req_id": 7},
        {"method": "unsubscribe", "params": {"channel": "trade", "symbol": pairs}, "req_id": 7},
    ]


def test_kraken_answers() -> None:
    result = {"channel": "book", "depth": 1000, "snapshot": True, "symbol": "BTC/USD"}
    done = {"method": "subscribe", "req_id": 7, "success": True, "result": result}
    assert hear("kraken", done) == (Subscribed("BTC/USD"),)
    assert hear("kraken", done | {"result": result | {"channel": "trade"}}) == ()
    assert hear("kraken", done | {"method": "unsubscribe"}) == ()
    unknown = {
        "error": "Currency pair not supported XXX/YYY",
        "method": "subscribe",
        "success": False,
        "symbol": "XXX/YYY",
    }
    assert hear("kraken", unknown) == (Refused("XXX/YYY", "Currency pair not supported XXX/YYY", final=True),)
    busy = {"error": "EGeneral:Too many requests", "method": "subscribe", "success": False}
    assert hear("kraken", busy) == (Refused(None, "EGeneral:Too many requests", final=False),)
    rate = {"error": "Exceeded msg rate", "success": False}
    assert hear("kraken", rate) == (Refused(None, "Exceeded msg rate", final=False),)
    assert hear("kraken", rate | {"method": "unsubscribe"}) == ()
    assert hear("kraken", {"method": "pong", "req_id": 7}) == hear("kraken", {"channel": "heartbeat"}) == ()


def test_coinbase_is_asked_channel_by_channel() -> None:
    assert said(DIALECTS["coinbase"].greet()) == [{"type": "subscribe", "channel": "heartbeats"}]
    products = {"type": "subscribe", "product_ids": ["BTC-USD", "ETH-EUR"]}
    channels = [{"channel": "level2"}, {"channel": "market_trades"}]
    assert subscribed("coinbase") == [products | channel for channel in channels]
    assert unsubscribed("coinbase") == [products | channel | {"type": "unsubscribe"} for channel in channels]


def test_coinbase_answers() -> None:
    books = {"subscriptions": {"heartbeats": ["heartbeats"], "level2": ["A-B", "C-D"], "ticker": ["E-F"]}}
    listed = {"channel": "subscriptions", "sequence_num": 3, "events": [books]}
    assert hear("coinbase", listed) == (Subscribed("A-B"), Subscribed("C-D"))
    assert hear("coinbase", {"channel": "heartbeats", "sequence_num": 4, "events": [{}]}) == ()
    for reason, symbol, final in (
        ("QQ-USD is not a valid product", "QQ-USD", True),
        ("rate limit exceeded", None, False),
        ("rate limit exceeded for A-B", "A-B", False),
        ("failure to subscribe", None, False),
    ):
        error = {"type": "error", "message": reason}
        assert hear("coinbase", error) == (Refused(symbol, reason, final=final),)


WRITTEN: dict[VenueName, tuple[str, str]] = {
    "binance-futures": ("BTCUSDT 1000PEPEUSDT BTCUSDT_270326", "btcusdt BTC/USDT BTC-USDT BTCUSDT_PERP"),
    "binance-delivery": ("BTCUSD_PERP BTCUSD_270326", "BTCUSD btcusd_perp BTCUSDT"),
    "coinbase": ("BTC-USD 1INCH-EUR BTC-PERP-INTX BIT-27MAR26-CDE", "BTC/USD btc-usd BTCUSD BTC-"),
    "kraken": ("BTC/USD 1INCH/EUR AAPLx/USD SOL.S/USD", "BTC-USD BTCUSD BTC/ BTC/USD/EUR"),
    "bitget": (
        "usdt:BTCUSDT spot:BTCUSDT coin:BTCUSD_M26 usdc:BTCPERP",
        "BTCUSDT USDT:BTCUSDT USDT-FUTURES:BTCUSDT mc:BTCUSDT usdt: usdt:btcusdt",
    ),
    "okx": ("BTC-USDT BTC-USDT-SWAP BTC-USD-270326-50000-C BTC-USD_UM-270326", "BTC/USDT btc-usdt BTCUSDT"),
    "deribit": (
        "BTC-PERPETUAL BTC-27MAR26 BTC-27MAR26-100000-C XRP_USDC-27MAR26-0d55-C BTC_USDC BTC_USDC-PERPETUAL",
        "btc-perpetual BTCPERPETUAL BTC/USD BTC-",
    ),
}


@pytest.mark.parametrize("venue", DIALECTS)
def test_a_symbol_that_is_written_otherwise_is_refused_with_an_example(venue: VenueName) -> None:
    form = DIALECTS[venue].SYMBOL
    right, wrong = (text.split() for text in WRITTEN[venue])
    form.check(right)
    form.check([form.example.split(" or ")[0]])
    for symbol in [*wrong, "", right[0] + " ", right[0] + "\n"]:
        with pytest.raises(ValueError, match=f"is not as the venue writes them: like {form.example}$"):
            form.check([right[0], symbol])


@pytest.mark.parametrize("venue", ["binance-futures", "binance-delivery"])
def test_a_symbol_in_an_address_is_quoted(venue: VenueName) -> None:
    url = DIALECTS[venue].snapshot_url("http://x", "BTC US&D")
    assert url.endswith("/depth?symbol=BTC%20US%26D&limit=1000")
