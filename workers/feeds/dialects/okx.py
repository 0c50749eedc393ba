"""OKX, the fifth API: ``books`` and ``trades`` of the public socket, pings as text, a notice before upgrades.

Source, as of November 2026: https://www.okx.com/docs-v5/en (overview: websocket, 3 connections a second, 480
subscriptions and unsubscriptions an hour on one, at most 64 KB each; ``ping`` within 30 s; notification of
64008, after which the connection is closed within 60 s; public error codes 60000 and up; order book channel:
400 levels, ids in a chain).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from dolphin_mp.workers.feeds.dialect import Form, Heartbeat, Leave, Limits, Refused, Subscribed, Word
from dolphin_mp.workers.feeds.dialects import answers

if TYPE_CHECKING:
    from collections.abc import Sequence

WS_URL = "wss://ws.okx.com:8443/ws/v5/public"
REST_URL = ""
LIMITS = Limits(
    sends=120,  # of 480 an hour
    sends_within_s=900.0,
    connects=2,  # of 3
    connects_within_s=1.0,
    batch=50,
)
HEARTBEAT = Heartbeat(b"ping", 20.0)
SYMBOL = Form(r"[A-Z0-9]+-[A-Z0-9_]+(?:-[A-Z0-9]+)*", "BTC-USDT-SWAP")

_NAMED = re.compile(r"channel:([a-z0-9-]+),\s*instId:([A-Za-z0-9_-]+)")
_FINAL = frozenset(
    {
        60_011,  # please log in
        60_012,  # illegal request
        60_013,  # invalid arguments
        60_018,  # the channel or the instrument doesn't exist
        60_019,  # invalid op
        60_027,  # a parameter can't be empty
        60_028,  # not supported at this address
        60_029,  # only for some users
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
    if event == "subscribe":
        symbol = answers.text(argument, "instId")
        return (Subscribed(symbol),) if symbol and argument.get("channel") == "books" else ()
    if event == "notice":
        return (Leave(answers.text(message, "msg") or "notice of an upgrade"),)
    if event != "error":
        return ()
    code, reason = answers.whole(message, "code"), answers.text(message, "msg") or "no reason"
    named = _NAMED.search(reason)
    if named and named[1] != "books":  # no trades: the book may come all the same
        return ()
    return (Refused(named[2] if named else None, f"{code}: {reason}", final=code in _FINAL),)


def _request(op: str, symbols: Sequence[str]) -> bytes:
    arguments = [{"channel": kind, "instId": symbol} for symbol in symbols for kind in ("books", "trades")]
    return orjson.dumps({"op": op, "args": arguments})
