"""Deribit, ``book.INSTRUMENT.raw`` or ``.100ms`` and ``trades``: a snapshot, then changes chained by id.

Prices and amounts are JSON numbers, and each level says whether it is new, changed or deleted. Each change
names the one before it (``prev_change_id``). A side of an option's book is often empty. Recordings of 2021
have ``raw``, which needs a login now; what is gathered over 100 ms has the same shape.

Source: https://docs.deribit.com/#book-instrument_name-interval
"""

from __future__ import annotations

import re
from typing import Any

from dolphin_mp.workers.books import texts
from dolphin_mp.workers.books.events import BadMessageError, Delta, Event, Fault, Levels, Snapshot, Trade
from dolphin_mp.workers.books.rules import Rules

CAPTURE = "DERIBIT"
"""How cryptofeed's raw captures name this venue."""
RULES = Rules()

_NAMED = re.compile(rb'"channel":\s*"([a-z_]+)\.([A-Za-z0-9_-]{1,24})[."]')
_INSTRUMENT = re.compile(rb'"instrument_name":\s*"([A-Za-z0-9_-]{1,24})"')


def parse(payload: bytes) -> tuple[Event, ...]:
    """Give the events of one socket message; none if it is about something else than books and trades.

    Raises:
        BadMessageError: the message can't be read, or says what no such message can say.
    """
    try:
        message = texts.decode(payload)
    except ValueError as error:
        raise broken(payload, "undecodable JSON") from error
    if type(message) is not dict or "jsonrpc" not in message:
        raise broken(payload, "not a message of the venue")
    if message.get("method") != "subscription":  # a reply, a heartbeat
        return ()
    params = message.get("params")
    channel, data = (params.get("channel"), params.get("data")) if type(params) is dict else (None, None)
    if type(channel) is not str or "." not in channel:
        raise broken(payload, "a subscription without a channel")
    if channel.startswith("book."):
        return (_book(data, channel),)
    return _trades(data) if channel.startswith("trades.") else ()


def parse_reply(url: str, body: bytes) -> Snapshot | None:  # noqa: ARG001 - no book comes by REST
    """Give None: snapshots come on the socket."""
    return None


def symbols_in(url: str) -> list[str]:  # noqa: ARG001 - it is always the same
    """Give no symbol: the URL names none."""
    return []


def symbols_sent(payload: bytes) -> list[str]:
    """Give the symbols whose book a message to the venue asks for."""
    try:
        channels = texts.decode(payload).get("params", {}).get("channels", ())
        parts = [channel.split(".") for channel in channels]
        return [part[1] for part in parts if part[0] == "book" and len(part) > 1]
    except (ValueError, TypeError, AttributeError):
        return []


def broken(payload: bytes, reason: str) -> BadMessageError:
    """Give the error for a message that can't be read, with the symbol that it seems to be about."""
    named = _NAMED.search(payload, 0, 4096)
    if named:
        return BadMessageError(reason, named[2].decode(), of_book=named[1] == b"book")
    instrument = _INSTRUMENT.search(payload, 0, 4096)
    return BadMessageError(reason, instrument[1].decode() if instrument else None)


def _book(data: Any, channel: str) -> Event:
    symbol = data.get("instrument_name") if type(data) is dict else None
    if type(symbol) is not str or not channel.startswith(f"book.{symbol}."):
        raise BadMessageError("a book without its instrument", channel.split(".")[1])
    kind, last_id = data.get("type"), texts.whole(data, "change_id", symbol)
    event_ns = texts.milliseconds(data, "timestamp", symbol)
    bids, asks = _levels(data.get("bids"), symbol), _levels(data.get("asks"), symbol)
    if kind == "snapshot":
        return Snapshot(symbol, last_id, event_ns, bids, asks)
    if kind == "change":
        previous_id = texts.whole(data, "prev_change_id", symbol)
        return Delta(symbol, last_id, last_id, previous_id, event_ns, bids, asks)
    raise BadMessageError("neither snapshot nor change", symbol)


def _levels(raw: Any, symbol: str) -> Levels:
    if type(raw) is not list or set(map(type, raw)) - {list} or set(map(len, raw)) - {3}:
        raise BadMessageError("a side is no list of [action, price, amount]", symbol)
    levels: Levels = []
    for action, price, amount in raw:
        if not texts.is_number(price) or not texts.is_number(amount) or amount < 0:
            raise BadMessageError("a price or amount is no number", symbol, Fault.VALUE)
        if action not in ("new", "change", "delete"):
            raise BadMessageError("a level neither new, changed nor deleted", symbol)
        if (action == "delete") == bool(amount):
            raise BadMessageError("a deleted level with an amount, or another without", symbol, Fault.VALUE)
        levels.append((float(price), float(amount)))
    return levels


def _trades(raw: Any) -> tuple[Event, ...]:
    if type(raw) is not list or set(map(type, raw)) - {dict}:
        raise BadMessageError("trades of another shape", of_book=False)
    return tuple(map(_trade, raw))


def _trade(data: dict[str, Any]) -> Trade:
    symbol, price, amount = data.get("instrument_name"), data.get("price"), data.get("amount")
    if type(symbol) is not str:
        raise BadMessageError("a trade without its instrument", of_book=False)
    bought = texts.sign_of(data.get("direction"), "buy", "sell", symbol)
    event_ns = texts.milliseconds(data, "timestamp", symbol, of_book=False)
    return texts.trade_of(symbol, event_ns, price, amount, bought=bought)
