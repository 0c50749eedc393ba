"""Times, prices and sizes beyond all reason: refused whole, and what is within reason breaks no number."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import orjson
import pytest

from dolphin_mp.workers.books.events import BadMessageError, Fault, Trade
from dolphin_mp.workers.books.market import Market
from dolphin_mp.workers.books.venues import VENUES

if TYPE_CHECKING:
    from dolphin_mp.workers.books.events import Event

PRO = {"type": "l2update", "product_id": "A-B", "changes": [["buy", "1", "1"]]}
KRAKEN = {"symbol": "A/B", "bids": [{"price": 1, "qty": 1}], "asks": [], "checksum": crc32(b"11")}


def advanced(time: Any) -> Any:
    update = {"side": "bid", "event_time": time, "price_level": "1", "new_quantity": "1"}
    event = {"type": "snapshot", "product_id": "A-B", "updates": [update]}
    return {"channel": "l2_data", "timestamp": time, "sequence_num": 0, "events": [event]}


def timed(venue: str, time: Any) -> list[Any]:
    """A message of each dialect, as of then."""
    milliseconds = str(time)
    if venue == "coinbase":
        return [PRO | {"time": time}, advanced(time)]
    if venue == "kraken":
        book = {"channel": "book", "type": "snapshot", "data": [KRAKEN | {"timestamp": time}]}
        return [book, [1, {"as": [], "bs": [["1", "1", time]]}, "book-10", "A/B"]]
    data: dict[str, Any]
    if venue in ("bitget", "okx"):
        data = {"asks": [], "bids": [["1", "1"]], "ts": milliseconds, "checksum": 0}
        return [
            {
                "action": "snapshot",
                "arg": {"instType": "SPOT", "channel": "books", "instId": "A"},
                "data": [data],
            }
        ]
    if venue == "deribit":
        data = {"type": "snapshot", "timestamp": time, "instrument_name": "A", "change_id": 1}
        params = {"channel": "book.A.raw", "data": data | {"bids": [], "asks": []}}
        return [{"jsonrpc": "2.0", "method": "subscription", "params": params}]
    return [{"e": "depthUpdate", "E": time, "s": "A", "U": 1, "u": 1, "pu": 1, "b": [], "a": []}]


def parse(venue: str, message: Any) -> tuple[Event, ...]:
    payload = message if isinstance(message, bytes) else orjson.dumps(message)
    return VENUES[venue].parse(payload)  # type: ignore[index]


@pytest.mark.parametrize(
    "time",
    [
        "9999-12-31T23:59:59Z",
        "2262-04-12T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "9999999999.5",
        "9223372037.0",
        2**63,
        2**63 // 1_000_000,
        str(2**63 // 1_000_000),
        -1,
    ],
)
@pytest.mark.parametrize("venue", VENUES)
def test_a_time_that_no_record_can_hold_is_refused(venue: str, time: Any) -> None:
    for message in timed(venue, time):
        with pytest.raises(BadMessageError):
            parse(venue, message)


@pytest.mark.parametrize(
    ("venue", "time"),
    [
        ("coinbase", "2262-04-11T00:00:00Z"),
        ("coinbase", "1970-01-01T00:00:00Z"),
        ("kraken", "2262-04-11T00:00:00Z"),
        ("kraken", "9223286400.999999999"),
        ("binance-futures", 2**63 // 1_000_000 - 1),
        ("bitget", 2**63 // 1_000_000 - 1),
        ("okx", 2**63 // 1_000_000 - 1),
        ("deribit", 2**63 // 1_000_000 - 1),
    ],
)
def test_a_time_that_is_read_fits_its_row(venue: str, time: Any) -> None:
    read = []
    for message in timed(venue, time):
        try:
            events = parse(venue, message)
        except BadMessageError:
            continue  # it is in the way of another dialect
        read += [event for event in events if event.symbol]
    assert read
    for event in read:
        assert np.int64(event.event_ns) >= 0  # type: ignore[union-attr]


@pytest.mark.parametrize("venue", ["coinbase", "kraken"])
def test_nothing_of_such_a_message_is_applied(venue: str) -> None:
    symbol = {"coinbase": "A-B", "kraken": "A/B"}[venue]
    market = Market([symbol], VENUES[venue].RULES)  # type: ignore[index]
    rows = market.rows(1)
    refused = 0
    for message in timed(venue, "9999-12-31T23:59:59Z"):
        try:
            for event in parse(venue, message):
                market.take(event, 1)
        except BadMessageError as error:
            market.note_bad(error)
            refused += 1
        market.fill(rows, 2)
    assert (refused, rows["n_bad"][0], rows["n_bids"][0], rows["event_ns"][0]) == (2, 2, 0, 0)


def traded(venue: str, price: str, size: str) -> list[Any]:
    """A message of each dialect, with a good trade before the one in question."""
    good, odd = ("1", "1"), (price, size)
    at = "2021-01-01T00:00:00Z"
    if venue == "coinbase":
        pro = {"type": "match", "product_id": "A", "side": "sell", "time": at, "price": price, "size": size}
        trade = {"product_id": "A", "side": "SELL", "time": at}
        trades = [trade | {"price": price, "size": size} for price, size in (good, odd)]
        events = [{"type": "update", "trades": trades}]
        return [pro, {"channel": "market_trades", "sequence_num": 0, "events": events}]
    number = orjson.Fragment
    if venue == "kraken":
        trade = {"symbol": "A", "side": "buy", "timestamp": at}
        trades = [trade | {"price": number(price), "qty": number(size)} for price, size in (good, odd)]
        return [
            [1, [[*each, "1.0", "b", "m", ""] for each in (good, odd)], "trade", "A"],
            {"channel": "trade", "type": "update", "data": trades},
        ]
    if venue == "deribit":
        trade = {"instrument_name": "A", "direction": "buy", "timestamp": 1}
        trades = [trade | {"price": number(price), "amount": number(size)} for price, size in (good, odd)]
        params = {"channel": "trades.A.raw", "data": trades}
        return [{"jsonrpc": "2.0", "method": "subscription", "params": params}]
    if venue == "okx":
        data = [{"px": price, "sz": size, "side": "buy", "ts": "1"} for price, size in (good, odd)]
        return [{"arg": {"channel": "trades", "instId": "A"}, "data": data}]
    if venue == "bitget":
        argument = {"instType": "spot", "channel": "trade", "instId": "A"}
        head = {"action": "update", "arg": argument}
        first = [["1", *each, "buy"] for each in (good, odd)]
        second = [{"ts": "1", "price": price, "size": size, "side": "buy"} for price, size in (good, odd)]
        return [head | {"data": first}, head | {"data": second}]
    trade = {"s": "A", "m": False, "T": 1, "p": price, "q": size}
    return [{"e": "aggTrade"} | trade, {"e": "trade", "X": "MARKET"} | trade]


@pytest.mark.parametrize(
    ("price", "size"),
    [
        ("1", "1" + "0" * 300),
        ("1", "1" + "0" * 18),
        ("1", "100000000000000016"),
        ("1" + "0" * 300, "1"),
        ("1000000000001", "1"),
        ("0." + "0" * 15 + "9", "1"),
        ("0", "1"),
        ("1", "0"),
        ("1", "0.000"),
    ],
)
@pytest.mark.parametrize("venue", VENUES)
def test_an_absurd_trade_is_refused_with_its_message(venue: str, price: str, size: str) -> None:
    for message in traded(venue, price, size):
        with pytest.raises(BadMessageError) as caught:
            parse(venue, message)
        assert (caught.value.fault, caught.value.of_book) == (Fault.VALUE, False)


@pytest.mark.parametrize("venue", VENUES)
def test_the_largest_and_the_least_trade_are_read(venue: str) -> None:
    for message in [
        *traded(venue, "1000000000000", "1" + "0" * 17),
        *traded(venue, "0.000000000000001", "0.1"),
    ]:
        last = parse(venue, message)[-1]
        assert isinstance(last, Trade)
        assert (last.price, last.size) in [(1e12, 1e17), (1e-15, 0.1)]


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("depth", [200, 900, 990, 1000, 1010, 1015, 1020, 1023, 1024, 100_000])
def test_nesting_as_deep_as_one_likes_is_bad_in_any_place(venue: str, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    for message in (*traded(venue, "1", "1"), *timed(venue, "2021-01-01T00:00:00Z"), *timed(venue, 1)):
        whole = orjson.dumps(message)
        for place in re.finditer(rb'"[A-Za-z/]*"|[0-9]+', whole):
            if whole[place.end() : place.end() + 1] == b":":
                continue
            payload = whole[: place.start()] + nested + whole[place.end() :]
            with suppress(BadMessageError):
                parse(venue, payload)
            assert isinstance(VENUES[venue].symbols_sent(payload), list)  # type: ignore[index]
    with pytest.raises(BadMessageError):
        parse(venue, nested)


@pytest.mark.parametrize("depth", [900, 1015])
def test_a_book_of_nothing_but_brackets_is_bad(depth: int) -> None:
    data = b"[" * depth + b"]" * depth
    with pytest.raises(BadMessageError):
        parse("kraken", b'{"channel":"book","type":"update","data":' + data + b"}")
