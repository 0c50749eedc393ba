"""Coinbase Advanced Trade, without a login: ``level2``, ``market_trades``, and ``heartbeats`` that keep them.

One message subscribes to one channel; who subscribes to none within five seconds is disconnected, and most
channels end when they are quiet for a minute, unless there are heartbeats. An answer lists all that is
subscribed to. A product in USDC is sent as the one in USD: name the latter. All symbols are on one
connection, whose messages are counted together. The snapshot of a large book is a message of some megabytes.

Source, as of November 2026: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket
(websocket-overview, websocket-channels, websocket-rate-limits: 8 connections and 8 messages a second from one
address). Of errors the shape alone is stated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from dolphin_mp.workers.feeds.dialect import Form, Heartbeat, Limits, Refused, Subscribed, Word
from dolphin_mp.workers.feeds.dialects import answers

if TYPE_CHECKING:
    from collections.abc import Sequence

WS_URL = "wss://advanced-trade-ws.coinbase.com"
REST_URL = ""
LIMITS = Limits(sends=4, sends_within_s=1.0, connects=4, connects_within_s=1.0, batch=50)
HEARTBEAT = Heartbeat()
SYMBOL = Form(r"[A-Z0-9]+(?:-[A-Z0-9]+)+", "BTC-USD")

_PRODUCT = re.compile(r"\b[A-Z0-9]+(?:-[A-Z0-9]+)+\b")
_BUSY = re.compile(r"rate|limit|too many|slow|internal|unavailable|time", re.IGNORECASE)
"""What an error says that may pass; chosen, for the errors' words are not stated."""


def greet() -> list[bytes]:
    """Ask for heartbeats."""
    return [orjson.dumps({"type": "subscribe", "channel": "heartbeats"})]


def subscribe(symbols: Sequence[str], number: int) -> list[bytes]:  # noqa: ARG001 - answers name their symbols
    """Give the messages that ask for books and trades."""
    return _requests("subscribe", symbols)


def unsubscribe(symbols: Sequence[str], number: int) -> list[bytes]:  # noqa: ARG001 - as above
    """Give the messages that end both."""
    return _requests("unsubscribe", symbols)


def snapshot_url(base: str, symbol: str) -> str:  # noqa: ARG001 - it comes on the socket
    """Give nothing."""
    return ""


def hear(payload: bytes) -> tuple[Word, ...]:
    """Give what a message says to the session."""
    message = answers.object_of(payload)
    if message.get("channel") == "subscriptions":
        events = [event for event in answers.items(message, "events") if type(event) is dict]
        lists = [answers.items(answers.inner(event, "subscriptions"), "level2") for event in events]
        return tuple(Subscribed(book) for books in lists for book in books if type(book) is str)
    if message.get("type") != "error":
        return ()
    reason = answers.text(message, "message") or "no reason"
    products = set(_PRODUCT.findall(reason))
    symbol = products.pop() if len(products) == 1 else None
    return (Refused(symbol, reason, final=symbol is not None and not _BUSY.search(reason)),)


def _requests(kind: str, symbols: Sequence[str]) -> list[bytes]:
    return [
        orjson.dumps({"type": kind, "product_ids": list(symbols), "channel": channel})
        for channel in ("level2", "market_trades")
    ]
