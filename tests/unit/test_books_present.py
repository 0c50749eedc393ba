"""What the venues' present messages mean, by an example of each."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from dolphin_mp.workers.books.events import BadMessageError, Delta, Fault, Proof, Snapshot, Trade
from dolphin_mp.workers.books.venues import VENUES

MS = 1_000_000


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
    assert parse("bitget", whole) == (Snapshot("usdt:AB", 9, at, *levels, Proof(*shares, None)),)


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
