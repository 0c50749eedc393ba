"""What the venues' present messages mean, by an example of each."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from dolphin_mp.workers.books.events import (
    BadMessageError,
    Delta,
    Fault,
    Numbered,
    Opened,
    Proof,
    Snapshot,
    Trade,
)
from dolphin_mp.workers.books.market import Market
from dolphin_mp.workers.books.venues import VENUES

MS = 1_000_000


def market(venue: Any, *symbols: str) -> Market:
    return Market(symbols, VENUES[venue].RULES)


def hear(heard: Market, venue: Any, *messages: Any) -> None:
    """As every feed does it."""
    for message in messages:
        try:
            for event in parse(venue, message):
                heard.take(event, 1)
        except BadMessageError as error:
            heard.note_bad(error)


def in_sync(heard: Market) -> list[str]:
    return [symbol for symbol in heard.symbols if heard.book(symbol).synced]


def parse(venue: Any, message: Any) -> Any:
    return VENUES[venue].parse(message if isinstance(message, bytes) else orjson.dumps(message))


def refused(venue: Any, message: Any) -> BadMessageError:
    with pytest.raises(BadMessageError) as caught:
        parse(venue, message)
    return caught.value


@pytest.mark.parametrize("venue", ["binance-futures", "binance-delivery"])
def test_binance_sends_single_fills(venue: Any) -> None:
    fill = {"e": "trade", "E": 9, "T": 8, "s": "AB", "t": 5, "p": "1.5", "q": "2", "X": "MARKET", "m": True}
    assert parse(venue, {"stream": "ab@trade", "data": fill}) == (Trade("AB", 8 * MS, 1.5, 2.0, False),)
    assert parse(venue, fill | {"X": "INSURANCE_FUND"}) == ()
    assert parse(venue, fill | {"X": "NA", "p": "0", "q": "0"}) == ()
    error = refused(venue, fill | {"p": "0"})
    assert (error.symbol, error.of_book) == ("AB", False)
    cut = refused(venue, b'{"stream":"ab@trade","data":{"e":"trade","s":"AB","p":"1')
    assert (cut.symbol, cut.of_book) == ("AB", False)


@pytest.mark.parametrize("venue", ["binance-futures", "binance-delivery"])
@pytest.mark.parametrize(
    "answer",
    [
        {"result": None, "id": 1},
        {"error": {"code": 2, "msg": "Invalid request"}, "id": 1},
        {"code": 3, "msg": "Invalid JSON"},
    ],
)
def test_an_answer_of_binance_is_no_event(venue: Any, answer: Any) -> None:
    assert parse(venue, answer) == ()


def bitget(action: str, **fields: Any) -> Any:
    argument = {"instType": "USDT-FUTURES", "channel": "books", "instId": "AB"}
    data = {"asks": [["2.0", "0"]], "bids": [["1.50", "3"]], "ts": "1649290077496"}
    return {"action": action, "arg": argument, "data": [data | fields], "ts": 1649290077499}


def test_bitget() -> None:
    at = 1649290077496 * MS
    levels, shares = ([(1.5, 3.0)], [(2.0, 0.0)]), (["1.50:3"], ["2.0:0"])
    chained = bitget("update", seq=9, pseq="7")
    assert parse("bitget", chained) == (Delta("usdt:AB", 9, 9, 7, at, *levels, Proof(*shares, None)),)
    (both,) = parse("bitget", bitget("update", seq=9, pseq=7, checksum=-5))
    assert both.proof.checksum == -5
    (nothing,) = parse("bitget", bitget("update", seq=9, pseq=7, checksum=0))
    assert nothing.proof.checksum is None
    (alone,) = parse("bitget", bitget("update", seq=9, checksum=-5))
    assert alone[:4] == ("usdt:AB", 9, 9, -2)
    whole = bitget("snapshot", seq="9", pseq=0)
    snapshot = Snapshot("usdt:AB", 9, at, *levels, Proof(*shares, None), chained=True)
    assert parse("bitget", whole) == (snapshot,)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"seq": 9}, Fault.CHECKSUM),
        ({"seq": 9, "pseq": -1}, Fault.UNREADABLE),
        ({"seq": "9.0", "pseq": 7}, Fault.UNREADABLE),
        ({"pseq": 7}, Fault.UNREADABLE),
        ({"seq": True, "pseq": 7}, Fault.UNREADABLE),
        ({"seq": 9, "pseq": "99999999999999999999"}, Fault.UNREADABLE),
        ({"seq": 9, "pseq": 7, "checksum": "5"}, Fault.CHECKSUM),
    ],
)
def test_ids_of_bitget_that_are_none(fields: Any, fault: Fault) -> None:
    error = refused("bitget", bitget("update", **fields))
    assert (error.symbol, error.of_book, error.fault) == ("usdt:AB", True, fault)


def test_trades_of_bitget() -> None:
    argument = {"instType": "SPOT", "channel": "trade", "instId": "AB"}
    trade = {"ts": "1649290077496", "price": "1.5", "size": "2", "side": "sell", "tradeId": "1"}
    message = {"action": "update", "arg": argument, "data": [trade, trade | {"side": "buy"}]}
    assert [(t.symbol, t.price, t.size, t.bought) for t in parse("bitget", message)] == [
        ("spot:AB", 1.5, 2.0, False),
        ("spot:AB", 1.5, 2.0, True),
    ]
    assert parse("bitget", message | {"action": "snapshot"}) == ()
    for spoilt in ([trade | {"price": "0"}], [{}], [5], [["1"]]):
        error = refused("bitget", message | {"data": spoilt})
        assert (error.symbol, error.of_book) == ("spot:AB", False)


def test_deribit_over_100_ms() -> None:
    data = {
        "type": "change", "timestamp": 1626993724318, "prev_change_id": 7, "instrument_name": "A_B-C",
        "change_id": 9, "bids": [["new", 0.001, 2.6]], "asks": [["delete", 0.002, 0.0]],
    }  # fmt: skip
    message = {"jsonrpc": "2.0", "method": "subscription"}
    change = message | {"params": {"channel": "book.A_B-C.100ms", "data": data}}
    (delta,) = parse("deribit", change)
    assert delta[:4] == ("A_B-C", 9, 9, 7)
    trade = {"price": 1.5, "amount": 2, "direction": "sell", "timestamp": 1, "instrument_name": "A_B-C"}
    trades = message | {"params": {"channel": "trades.A_B-C.100ms", "data": [trade]}}
    assert parse("deribit", trades) == (Trade("A_B-C", MS, 1.5, 2.0, False),)
    assert parse("deribit", message | {"method": "heartbeat", "params": {"type": "test_request"}}) == ()


def test_an_answer_of_okx_is_no_event() -> None:
    for event in ("subscribe", "error", "notice", "channel-conn-count"):
        assert parse("okx", {"event": event, "code": "64008", "msg": "soon"}) == ()


AT = "2023-10-06T17:35:55.440295Z"
AT_NS = 1696613755440295000
GUIDE_ASKS = """45285.2 0.00100000, 45286.4 1.54571953, 45286.6 1.54571109, 45289.6 1.54560911,
    45290.2 0.15890660, 45291.8 1.54553491, 45294.7 0.04454749, 45296.1 0.35380000, 45297.5 0.09945542,
    45299.5 0.18772827"""
GUIDE_BIDS = """45283.5 0.10000000, 45283.4 1.54582015, 45282.1 0.10000000, 45281.0 0.10000000,
    45280.3 1.54592586, 45279.0 0.07990000, 45277.6 0.03310103, 45277.5 0.30000000, 45277.3 1.54602737,
    45276.6 0.15445238"""
GUIDE_CHECKSUM = 3310070434
"""The example of the venue's guide to the checksum."""


