"""Deribit, the second API: JSON-RPC, books and trades gathered over 100 ms, heartbeats that must be answered.

``raw`` is refused to those who don't log in (13778); the books of 100 ms have the same ids in a chain. An
answer lists the channels that now come, or no longer do, which only its number tells: even ones ask, odd ones
do not. Channels that don't exist are left out of it without a word.

Source, as of November 2026: https://docs.deribit.com (public/subscribe, public/set_heartbeat, public/test,
book.{instrument_name}.{interval}, trades.{instrument_name}.{interval}, RPC error codes, articles/rate-limits:
a subscription costs 3,000 of 30,000 credits, of which 10,000 a second come back; 500 channels, 32
connections).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from dolphin_mp.workers.feeds.dialect import Answer, Brings, Form, Heartbeat, Limits, Refused, Word
from dolphin_mp.workers.feeds.dialects import answers

if TYPE_CHECKING:
    from collections.abc import Sequence

WS_URL = "wss://www.deribit.com/ws/api/v2"
REST_URL = ""
LIMITS = Limits(
    sends=8,  # of 10 at once and 3.3 a second; more end the connection
    sends_within_s=3.0,
    connects=5,  # chosen
    connects_within_s=10.0,
    batch=50,
    symbols=250,  # of two channels each
)
HEARTBEAT = Heartbeat()
SYMBOL = Form(r"[A-Z0-9]+(?:[_-][A-Z0-9]+)+(?:-[0-9]+d[0-9]+-[CP])?", "BTC-PERPETUAL")

_BEAT_S = 10
"""The shortest beat there is: a message comes at least that often."""
_OWN = 1
"""The number of what is said besides."""
_FINAL = frozenset(
    {
        -32_700,  # parse error
        -32_602,  # invalid params
        -32_601,  # method not found
        -32_600,  # request entity too large, or no request
        10_020,  # invalid or unsupported instrument
        11_029,  # invalid arguments
        11_050,  # bad request
        13_004,  # invalid credentials
        13_009,  # unauthorized
        13_020,  # not found
        13_778,  # raw subscriptions not available for unauthorized
    }
)


def greet() -> list[bytes]:
    """Ask for heartbeats."""
    return [_request("public/set_heartbeat", {"interval": _BEAT_S}, _OWN)]


def subscribe(symbols: Sequence[str], number: int) -> list[bytes]:
    """Give the message that asks for books and trades."""
    return [_request("public/subscribe", {"channels": _channels(symbols)}, 2 * number)]


def unsubscribe(symbols: Sequence[str], number: int) -> list[bytes]:
    """Give the message that ends both."""
    return [_request("public/unsubscribe", {"channels": _channels(symbols)}, 2 * number + 1)]


def snapshot_url(base: str, symbol: str) -> str:  # noqa: ARG001 - it comes on the socket
    """Give nothing."""
    return ""


def hear(payload: bytes) -> tuple[Word, ...]:
    """Give what a message says to the session."""
    message = answers.object_of(payload)
    if message.get("method") == "heartbeat":
        asked = answers.inner(message, "params").get("type") == "test_request"
        return (Answer(_request("public/test", {}, _OWN)),) if asked else ()
    error = answers.inner(message, "error")
    if error:
        code = answers.whole(error, "code")
        return (Refused(None, f"{code}: {answers.text(error, 'message')}", final=code in _FINAL),)
    number = answers.whole(message, "id")
    if number is None or number % 2 or type(message.get("result")) is not list:
        return ()
    parts = [channel.split(".") for channel in answers.items(message, "result") if type(channel) is str]
    books = tuple(part[1] for part in parts if part[0] == "book" and len(part) > 1)
    return (Brings(number // 2, books),) if number else ()


def _channels(symbols: Sequence[str]) -> list[str]:
    return [f"{kind}.{symbol}.100ms" for symbol in symbols for kind in ("book", "trades")]


def _request(method: str, params: dict[str, Any], number: int) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
