"""What the venues' present messages mean, by an example of each."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from dolphin_mp.workers.books.events import BadMessageError, Trade
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