def levels(listed: str) -> Any:
    pairs = (level.split() for level in listed.split(","))
    return [{"price": orjson.Fragment(price), "qty": orjson.Fragment(qty)} for price, qty in pairs]


def kraken(kind: str, symbol: str, bids: str = "", asks: str = "", checksum: Any = 5) -> Any:
    sides = {"bids": levels(bids) if bids else [], "asks": levels(asks) if asks else []}
    data = {"symbol": symbol, **sides, "checksum": checksum, "timestamp": AT}
    return {"channel": "book", "type": kind, "data": [data]}


def opened(symbol: str, depth: int) -> Any:
    result = {"channel": "book", "depth": depth, "snapshot": True, "symbol": symbol}
    return {"method": "subscribe", "result": result, "success": True}


def test_the_example_of_krakens_guide() -> None:
    heard = market("kraken", "BTC/USD")
    hear(heard, "kraken", kraken("snapshot", "BTC/USD", GUIDE_BIDS, GUIDE_ASKS, GUIDE_CHECKSUM))
    assert in_sync(heard) == ["BTC/USD"]
    assert heard.book("BTC/USD").n_crc_ok == 1
    hear(heard, "kraken", kraken("snapshot", "BTC/USD", GUIDE_BIDS, GUIDE_ASKS, GUIDE_CHECKSUM + 1))
    assert heard.book("BTC/USD").faults[Fault.CHECKSUM] == 1


