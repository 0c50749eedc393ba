"""OKX, ``books`` and ``trades`` of the fifth API: a snapshot on the socket, then changes.

Levels have four items, of which two matter. Each message names the one before it (``prevSeqId``), and its
checksum is Bitget's. Older recordings have no ids, and then their times must not run backward; since June
2026 the checksum is always 0 and means nothing.

Source: https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel
"""

from __future__ import annotations

import re
from typing import Any

from dolphin_mp.workers.books import texts
from dolphin_mp.workers.books.bitget import checksum
from dolphin_mp.workers.books.events import BadMessageError, Delta, Event, Fault, Proof, Snapshot, Trade
from dolphin_mp.workers.books.rules import Checksum, Rules

CAPTURE = "OKX"
"""How cryptofeed's raw captures name this venue."""

_BOOKS = frozenset({"books", "books-l2-tbt", "books50-l2-tbt"})
_CHANNEL = re.compile(rb'"channel":\s*"([a-z0-9-]+)"')
_NAME = re.compile(rb'"instId":\s*"([A-Za-z0-9_-]{1,24})"')
_WIDTHS = {2, 3, 4}
_NO_ID = -2


def follows(delta: Delta, after: int) -> bool:
    """Tell whether a message without ids, which can't name the one before it, is at least not older."""
    return delta.previous_id == _NO_ID and delta.last_id >= after


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
    symbol, channel, data = message["arg"].get("instId"), message["arg"].get("channel"), message.get("data")
    if type(channel) is not str or (channel not in _BOOKS and channel != "trades"):
        return ()
    if type(symbol) is not str or type(data) is not list or set(map(type, data)) != {dict}:
        raise broken(payload, "no instrument or no data")
    if channel == "trades":
        return tuple(_trade(each, symbol) for each in data)
    return tuple(_book(message.get("action"), each, symbol) for each in data)


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
        return [each["instId"] for each in arguments if each.get("channel") in _BOOKS]
    except (ValueError, TypeError, AttributeError, KeyError):
        return []


def broken(payload: bytes, reason: str) -> BadMessageError:
    """Give the error for a message that can't be read, with the symbol that it seems to be about."""
    channel, name = (pattern.search(payload, 0, 4096) for pattern in (_CHANNEL, _NAME))
    of_book = not (channel and channel[1].decode() not in _BOOKS)
    return BadMessageError(reason, name[1].decode() if name else None, of_book=of_book)


def _book(action: object, data: dict[str, Any], symbol: str) -> Event:
    value = data.get("checksum", 0)
    if type(value) is not int:
        raise BadMessageError("a checksum that is no number", symbol, Fault.CHECKSUM)
    event_ns = texts.milliseconds(data, "ts", symbol)
    pairs = [texts.firsts(data.get(key), _WIDTHS, key, symbol) for key in ("bids", "asks")]
    bids, asks = texts.both_sides(pairs[0], pairs[1], symbol)
    bid_texts, ask_texts = (list(map(":".join, side)) for side in pairs)
    proof = Proof(bid_texts, ask_texts, value or None)
    last_id = texts.whole(data, "seqId", symbol) if "seqId" in data else event_ns
    if action == "snapshot":
        return Snapshot(symbol, last_id, event_ns, bids, asks, proof, chained="seqId" in data)
    if action == "update":
        previous_id = texts.whole(data, "prevSeqId", symbol) if "seqId" in data else _NO_ID
        return Delta(symbol, last_id, last_id, previous_id, event_ns, bids, asks, proof)
    raise BadMessageError("neither snapshot nor update", symbol)


def _trade(data: dict[str, Any], symbol: str) -> Trade:
    event_ns = texts.milliseconds(data, "ts", symbol, of_book=False)
    bought = texts.sign_of(data.get("side"), "buy", "sell", symbol)
    return texts.trade(symbol, event_ns, data.get("px"), data.get("sz"), bought=bought)
