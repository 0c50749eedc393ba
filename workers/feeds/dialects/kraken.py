"""Kraken, the second API: ``book`` of 1,000 levels and ``trade``, each acknowledged symbol by symbol.

A heartbeat comes each second in which nothing else does, once something is subscribed to.

Source, as of November 2026: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2 (book, trade,
heartbeat, ping), docs.kraken.com/api/docs/guides/spot-ws-intro; about 150 connections in ten minutes from one
address (support.kraken.com, WebSocket API FAQ). No limit of messages is stated for public channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from dolphin_mp.workers.books.kraken_second import DEEPEST
from dolphin_mp.workers.feeds.dialect import Form, Heartbeat, Limits, Refused, Subscribed, Word
from dolphin_mp.workers.feeds.dialects import answers

if TYPE_CHECKING:
    from collections.abc import Sequence

WS_URL = "wss://ws.kraken.com/v2"
REST_URL = ""
LIMITS = Limits(sends=5, sends_within_s=1.0, connects=12, connects_within_s=60.0, batch=50)  # chosen
HEARTBEAT = Heartbeat(b'{"method":"ping"}', 30.0)
SYMBOL = Form(r"[A-Za-z0-9.]+/[A-Za-z0-9.]+", "BTC/USD")

_BOOK = {"channel": "book", "depth": DEEPEST}
_TRADES = {"channel": "trade"}
_FINAL = ("Currency pair", "Subscription", "Malformed", "Unsupported", "EGeneral:Invalid")
"""How an error begins that would come again: an unknown pair or a wrong request."""


def greet() -> list[bytes]:
    """Give nothing: a connection begins silent."""
    return []


def subscribe(symbols: Sequence[str], number: int) -> list[bytes]:
    """Give the messages that ask for books and trades."""
    return [
        _request("subscribe", {**_BOOK, "symbol": list(symbols), "snapshot": True}, number),
        _request("subscribe", {**_TRADES, "symbol": list(symbols), "snapshot": False}, number),
    ]


def unsubscribe(symbols: Sequence[str], number: int) -> list[bytes]:
    """Give the messages that end both."""
    return [_request("unsubscribe", {**kind, "symbol": list(symbols)}, number) for kind in (_BOOK, _TRADES)]


def snapshot_url(base: str, symbol: str) -> str:  # noqa: ARG001 - it comes on the socket
    """Give nothing."""
    return ""


def hear(payload: bytes) -> tuple[Word, ...]:
    """Give what a message says to the session."""
    message = answers.object_of(payload)
    if message.get("method", "subscribe") != "subscribe":  # what can't be read is refused without its method
        return ()
    result = answers.inner(message, "result")
    if message.get("success") is True:
        symbol = answers.text(result, "symbol")
        return (Subscribed(symbol),) if symbol and result.get("channel") == "book" else ()
    reason = answers.text(message, "error")
    if reason is None:
        return ()
    symbol = answers.text(message, "symbol") or answers.text(result, "symbol")
    return (Refused(symbol, reason, final=reason.startswith(_FINAL)),)


def _request(method: str, params: dict[str, Any], number: int) -> bytes:
    return orjson.dumps({"method": method, "params": params, "req_id": number})