def test_kraken_counts_each_digit() -> None:
    message = kraken("update", "A/B", "0.0010 0.10000000, 2 0", "3.0 0.00000000", 4294967295)
    proof = Proof(["1010000000", "2"], ["30"], 4294967295)
    change = ([(0.001, 0.1), (2.0, 0.0)], [(3.0, 0.0)])
    assert parse("kraken", message) == (Delta("A/B", 0, 0, 0, AT_NS, *change, proof),)
    (snapshot,) = parse("kraken", kraken("snapshot", "A/B", "1.0 2.0"))
    assert snapshot == Snapshot("A/B", 0, AT_NS, [(1.0, 2.0)], [], Proof(["1020"], [], 5), 1000)


def test_krakens_answer_says_how_deep_a_book_is() -> None:
    assert parse("kraken", opened("A/B", 25)) == (Opened("A/B", None, True, 25),)
    for other in ({"result": {"channel": "trade", "symbol": "A/B"}}, {"success": False, "error": "no"}):
        assert parse("kraken", {"method": "subscribe", **other}) == ()
    heard = market("kraken", "A/B")
    many = ", ".join(f"{price} 1" for price in range(1, 13))
    for depth, left in ((0, 12), (10, 10), (25, 12)):
        if depth:
            hear(heard, "kraken", opened("A/B", depth))
        hear(heard, "kraken", kraken("snapshot", "A/B", many, "", _checksum(range(12, 2, -1))))
        hear(heard, "kraken", kraken("update", "A/B", "12 1", "", _checksum(range(12, 2, -1))))
        assert heard.book("A/B").depth() == (left, 0)
    assert heard.book("A/B").n_bad == 0


def _checksum(prices: Any) -> int:
    return VENUES["kraken"].RULES.checksum.of([f"{price}1" for price in prices], [])  # type: ignore[union-attr]


def test_trades_of_kraken() -> None:
    trade = {"symbol": "A/B", "side": "sell", "price": 0.5, "qty": 3, "ord_type": "limit", "timestamp": AT}
    message = {"channel": "trade", "type": "update", "data": [trade, trade | {"side": "buy"}]}
    assert parse("kraken", message) == (
        Trade("A/B", AT_NS, 0.5, 3.0, False),
        Trade("A/B", AT_NS, 0.5, 3.0, True),
    )
    assert parse("kraken", message | {"type": "snapshot"}) == ()
    for spoilt in ({"price": 0}, {"qty": "3"}, {"side": "up"}, {"timestamp": 5}, {"qty": True}):
        error = refused("kraken", message | {"data": [trade | spoilt]})
        assert (error.symbol, error.of_book) == ("A/B", False)


