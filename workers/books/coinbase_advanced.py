"""Coinbase, ``level2`` and ``market_trades`` of the Advanced Trade feed: books, and messages with numbers.

All messages of a connection are counted together, from 0 and whatever channel they are of, so a loss shows at
the next message, and a heartbeat comes each second; but not whose message was lost: it costs all books of the
connection their sync. A change says absolute sizes, side by side for bids and offers.

Source: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels and
websocket-overview (sequence numbers), as of November 2026. That they count the connection's messages, not a
product's, is not said there; users who looked found it so.
"""

from __future__ import annotations

import re
from typing import Any

from dolphin_mp.workers.books import texts
from dolphin_mp.workers.books.events import BadMessageError, Delta, Event, Numbered, Snapshot, Trade

_NAMED = re.compile(rb'"product_id":\s*"([A-Z0-9-]{1,24})"')
_CHANNEL = re.compile(rb'"channel":\s*"([a-z0-9_]+)"')
_NUMBER = re.compile(rb'"sequence_num":\s*([0-9]{1,18})[,}]')


def parse(message: dict[str, Any], payload: bytes) -> tuple[Event, ...]:
    """Give the events of a message, which is handed over as it was read and as it was received.

    Raises:
        BadMessageError: it says what no such message can say.
    """
    channel, number, events = (message.get(key) for key in ("channel", "sequence_num", "events"))
    if type(number) is not int or not 0 <= number < texts.MOST_ID:
        raise broken(payload, "a message without a number")
    if channel not in ("l2_data", "market_trades"):
        return (Numbered(number),)
    if type(events) is not list or set(map(type, events)) != {dict}:
        raise broken(payload, "a message without events")
    try:
        if channel == "l2_data":
            return (Numbered(number), *(_book(event, message.get("timestamp")) for event in events))
        return (Numbered(number), *(trade for event in events for trade in _trades(event)))
    except BadMessageError as error:
        error.number = number
        if len(events) > 1:  # it may be about several books, and nothing of it is applied
            error.symbol = None
        raise


def broken(payload: bytes, reason: str) -> BadMessageError:
    """Give the error for a message that can't be read, with the symbol that it seems to be about."""
    channel, number = (pattern.search(payload, 0, 400) for pattern in (_CHANNEL, _NUMBER))
    symbols = set(_NAMED.findall(payload))
    return BadMessageError(
        reason,
        symbols.pop().decode() if len(symbols) == 1 else None,
        of_book=not (channel and channel[1] != b"l2_data"),
        number=int(number[1]) if number else None,
    )


def _book(event: dict[str, Any], time: object) -> Event:
    kind, symbol = event.get("type"), event.get("product_id")
    if type(symbol) is not str:
        raise BadMessageError("a book without a product")
    event_ns = texts.iso_time(time, symbol)
    bids: list[list[Any]] = []
    asks: list[list[Any]] = []
    sides = {"bid": bids, "offer": asks}
    try:
        for level in event["updates"]:
            sides[level["side"]].append([level["price_level"], level["new_quantity"]])
    except (KeyError, TypeError):
        raise BadMessageError("updates are no list of levels", symbol) from None
    numbers = texts.both_sides(bids, asks, symbol)
    if kind == "snapshot":
        return Snapshot(symbol, 0, event_ns, *numbers)
    if kind == "update":
        return Delta(symbol, 0, 0, 0, event_ns, *numbers)
    raise BadMessageError("neither snapshot nor update", symbol)


def _trades(event: dict[str, Any]) -> list[Trade]:
    if event.get("type") != "update":  # the snapshot tells of earlier ones
        return []
    trades = event.get("trades")
    if type(trades) is not list or set(map(type, trades)) - {dict}:
        raise BadMessageError("trades of another shape", of_book=False)
    return list(map(_trade, trades))


def _trade(data: dict[str, Any]) -> Trade:
    symbol = data.get("product_id")
    if type(symbol) is not str:
        raise BadMessageError("a trade without a product", of_book=False)
    sold_by_maker = texts.sign_of(data.get("side"), "SELL", "BUY", symbol)  # it is the maker's side
    event_ns = texts.iso_time(data.get("time"), symbol, of_book=False)
    return texts.trade(symbol, event_ns, data.get("price"), data.get("size"), bought=sold_by_maker)
