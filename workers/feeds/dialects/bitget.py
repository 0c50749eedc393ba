"""Bitget, the second API: ``books`` and ``trade`` of the public socket, pings as text.

Source, as of November 2026: https://www.bitget.com/api-doc/common/websocket-intro (10 messages a second, 240
subscriptions an hour on one connection, at best less than 50 channels on it, 300 connections in five minutes,
``ping`` every 30 s, 24 hours), api-doc/contract/websocket/public/Order-Book-Channel and spot/, whose error
codes are those of the first API: 30001 doesn't exist ... 30006 too many requests, 30007 over the limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from dolphin_mp.workers.books.bitget import instrument_of, symbol_of
from dolphin_mp.workers.feeds.dialect import Form, Heartbeat, Limits, Refused, Subscribed, Word
from dolphin_mp.workers.feeds.dialects import answers

if TYPE_CHECKING:
    from collections.abc import Sequence

WS_URL = "wss://ws.bitget.com/v2/ws/public"
REST_URL = ""
LIMITS = Limits(
    sends=8,  # of them no more than half subscribe anew: 240 an hour
    sends_within_s=60.0,
    connects=10,
    connects_within_s=60.0,
    batch=20,  # chosen: the first API took 4,096 bytes at most
    lifetime_s=86_400.0,
    symbols=24,
)
HEARTBEAT = Heartbeat(b"ping", 25.0)
SYMBOL = Form(r"(?:spot|usdt|coin|usdc):[A-Z0-9_]+", "usdt:BTCUSDT or spot:BTCUSDT")

_FINAL = frozenset(
    {
        30_001,  # the channel or the instrument doesn't exist
        30_002,  # illegal request
        30_003,  # invalid op
        30_004,  # please log in
        30_016,  # a parameter is wrong
    }
)


def greet() -> list[bytes]:
    """Give nothing: a connection begins silent."""
    return []


def subscribe(symbols: Sequence[str], number: int) -> list[bytes]:  # noqa: ARG001 - answers name their symbol
    """Give the message that asks for books and trades."""
    return [_request("subscribe", symbols)]


def unsubscribe(symbols: Sequence[str], number: int) -> list[bytes]:  # noqa: ARG001 - as above
    """Give the message that ends both."""
    return [_request("unsubscribe", symbols)]


def snapshot_url(base: str, symbol: str) -> str:  # noqa: ARG001 - it comes on the socket
    """Give nothing."""
    return ""


def hear(payload: bytes) -> tuple[Word, ...]:
    """Give what a message says to the session."""
    message = answers.object_of(payload)
    event, argument = message.get("event"), answers.inner(message, "arg")
    if event not in ("subscribe", "error"):
        return ()
    try:
        symbol = symbol_of(argument)
    except ValueError:
        symbol = None
    if symbol and argument.get("channel") != "books":  # no trades: the book may come all the same
        return ()
    if event == "subscribe":
        return (Subscribed(symbol),) if symbol else ()
    code = answers.whole(message, "code")
    return (Refused(symbol, f"{code}: {answers.text(message, 'msg')}", final=code in _FINAL),)


def _request(op: str, symbols: Sequence[str]) -> bytes:
    arguments = []
    for symbol in symbols:
        kind, name = instrument_of(symbol)
        arguments += [
            {"instType": kind, "channel": channel, "instId": name} for channel in ("books", "trade")
        ]
    return orjson.dumps({"op": op, "args": arguments})