@pytest.mark.parametrize(
    "other",
    [
        {"channel": "heartbeat"},
        {"channel": "status", "data": [{}]},
        {"method": "pong", "req_id": 5},
        {"error": "Malformed request", "success": False},
    ],
)
def test_what_else_kraken_says(other: Any) -> None:
    assert parse("kraken", other) == ()


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ({"checksum": None}, Fault.CHECKSUM),
        ({"checksum": 1.5}, Fault.CHECKSUM),
        ({"checksum": -1}, Fault.CHECKSUM),
        ({"bids": None}, Fault.UNREADABLE),
        ({"bids": [5]}, Fault.UNREADABLE),
        ({"bids": [{"price": 1}]}, Fault.UNREADABLE),
        ({"bids": [{"price": None, "qty": 1}]}, Fault.VALUE),
        ({"bids": [{"price": orjson.Fragment("1e-7"), "qty": 1}]}, Fault.VALUE),
        ({"bids": [{"price": [], "qty": {}}]}, Fault.VALUE),
        ({"timestamp": "soon"}, Fault.UNREADABLE),
    ],
)
def test_books_of_kraken_that_are_none(damage: Any, fault: Fault) -> None:
    message = kraken("update", "A/B", "1 1")
    message["data"][0] |= damage
    error = refused("kraken", message)
    assert (error.symbol, error.fault, error.of_book) == ("A/B", fault, True)


def test_a_bad_part_of_a_message_is_about_all_its_books() -> None:
    heard = market("kraken", "A/B", "C/D", "E/F")
    for symbol in heard.symbols:
        hear(heard, "kraken", kraken("snapshot", symbol, "", "1 1", _asks("11")))
    both = kraken("update", "A/B", "", "2 2", _asks("11", "22"))
    both["data"] += kraken("update", "C/D", "", "2 2", "x")["data"]
    hear(heard, "kraken", both)
    assert in_sync(heard) == []
    assert heard.book("A/B").n_applied == 0


def _asks(*shares: str) -> int:
    return VENUES["kraken"].RULES.checksum.of([], list(shares))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("cut", "symbol", "of_book"),
    [
        (b'{"channel":"book","type":"update","data":[{"symbol":"A/B","bi', "A/B", True),
        (b'{"channel":"book","type":"up', None, True),
        (b'{"channel":"trade","type":"update","data":[{"symbol":"A/B","si', "A/B", False),
        (b'{"error":"Malformed requ', None, False),
        (b'{"method":"subscribe","result":{"channel":"book","symbol":"A/B"', "A/B", False),
        (b'{"channel":"book","data":[{"symbol":"A/B"},{"symbol":"C/D","b', None, True),
    ],
)
def test_what_is_left_of_a_message_of_kraken(cut: bytes, symbol: str | None, of_book: bool) -> None:
    error = refused("kraken", cut)
    assert (error.symbol, error.of_book) == (symbol, of_book)


def coinbase(number: int, *events: Any, channel: str = "l2_data") -> Any:
    head = {"channel": channel, "client_id": "", "timestamp": "2023-10-06T17:35:55.440295789Z"}
    return head | {"sequence_num": number, "events": list(events)}


def book(kind: str, symbol: str, *updates: tuple[str, str, str]) -> Any:
    names = ("side", "price_level", "new_quantity")
    return {
        "type": kind,
        "product_id": symbol,
        "updates": [dict(zip(names, each, strict=True)) | {"event_time": AT} for each in updates],
    }


LEVEL = ("bid", "1.50", "2")


def test_coinbase() -> None:
    change = book("update", "A-B", LEVEL, ("offer", "1.7", "0"), ("bid", "1.4", "0"))
    assert parse("coinbase", coinbase(7, change)) == (
        Numbered(7),
        Delta("A-B", 0, 0, 0, AT_NS, [(1.5, 2.0), (1.4, 0.0)], [(1.7, 0.0)]),
    )
    both = coinbase(8, book("snapshot", "A-B", LEVEL), book("snapshot", "C-D"))
    assert parse("coinbase", both) == (
        Numbered(8),
        Snapshot("A-B", 0, AT_NS, [(1.5, 2.0)], []),
        Snapshot("C-D", 0, AT_NS, [], []),
    )
    for channel in ("heartbeats", "subscriptions", "ticker"):
        assert parse("coinbase", coinbase(9, {}, channel=channel)) == (Numbered(9),)
    assert parse("coinbase", {"type": "error", "message": "no"}) == ()


