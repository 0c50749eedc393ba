"""Kraken, books and trades of the second websocket API: objects, and a CRC32 of exact numbers.

Prices and sizes are JSON numbers whose digits the checksum is made of, so ``0.10`` and ``0.1`` differ: a book
message is read once more by the standard library, which hands numbers over as they were written (3 us more
for a change of three levels, 0.6 ms for a snapshot of 2,000). How many levels of a side the venue goes on
telling about is said by the answer to the subscription alone.

Source: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/book and trade,
https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2, as of November 2026
"""

from __future__ import annotations

import re
from json import JSONDecoder
from typing import Any

from dolphin_mp.workers.books import texts
from dolphin_mp.workers.books.events import (
    BadMessageError,
    Delta,
    Event,
    Fault,
    Levels,
    Opened,
    Proof,
    Snapshot,
    Trade,
)

DEEPEST = 1000
"""Levels of a side that can be subscribed to: what a book is taken to have if no answer said it."""

KEYS = frozenset({"channel", "method", "success"})
"""Of these a message has one at least."""
_ANSWERS = (b'{"method":', b'{"error":', b'{"success":')
HEADS = (b'{"channel":', *_ANSWERS)
"""How a message begins."""

_CHANNEL = re.compile(rb'"channel":\s*"([a-z0-9_]+)"')
_SYMBOL = re.compile(rb'"symbol":\s*"([A-Za-z0-9.]{1,12}/[A-Za-z0-9.]{1,12})"')
_CHECKSUM = re.compile(r"[0-9]{1,10}")
_exact = JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)


def parse(message: dict[str, Any], payload: bytes) -> tuple[Event, ...]:
    """Give the events of a message, which is handed over as it was read and as it was received.

    Raises:
        BadMessageError: it says what no such message can say.
    """
    channel = message.get("channel")
    if type(message.get("method")) is str:
        return _opened(message)
    if type(message.get("success")) is bool:
        return ()
    if type(channel) is not str:
        raise broken(payload, "not a message of the venue")
    if channel == "trade" and message.get("type") == "update":  # the snapshot tells of earlier ones
        return tuple(map(_trade, _objects(message.get("data"), payload)))
    if channel != "book":
        return ()
    books = _objects(_exactly(payload).get("data"), payload)
    try:
        return tuple(_book(message.get("type"), data) for data in books)
    except BadMessageError as error:
        if len(books) > 1:  # none of them is applied
            error.symbol = None
        raise


def symbols_of(params: Any) -> list[str]:
    """Give the symbols whose book the parameters of a request ask for; raises TypeError, AttributeError."""
    if params.get("channel") != "book":
        return []
    return [symbol for symbol in params.get("symbol", ()) if type(symbol) is str]


def broken(payload: bytes, reason: str) -> BadMessageError:
    """Give the error for a message that can't be read, with the symbol that it seems to be about."""
    channel, symbols = _CHANNEL.search(payload, 0, 100), set(_SYMBOL.findall(payload))
    of_book = not payload.startswith(_ANSWERS) and not (channel and channel[1] != b"book")
    return BadMessageError(reason, symbols.pop().decode() if len(symbols) == 1 else None, of_book=of_book)


def _exactly(payload: bytes) -> Any:
    """Give what the JSON says with its numbers as they were written."""
    try:
        return _exact.decode(payload.decode())
    except (ValueError, RecursionError) as error:  # it bears less nesting than the first reader
        raise broken(payload, "undecodable JSON") from error


def _opened(message: dict[str, Any]) -> tuple[Event, ...]:
    result = message.get("result")
    if message["method"] != "subscribe" or type(result) is not dict or result.get("channel") != "book":
        return ()
    symbol, limit = result.get("symbol"), result.get("depth")
    if type(symbol) is not str or type(limit) is not int or not 0 < limit <= DEEPEST:
        return ()
    return (Opened(symbol, None, True, limit),)


def _objects(data: Any, payload: bytes) -> list[dict[str, Any]]:
    if type(data) is not list or set(map(type, data)) != {dict}:
        raise broken(payload, "a message without data")
    return data


def _book(kind: object, data: dict[str, Any]) -> Event:
    symbol, value = data.get("symbol"), data.get("checksum")
    if type(symbol) is not str:
        raise BadMessageError("a book without a symbol")
    if type(value) is not str or not _CHECKSUM.fullmatch(value):
        raise BadMessageError("a book without its checksum", symbol, Fault.CHECKSUM)
    event_ns = texts.iso_time(data["timestamp"], symbol) if "timestamp" in data else 0
    bids, bid_texts = _side(data.get("bids"), symbol)
    asks, ask_texts = _side(data.get("asks"), symbol)
    proof = Proof(bid_texts, ask_texts, int(value))
    if kind == "snapshot":
        return Snapshot(symbol, 0, event_ns, bids, asks, proof, DEEPEST)
    if kind == "update":
        return Delta(symbol, 0, 0, 0, event_ns, bids, asks, proof)
    raise BadMessageError("neither snapshot nor update", symbol)


def _side(raw: Any, symbol: str) -> tuple[Levels, list[str]]:
    """Give levels, and their texts in the checksum (no dot, no zeros in front)."""
    try:
        pairs = [[level["price"], level["qty"]] for level in raw]
    except (TypeError, KeyError):
        raise BadMessageError("a side is no list of levels", symbol) from None
    levels = texts.levels(pairs, symbol)
    shares = [price.replace(".", "").lstrip("0") + size.replace(".", "").lstrip("0") for price, size in pairs]
    return levels, shares


def _trade(data: dict[str, Any]) -> Trade:
    symbol, price, size = data.get("symbol"), data.get("price"), data.get("qty")
    if type(symbol) is not str:
        raise BadMessageError("a trade without a symbol", of_book=False)
    bought = texts.sign_of(data.get("side"), "buy", "sell", symbol)
    event_ns = texts.iso_time(data.get("timestamp"), symbol, of_book=False)
    return texts.trade_of(symbol, event_ns, price, size, bought=bought)
