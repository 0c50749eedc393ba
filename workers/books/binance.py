"""Binance USD-M futures: depth messages, REST snapshots and trades as events.

The socket sends no snapshot. It comes by REST with a ``lastUpdateId``; older messages are dropped, the first
kept one must bridge it (``U <= lastUpdateId <= u``), and from then on each message's ``pu`` must be the
last one's ``u``. Ids between ``pu`` and ``U`` changed no level, so a first message whose ``pu`` is not after
the snapshot continues it too: on a quiet symbol no other may come. Recordings of 2021 have ``aggTrade``; a
present connection that carries depth carries ``trade`` instead, the single fills of the same trades.

Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/
How-to-manage-a-local-order-book-correctly
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dolphin_mp.workers.books import texts
from dolphin_mp.workers.books.events import BadMessageError, Delta, Event, Joint, Snapshot, Trade
from dolphin_mp.workers.books.rules import Rules

CAPTURE = "BINANCE_FUTURES"
"""How cryptofeed's raw captures name this venue."""

_NAMED = re.compile(rb'"(?:stream|s)":\s*"([A-Za-z0-9_]{1,24})[@"]')
_OTHER = re.compile(rb'"e":\s*"(?!depthUpdate")[A-Za-z0-9_]+"')
_ANSWER = frozenset({"result", "error", "code"})


def parse(payload: bytes) -> tuple[Event, ...]:
    """Give the events of one socket message; none if it is about something else than depth and trades.

    Raises:
        BadMessageError: the message can't be read, or says what no such message can say.
    """
    try:
        message = texts.decode(payload)
    except ValueError as error:
        raise broken(payload, "undecodable JSON") from error
    data = message.get("data", message) if type(message) is dict else None
    if type(data) is not dict:
        raise broken(payload, "not a message of the venue")
    kind = data.get("e")
    if kind == "depthUpdate":
        return (_delta(data),)
    if kind == "aggTrade":
        return (_trade(data),)
    if kind == "trade":  # one of the insurance fund or without a price says nothing of buyers and sellers
        return (_trade(data),) if data.get("X", "MARKET") == "MARKET" else ()
    if type(kind) is str or not _ANSWER.isdisjoint(data):  # another stream, or the answer to a subscription
        return ()
    raise broken(payload, "no event type")


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
        data = texts.decode(body)
    except ValueError as error:
        raise BadMessageError("undecodable JSON", symbol) from error
    if type(data) is not dict:
        raise BadMessageError("not a depth reply", symbol)
    last_id = texts.whole(data, "lastUpdateId", symbol)
    event_ns = texts.whole(data, "E", symbol, texts.LATEST_MS) * 1_000_000 if "E" in data else 0
    return Snapshot(symbol, last_id, event_ns, *texts.both_sides(data.get("bids"), data.get("asks"), symbol))


def symbols_in(url: str) -> list[str]:
    """Give the symbols whose depth a socket's or a REST reply's URL asks for, in its order."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    if parts.path.endswith("/depth"):
        return query.get("symbol", [])
    return _symbols_of(query.get("streams", [""])[0].split("/"))


def symbols_sent(payload: bytes) -> list[str]:
    """Give the symbols whose depth a message to the venue asks for."""
    try:
        message = texts.decode(payload)
    except ValueError:
        return []
    streams = message.get("params") if type(message) is dict else None
    named = [stream for stream in streams if type(stream) is str] if type(streams) is list else []
    return _symbols_of(named)


def broken(payload: bytes, reason: str) -> BadMessageError:
    """Give the error for a message that can't be read, with the symbol that it seems to be about."""
    head = payload[:4096]
    named = _NAMED.search(head)
    symbol = named[1].decode().upper() if named else None
    return BadMessageError(reason, symbol, of_book=_OTHER.search(head) is None)


def joins(delta: Delta, snapshot_id: int) -> Joint:
    """Say how a delta stands to the snapshot of that id."""
    if delta.last_id < snapshot_id:
        return Joint.OLDER
    continues = delta.first_id <= snapshot_id or delta.previous_id <= snapshot_id
    return Joint.BRIDGES if continues else Joint.LEAVES_A_GAP


RULES = Rules(joins=joins)


def _symbols_of(streams: list[str]) -> list[str]:
    parts = [stream.partition("@") for stream in streams]
    return list(dict.fromkeys(name.upper() for name, _, kind in parts if kind.startswith("depth")))


def _delta(data: dict[str, Any]) -> Delta:
    """Give a depth message, all of it checked at once; what fails is looked at again, to say what it was."""
    symbol, bids, asks = data.get("s"), data.get("b"), data.get("a")
    first_id, last_id, previous_id, at_ms = data.get("U"), data.get("u"), data.get("pu"), data.get("E")
    if not (
        type(symbol) is str
        and type(first_id) is type(last_id) is type(previous_id) is type(at_ms) is int
        and 0 <= first_id <= last_id <= texts.MOST_ID
        and 0 <= previous_id <= texts.MOST_ID
        and 0 <= at_ms <= texts.LATEST_MS
    ):
        raise _complaint(data)
    numbers = texts.both_sides(bids, asks, symbol)
    return Delta(symbol, first_id, last_id, previous_id, at_ms * 1_000_000, *numbers)


def _complaint(data: dict[str, Any]) -> BadMessageError:
    """Say what is wrong with the names and numbers of a depth message."""
    symbol = data.get("s")
    if type(symbol) is not str:
        return BadMessageError("a depth message without a symbol")
    try:
        first_id, last_id, _ = (texts.whole(data, key, symbol) for key in ("U", "u", "pu"))
        texts.whole(data, "E", symbol, texts.LATEST_MS)
    except BadMessageError as error:
        return error
    return BadMessageError(f"ids run backward from {first_id} to {last_id}", symbol)


def _trade(data: dict[str, Any]) -> Trade:
    symbol, buyer_was_there = data.get("s"), data.get("m")
    if type(symbol) is not str or type(buyer_was_there) is not bool:
        raise BadMessageError(
            "a trade without symbol or side", symbol if type(symbol) is str else None, of_book=False
        )
    event_ns = texts.milliseconds(data, "T", symbol, of_book=False)
    return texts.trade(symbol, event_ns, data.get("p"), data.get("q"), bought=not buyer_was_there)
