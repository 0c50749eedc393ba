"""Coinbase, ``level2`` of the Pro feed: a snapshot on the socket, then absolute sizes, and trades.

There are neither ids nor checksums, so a loss can't be seen. What can be seen: times that run backward, and
each message that can't be used. Messages with a channel instead of a type are of the Advanced Trade feed,
which `coinbase_advanced` reads.

Source: https://docs.cloud.coinbase.com/exchange/docs/websocket-channels (level2, matches)
"""

from __future__ import annotations

import re
from typing import Any

from dolphin_mp.workers.books import coinbase_advanced, texts
from dolphin_mp.workers.books.events import BadMessageError, Delta, Event, Snapshot, Trade
from dolphin_mp.workers.books.rules import Rules, not_before

CAPTURE = "COINBASE"
"""How cryptofeed's raw captures name this venue."""
RULES = Rules(follows=not_before, chained=False)

_NAMED = re.compile(rb'"product_id":\s*"([A-Z0-9-]{1,24})"')
_OTHER = re.compile(rb'"type":\s*"(?!l2update"|snapshot")\w+"')
_NO_ID = -1


def parse(payload: bytes) -> tuple[Event, ...]:
    """Give the events of one socket message; none if it is about something else than books and trades.

    Raises:
        BadMessageError: the message can't be read, or says what no such message can say.
    """
    try:
        message = texts.decode(payload)
    except ValueError as error:
        raise broken(payload, "undecodable JSON") from error
    kind = message.get("type") if type(message) is dict else None
    if kind == "l2update":
        return (_delta(message),)
    if kind == "snapshot":
        symbol = _symbol(message)
        sides = texts.both_sides(message.get("bids"), message.get("asks"), symbol)
        return (Snapshot(symbol, 0, 0, *sides),)
    if kind == "match":
        return (_trade(message),)
    if type(kind) is str:
        return ()
    if type(message) is dict and type(message.get("channel")) is str:
        return coinbase_advanced.parse(message, payload)
    raise broken(payload, "no type")


def parse_reply(url: str, body: bytes) -> Snapshot | None:  # noqa: ARG001 - no book comes by REST
    """Give None: snapshots come on the socket."""
    return None


def symbols_in(url: str) -> list[str]:  # noqa: ARG001 - it is always the same
    """Give no symbol: the URL names none."""
    return []


def symbols_sent(payload: bytes) -> list[str]:
    """Give the symbols whose book a message to the venue asks for."""
    try:
        message = texts.decode(payload)
        products: list[Any] = []
        if message.get("channel") == "level2":
            products += message.get("product_ids", ())
        for channel in message.get("channels", ()):
            own = channel if type(channel) is dict else {"name": channel}
            if own["name"].startswith("level2"):
                products += own.get("product_ids", message.get("product_ids", ()))
        return [product for product in products if type(product) is str]
    except (ValueError, TypeError, AttributeError, KeyError):
        return []


def broken(payload: bytes, reason: str) -> BadMessageError:
    """Give the error for a message that can't be read, with the symbol that it seems to be about."""
    if payload.startswith(b'{"channel":'):
        return coinbase_advanced.broken(payload, reason)
    named = _NAMED.search(payload, 0, 4096)
    other = _OTHER.search(payload, 0, 4096)
    return BadMessageError(reason, named[1].decode() if named else None, of_book=other is None)


def _symbol(message: dict[str, Any], *, of_book: bool = True) -> str:
    symbol = message.get("product_id")
    if type(symbol) is not str:
        raise BadMessageError("a message without a product", of_book=of_book)
    return symbol


def _delta(message: dict[str, Any]) -> Delta:
    symbol = _symbol(message)
    event_ns = texts.iso_time(message.get("time"), symbol)
    changes = message.get("changes")
    if type(changes) is not list or set(map(type, changes)) - {list} or set(map(len, changes)) - {3}:
        raise BadMessageError("changes is no list of [side, price, size]", symbol)
    sides: dict[str, list[list[str]]] = {"buy": [], "sell": []}
    try:
        for side, price, size in changes:
            sides[side].append([price, size])
    except (KeyError, TypeError):
        raise BadMessageError("a change of neither side", symbol) from None
    numbers = texts.both_sides(sides["buy"], sides["sell"], symbol)
    return Delta(symbol, event_ns, event_ns, _NO_ID, event_ns, *numbers)


def _trade(message: dict[str, Any]) -> Trade:
    symbol = _symbol(message, of_book=False)
    sold_by_maker = texts.sign_of(message.get("side"), "sell", "buy", symbol)  # it is the maker's side
    event_ns = texts.iso_time(message.get("time"), symbol, of_book=False)
    return texts.trade(symbol, event_ns, message.get("price"), message.get("size"), bought=sold_by_maker)
