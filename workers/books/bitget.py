"""Bitget, ``books`` and ``trade`` of both APIs: a snapshot, then changes, with a CRC32 or chained by id.

Spot and perpetuals share names, so a symbol carries its type: ``sp:EOSUSDT`` and ``mc:UNIUSDT`` in the first
API, ``spot:EOSUSDT``, ``usdt:UNIUSDT``, ``coin:BTCUSD`` and ``usdc:BTCPERP`` in the second. Messages of the
first have a time but no id; their checksum is made of the 25 best levels of both sides in turn, as they were
written. Those of the second have an id (``seq``), later also that of the one before (``pseq``), and then a
checksum only if they like. A ``pseq`` of 0 says that the numbers began anew, which can't be told from a loss.

Source: https://bitgetlimited.github.io/apidoc/en/spot/#depth-channel;
https://www.bitget.com/api-doc/contract/websocket/public/Order-Book-Channel as of November 2026;
api-doc/uta/websocket/public/Order-Book-Channel for ``pseq``, which the second API has too
(github.com/JKorf/Bitget.Net/pull/89, June 2026)
"""

from __future__ import annotations

import re
from itertools import chain, zip_longest
from typing import Any
from zlib import crc32

from dolphin_mp.workers.books import texts
from dolphin_mp.workers.books.events import BadMessageError, Delta, Event, Fault, Proof, Snapshot
from dolphin_mp.workers.books.rules import Checksum, Rules

CAPTURE = "BITGET"
"""How cryptofeed's raw captures name this venue."""

_KEY = rb'"%s":\s*"([A-Za-z0-9_-]{1,24})"'
_TYPE, _CHANNEL, _NAME = (re.compile(_KEY % key) for key in (b"instType", b"channel", b"instId"))
_ONLY_TIME, _ONLY_ID = -1, -2
"""A message that can't name the one before it, and has a time or an id of its own."""
_TYPES = {"spot": "SPOT", "usdt": "USDT-FUTURES", "coin": "COIN-FUTURES", "usdc": "USDC-FUTURES"}
_SHORT = {kind: short for short, kind in _TYPES.items()}


def checksum(bids: list[str], asks: list[str]) -> int:
    """Give the venue's number for the best levels: bids and asks in turn, signed."""
    shares = filter(None, chain.from_iterable(zip_longest(bids, asks)))
    unsigned = crc32(":".join(shares).encode())
    return unsigned - (1 << 32) if unsigned >> 31 else unsigned


def follows(delta: Delta, after: int) -> bool:
    """Tell whether a message that can't name the one before it at least comes later."""
    if delta.previous_id == _ONLY_TIME:
        return delta.last_id >= after
    return delta.previous_id == _ONLY_ID and delta.last_id > after


RULES = Rules(follows=follows, chained=False, checksum=Checksum(checksum, 25))


def parse(payload: bytes) -> tuple[Event, ...]:
    """Give the events of one socket message; none if it is about something else than books and trades.

    Raises:
        BadMessageError: the message can't be read, or says what no such message can say.
    """
    if payload == b"pong":
        return ()
    try:
        message = texts.decode(payload)
    except ValueError as error:
        raise broken(payload, "undecodable JSON") from error
    if type(message) is dict and type(message.get("event")) is str:
        return ()
    if type(message) is not dict or type(message.get("arg")) is not dict:
        raise broken(payload, "not a message of the venue")
    symbol, channel = symbol_of(message["arg"]), message["arg"].get("channel")
    if channel == "books":
        return tuple(_book(message.get("action"), data, symbol) for data in _objects(message, symbol))
    if channel == "trade" and message.get("action") == "update":  # the snapshot tells of earlier ones
        return _trades(message.get("data"), symbol)
    return ()


def parse_reply(url: str, body: bytes) -> Snapshot | None:  # noqa: ARG001 - no book comes by REST
    """Give None: snapshots come on the socket."""
    return None