def test_trades_of_coinbase() -> None:
    trade = {"trade_id": "1", "product_id": "A-B", "price": "0.5", "size": "3", "side": "SELL", "time": AT}
    message = coinbase(7, {"type": "update", "trades": [trade]}, channel="market_trades")
    bought = Trade("A-B", AT_NS, 0.5, 3.0, True)  # the maker sold
    assert parse("coinbase", message) == (Numbered(7), bought)
    earlier = coinbase(7, {"type": "snapshot", "trades": [trade]}, channel="market_trades")
    assert parse("coinbase", earlier) == (Numbered(7),)
    for spoilt in ({"price": "0"}, {"size": 3}, {"side": "sell"}, {"time": ""}):
        event = {"type": "update", "trades": [trade | spoilt]}
        error = refused("coinbase", coinbase(7, event, channel="market_trades"))
        assert (error.symbol, error.of_book, error.number) == ("A-B", False, 7)
    for trades in ([5], None, [{}]):
        event = {"type": "update", "trades": trades}
        error = refused("coinbase", coinbase(7, event, channel="market_trades"))
        assert (error.symbol, error.of_book, error.number) == (None, False, 7)


def two_books(number: int = 0) -> Market:
    heard = market("coinbase", "A-B", "C-D")
    for symbol in heard.symbols:
        hear(heard, "coinbase", coinbase(number, book("snapshot", symbol, LEVEL)))
        number += 1
    assert in_sync(heard) == ["A-B", "C-D"]
    return heard


def total_bad(heard: Market) -> int:
    return sum(heard.book(symbol).n_bad for symbol in heard.symbols)


def test_a_lost_message_of_coinbase_costs_all_books_and_counts_once() -> None:
    late = [
        coinbase(3, book("update", "A-B", LEVEL)),
        coinbase(3, channel="heartbeats"),
        coinbase(3, {"type": "update", "trades": []}, channel="market_trades"),
    ]
    for message in late:
        heard = two_books()
        hear(heard, "coinbase", message)  # 2 is missing
        assert in_sync(heard) == []
        assert heard.book("A-B").faults[Fault.GAP] == total_bad(heard) == 1
        hear(heard, "coinbase", coinbase(4, book("update", "A-B", LEVEL)))
        assert heard.book("A-B").n_applied == 0
        hear(heard, "coinbase", coinbase(5, book("snapshot", "C-D", LEVEL)))
        hear(heard, "coinbase", coinbase(6, book("update", "C-D", LEVEL)))
        assert in_sync(heard) == ["C-D"]
        assert (heard.book("C-D").n_applied, total_bad(heard)) == (1, 1)


def test_what_comes_too_late_at_coinbase_does_not_pass_for_news() -> None:
    heard = two_books()
    hear(heard, "coinbase", coinbase(3, book("snapshot", "A-B", LEVEL)))  # shows the gap, and heals
    assert in_sync(heard) == ["A-B"]
    hear(heard, "coinbase", coinbase(2, book("update", "A-B", ("bid", "1.6", "9"))))
    assert in_sync(heard) == []
    assert heard.book("A-B").bid == 1.5


def test_all_messages_of_coinbase_are_counted_whatever_they_say() -> None:
    heard = two_books()
    bad_trade = {"type": "update", "trades": [{"product_id": "A-B"}]}
    hear(
        heard,
        "coinbase",
        coinbase(2, {}, channel="heartbeats"),
        coinbase(3, {}, channel="subscriptions"),
        coinbase(4, bad_trade, channel="market_trades"),
        b'{"channel":"market_trades","client_id":"","timestamp":"x","sequence_num":5,"ev',
        coinbase(6, book("update", "Q-Q", LEVEL)),
        coinbase(7, book("update", "A-B", LEVEL)),
    )
    assert in_sync(heard) == ["A-B", "C-D"]
    assert (heard.book("A-B").n_applied, total_bad(heard)) == (1, 3)


