from __future__ import annotations

import orjson
import pytest

from dolphin_mp.workers.books.binance import joins, parse, parse_reply, symbols_in
from dolphin_mp.workers.books.events import BadMessageError, Delta, Joint, Snapshot

DEPTH = {
    "e": "depthUpdate",
    "E": 1626992741037,
    "T": 1626992741024,
    "s": "SUSHIUSDT",
    "U": 600859600576,
    "u": 600859600577,
    "pu": 600859600000,
    "b": [["7.6110", "6"], ["7.6080", "0"]],
    "a": [["7.6120", "0.5"]],
}
URL = "https://fapi.binance.com/fapi/v1/depth?symbol=SUSHIUSDT&limit=1000"
SNAPSHOT = {
    "lastUpdateId": 600859605926,
    "E": 1,
    "T": 2,
    "bids": [["7.6110", "6"]],
    "asks": [["7.6120", "297"]],
}


def message(**changes: object) -> bytes:
    return orjson.dumps({"stream": "sushiusdt@depth@100ms", "data": DEPTH | changes})


def test_a_depth_message_becomes_a_delta() -> None:
    expected = Delta(
        "SUSHIUSDT",
        600859600576,
        600859600577,
        600859600000,
        1626992741037000000,
        [(7.611, 6.0), (7.608, 0.0)],
        [(7.612, 0.5)],
    )
    assert parse(message()) == (expected,)
    assert parse(orjson.dumps(DEPTH)) == (expected,)  # a connection to one stream sends no envelope


@pytest.mark.parametrize(
    "payload",
    [
        b'{"stream":"x@bookTicker","data":{"e":"bookTicker","u":1,"s":"X","b":"1","B":"2","a":"3","A":"4"}}',
        b'{"e":"kline"}',
        b'{"result":null,"id":1}',
    ],
)
def test_messages_about_something_else_give_no_event(payload: bytes) -> None:
    assert parse(payload) == ()


@pytest.mark.parametrize(
    "price",
    [
        "nan",
        "NaN",
        "inf",
        "-1",
        "",
        " 7",
        "7 ",
        "1_0",
        "1e5",
        "0x1",
        "x",
        "1,2",
        "٧",
        7.6,
        7,
        True,
        None,
        [],
        {},
        "7.6.1",
        "1.",
    ],
)
@pytest.mark.parametrize("where", [0, 1])
def test_what_is_no_plain_decimal_is_no_price_and_no_size(price: object, where: int) -> None:
    level = ["1", "1"]
    level[where] = price  # type: ignore[call-overload]
    for side in "ba":
        with pytest.raises(BadMessageError) as caught:
            parse(message(**{side: [["5", "5"], level]}))
        assert caught.value.symbol == "SUSHIUSDT"


@pytest.mark.parametrize(
    "levels",
    [
        None,
        "x",
        5,
        {},
        {"1": "2"},
        ["76"],
        [["1"]],
        [["1", "2", "3"]],
        [["1"], ["1", "2", "3"]],
        [{"7": 1, "6": 2}],
    ],
)
def test_levels_of_another_shape_are_bad(levels: object) -> None:
    with pytest.raises(BadMessageError):
        parse(message(b=levels))
    with pytest.raises(BadMessageError):
        parse_reply(URL, orjson.dumps(SNAPSHOT | {"bids": levels}))


@pytest.mark.parametrize("key", ["U", "u", "pu", "E"])
@pytest.mark.parametrize("value", [None, "1", 1.5, True, -1, [], 2**64 - 1])
def test_ids_and_times_are_whole_numbers(key: str, value: object) -> None:
    if value == 2**64 - 1 and key in {"u", "pu"}:
        assert parse(message(**{key: value}))
        return
    with pytest.raises(BadMessageError):
        parse(message(**{key: value}))


@pytest.mark.parametrize("key", DEPTH)
def test_no_field_but_the_trade_time_may_be_missing(key: str) -> None:
    data = {name: value for name, value in DEPTH.items() if name != key}
    payload = orjson.dumps({"stream": "sushiusdt@depth", "data": data})
    if key == "T":
        assert parse(payload)
    else:
        with pytest.raises(BadMessageError):
            parse(payload)


def test_ids_that_run_backward_are_bad() -> None:
    with pytest.raises(BadMessageError, match="run backward"):
        parse(message(U=600859600578))


def test_a_truncated_message_is_bad_and_still_names_its_symbol() -> None:
    whole = message()
    for length in range(len(whole)):
        with pytest.raises(BadMessageError) as caught:
            parse(whole[:length])
        if length > 30:
            assert caught.value.symbol == "SUSHIUSDT"


@pytest.mark.parametrize(
    "payload", [b"", b"pong", b"\xff\xfe", b"[]", b"5", b'"x"', b"null", b"{}", b'{"data":5}']
)
def test_what_no_venue_says_is_bad(payload: bytes) -> None:
    with pytest.raises(BadMessageError):
        parse(payload)


def test_nesting_without_end_is_bad() -> None:
    with pytest.raises(BadMessageError):
        parse(b"[" * 100_000)


def test_a_reply_becomes_a_snapshot() -> None:
    assert parse_reply(URL, orjson.dumps(SNAPSHOT)) == Snapshot(
        "SUSHIUSDT", 600859605926, 1_000_000, [(7.611, 6.0)], [(7.612, 297.0)]
    )


def test_a_reply_to_something_else_is_no_snapshot() -> None:
    assert parse_reply("https://fapi.binance.com/fapi/v1/openInterest?symbol=X", b"{}") is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"lastUpdateId":1,"bids":[]}', b'{"code":-1003,"msg":"x"}']
)
def test_a_reply_that_is_no_snapshot_is_bad(body: bytes) -> None:
    with pytest.raises(BadMessageError) as caught:
        parse_reply(URL, body)
    assert caught.value.symbol == "SUSHIUSDT"


def test_a_reply_without_a_symbol_is_bad() -> None:
    with pytest.raises(BadMessageError):
        parse_reply("https://fapi.binance.com/fapi/v1/depth", b"{}")


def test_a_url_names_the_symbols_whose_depth_it_asks_for() -> None:
    streams = "btcusdt@aggTrade/sushiusdt@depth@100ms/ctkusdt@depth/sushiusdt@depth@500ms/ctkusdt@bookTicker"
    assert symbols_in(f"wss://fstream.binance.com/stream?streams={streams}") == ["SUSHIUSDT", "CTKUSDT"]
    assert symbols_in(URL) == ["SUSHIUSDT"]
    assert symbols_in("") == symbols_in("wss://ws.kraken.com") == []


@pytest.mark.parametrize(
    ("previous", "first", "last", "joint"),
    [
        (0, 1, 9, Joint.OLDER),
        (9, 9, 9, Joint.OLDER),
        (0, 1, 10, Joint.BRIDGES),
        (9, 10, 10, Joint.BRIDGES),
        (10, 15, 20, Joint.BRIDGES),  # nothing happened in between
        (8, 15, 20, Joint.BRIDGES),
        (12, 10, 20, Joint.BRIDGES),  # the venue's own words
        (11, 12, 12, Joint.LEAVES_A_GAP),
        (11, 15, 20, Joint.LEAVES_A_GAP),
    ],
)
def test_the_first_message_must_bridge(previous: int, first: int, last: int, joint: Joint) -> None:
    assert joins(Delta("S", first, last, previous, 0, [], []), 10) is joint
