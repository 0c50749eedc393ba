"""Binance USD-M futures: depth messages and REST snapshots as events.

The socket sends no snapshot. It comes by REST with a ``lastUpdateId``; older messages are dropped, the first
kept one must bridge it (``U <= lastUpdateId <= u``), and from then on each message's ``pu`` must be the
last one's ``u``.

Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/
How-to-manage-a-local-order-book-correctly
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from dolphin_mp.workers.books.events import BadMessageError, Delta, Event, Joint, Levels, Snapshot

CAPTURE = "BINANCE_FUTURES"
"""How cryptofeed's raw captures name this venue."""

_DECIMALS = re.compile(r"(?:[0-9]{1,24}(?:\.[0-9]{1,24})?,)*(?:[0-9]{1,24}(?:\.[0-9]{1,24})?)?")
"""Plain decimals joined by commas: `float` alone would also read "nan", "1_0" and " 7"."""
_NAMED = re.compile(rb'"(?:stream|s)":\s*"([A-Za-z0-9_]{1,24})[@"]')
_LATEST_MS = 2**63 // 1_000_000 - 1


def parse(payload: bytes) -> tuple[Event, ...]:
    """Give the events of one socket message; none if it is about something else than depth.

    Raises:
        BadMessageError: the message can't be read, or says what no such message can say.
    """
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise BadMessageError("undecodable JSON", symbol_in(payload)) from error
    data = message.get("data", message) if type(message) is dict else None
    if type(data) is not dict:
        raise BadMessageError("not a message of the venue", symbol_in(payload))
    kind = data.get("e")
    if kind == "depthUpdate":
        return (_delta(data),)
    if type(kind) is str or "result" in data:  # another stream, or the answer to a subscription
        return ()
    raise BadMessageError("no event type", symbol_in(payload))


def parse_reply(url: str, body: bytes) -> Snapshot | None:
    """Give the snapshot of one REST reply; None if the URL asks for something else.

    Raises:
        BadMessageError: the reply is no snapshot.
    """
    parts = urlsplit(url)
    if not parts.path.endswith("/depth"):
        return None
    symbol = parse_qs(parts.query).get("symbol", [""])[0]
    if not symbol:
        raise BadMessageError("a depth reply without a symbol")
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadMessageError("undecodable JSON", symbol) from error
    if type(data) is not dict:
        raise BadMessageError("not a depth reply", symbol)
    last_id = _whole(data, "lastUpdateId", symbol)
    event_ns = _whole(data, "E", symbol, _LATEST_MS) * 1_000_000 if "E" in data else 0
    return Snapshot(symbol, last_id, event_ns, _levels(data, "bids", symbol), _levels(data, "asks", symbol))


def symbols_in(url: str) -> list[str]:
    """Give the symbols whose depth a socket's or a REST reply's URL asks for, in its order."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    if parts.path.endswith("/depth"):
        return query.get("symbol", [])
    streams = [stream.partition("@") for stream in query.get("streams", [""])[0].split("/")]
    return list(dict.fromkeys(name.upper() for name, _, kind in streams if kind.startswith("depth")))


def symbol_in(payload: bytes) -> str | None:
    """Give the symbol that a broken message seems to be about, so that its loss is counted there."""
    named = _NAMED.search(payload[:4096])
    return named[1].decode().upper() if named else None


def joins(delta: Delta, snapshot_id: int) -> Joint:
    """Say how a delta stands to the snapshot of that id."""
    if delta.last_id < snapshot_id:
        return Joint.OLDER
    return Joint.BRIDGES if delta.first_id <= snapshot_id else Joint.LEAVES_A_GAP


def _delta(data: dict[str, Any]) -> Delta:
    symbol = data.get("s")
    if type(symbol) is not str:
        raise BadMessageError("a depth message without a symbol")
    first_id, last_id = _whole(data, "U", symbol), _whole(data, "u", symbol)
    if first_id > last_id:
        raise BadMessageError(f"ids run backward from {first_id} to {last_id}", symbol)
    return Delta(
        symbol,
        first_id,
        last_id,
        _whole(data, "pu", symbol),
        _whole(data, "E", symbol, _LATEST_MS) * 1_000_000,
        _levels(data, "b", symbol),
        _levels(data, "a", symbol),
    )


def _whole(data: dict[str, Any], key: str, symbol: str, most: int = 2**64 - 1) -> int:
    value = data.get(key)
    if type(value) is not int or not 0 <= value <= most:  # a bool is an int, but not of this type
        raise BadMessageError(f"{key} is no whole number", symbol)
    return value


def _levels(data: dict[str, Any], key: str, symbol: str) -> Levels:
    raw = data.get(key)
    try:
        if type(raw) is list and set(map(type, raw)) <= {list}:
            levels = [(float(price), float(size)) for price, size in raw]
            if _DECIMALS.fullmatch(",".join(chain.from_iterable(raw))):
                return levels
    except (TypeError, ValueError):  # not two to a level, or not text, or not a number
        pass
    raise BadMessageError(f"{key} is no list of [price, size] in plain decimals", symbol)