def test_a_damaged_message_of_coinbase_costs_the_book_it_names() -> None:
    for damaged in (
        orjson.dumps(coinbase(2, book("update", "A-B", LEVEL)))[:-40],
        orjson.dumps(coinbase(2, book("update", "A-B", ("bid", "nan", "1")))),
        orjson.dumps(coinbase(2, book("update", "A-B", ("ask", "1", "1")))),
        orjson.dumps(coinbase(2, book("change", "A-B"))),
        orjson.dumps(coinbase(2, {"type": "update", "product_id": "A-B"})),
        orjson.dumps(coinbase(2, book("update", "A-B")) | {"timestamp": 5}),
    ):
        heard = two_books()
        hear(heard, "coinbase", damaged, coinbase(3, book("update", "C-D", LEVEL)))
        assert in_sync(heard) == ["C-D"]
        assert total_bad(heard) == heard.book("A-B").n_bad == 1


def test_a_damaged_message_about_several_books_costs_all() -> None:
    heard = two_books()
    good, bad = book("update", "A-B", ("bid", "1.6", "1")), book("update", "C-D", ("bid", "nan", "1"))
    hear(heard, "coinbase", coinbase(2, good, bad))
    assert in_sync(heard) == []
    assert heard.book("A-B").bid == 1.5


def test_noise_on_coinbase_costs_nothing_unless_a_number_is_missing_then() -> None:
    heard = two_books()
    hear(heard, "coinbase", b"\x00", b"{", b'{"channel":"l2_data","client_id":"","times')
    hear(heard, "coinbase", coinbase(2, book("update", "A-B", LEVEL)))
    assert (in_sync(heard), total_bad(heard)) == (["A-B", "C-D"], 3)
    hear(heard, "coinbase", b"what was number 3", coinbase(4, {}, channel="heartbeats"))
    assert (in_sync(heard), total_bad(heard)) == ([], 5)


def okx(symbol: str, **ids: int) -> Any:
    data = {"asks": [], "bids": [["1.5", "3", "0", "2"]], "checksum": 0, "ts": "1649290077496"}
    argument = {"channel": "books", "instId": symbol}
    return {"action": "update", "arg": argument, "data": [data | ids]}


@pytest.mark.parametrize(("ids", "left"), [({"seqId": 5}, ["A-B", "C-D"]), ({}, [])])
def test_noise_costs_no_book_whose_changes_are_chained(ids: Any, left: list[str]) -> None:
    heard = market("okx", "A-B", "C-D")
    for symbol in heard.symbols:
        hear(heard, "okx", okx(symbol, **ids, prevSeqId=-1) | {"action": "snapshot"})
    hear(heard, "okx", b"{")
    assert in_sync(heard) == left
    if left:
        hear(heard, "okx", okx("A-B", seqId=9, prevSeqId=7), okx("C-D", seqId=9, prevSeqId=5))
        assert in_sync(heard) == ["C-D"]


def test_a_new_connection_of_coinbase_counts_from_0_and_has_no_books() -> None:
    heard = two_books()
    hear(heard, "coinbase", coinbase(0, {}, channel="heartbeats"))
    assert (in_sync(heard), total_bad(heard)) == ([], 0)
    hear(heard, "coinbase", coinbase(1, book("snapshot", "A-B", LEVEL)))
    assert in_sync(heard) == ["A-B"]


def test_whoever_comes_in_the_middle_of_coinbase_misses_nothing() -> None:
    assert total_bad(two_books(number=500)) == 0


@pytest.mark.parametrize("number", [None, -1, 1.0, "5", True])
def test_a_message_of_coinbase_without_a_number_is_none(number: Any) -> None:
    error = refused("coinbase", coinbase(0, book("update", "A-B")) | {"sequence_num": number})
    assert (error.symbol, error.of_book) == ("A-B", True)