def symbols_in(url: str) -> list[str]:  # noqa: ARG001 - it is always the same
    """Give no symbol: the URL names none."""
    return []


def symbols_sent(payload: bytes) -> list[str]:
    """Give the symbols whose book a message to the venue asks for."""
    try:
        arguments = texts.decode(payload).get("args", ())
        return [symbol_of(each) for each in arguments if each.get("channel") == "books"]
    except (ValueError, TypeError, AttributeError):
        return []


def broken(payload: bytes, reason: str) -> BadMessageError:
    """Give the error for a message that can't be read, with the symbol that it seems to be about."""
    kind, channel, name = (pattern.search(payload, 0, 4096) for pattern in (_TYPE, _CHANNEL, _NAME))
    symbol = _symbol(kind[1].decode(), name[1].decode()) if kind and name else None
    return BadMessageError(reason, symbol, of_book=not (channel and channel[1] != b"books"))


def symbol_of(argument: dict[str, Any]) -> str:
    """Give the symbol of a subscription: its type and its name."""
    kind, name = argument.get("instType"), argument.get("instId")
    if type(kind) is not str or type(name) is not str:
        raise BadMessageError("a message without an instrument")
    return _symbol(kind, name)


def instrument_of(symbol: str) -> tuple[str, str]:
    """Give the second API's type and name of a symbol."""
    kind, _, name = symbol.rpartition(":")
    return _TYPES.get(kind, kind.upper()), name


def _symbol(kind: str, name: str) -> str:
    return f"{_SHORT.get(kind, kind.lower())}:{name}"  # a name may be 24 characters long with its type


def _objects(message: dict[str, Any], symbol: str) -> list[dict[str, Any]]:
    data = message.get("data")
    if type(data) is not list or set(map(type, data)) != {dict}:
        raise BadMessageError("a book message without data", symbol)
    return data


def _book(action: object, data: dict[str, Any], symbol: str) -> Event:
    chained = "pseq" in data
    value = data.get("checksum", 0 if chained else None)
    if type(value) is not int:
        raise BadMessageError("a book without its checksum", symbol, Fault.CHECKSUM)
    event_ns = texts.milliseconds(data, "ts", symbol)
    bids, asks = texts.both_sides(data.get("bids"), data.get("asks"), symbol)
    bid_texts, ask_texts = list(map(":".join, data["bids"])), list(map(":".join, data["asks"]))
    proof = Proof(bid_texts, ask_texts, (value or None) if chained else value)
    last_id = texts.numbered(data, "seq", symbol) if chained or "seq" in data else event_ns
    if action == "snapshot":
        return Snapshot(symbol, last_id, event_ns, bids, asks, proof, chained=chained)
    if action != "update":
        raise BadMessageError("neither snapshot nor update", symbol)
    before = _ONLY_ID if "seq" in data else _ONLY_TIME
    previous_id = texts.numbered(data, "pseq", symbol) if chained else before
    return Delta(symbol, last_id, last_id, previous_id, event_ns, bids, asks, proof)


def _trades(raw: Any, symbol: str) -> tuple[Event, ...]:
    if type(raw) is not list or not set(map(type, raw)) <= {list, dict}:
        raise BadMessageError("trades of another shape", symbol, of_book=False)
    parts = [_parts(each) for each in raw]
    if set(map(len, parts)) - {4}:
        raise BadMessageError("trades of another shape", symbol, of_book=False)
    return tuple(
        texts.trade(
            symbol,
            texts.milliseconds({"time": time}, "time", symbol, of_book=False),
            price,
            size,
            bought=texts.sign_of(side, "buy", "sell", symbol),
        )
        for time, price, size, side in parts
    )


def _parts(trade: list[Any] | dict[str, Any]) -> list[Any]:
    """Give time, price, size and side; the second API names them."""
    if type(trade) is dict:
        return [trade.get(key) for key in ("ts", "price", "size", "side")]
    return list(trade)
