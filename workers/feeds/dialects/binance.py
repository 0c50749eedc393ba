"""Binance USD-M futures, as they are spoken to since April 2026: one connection for depth and fills.

The base is split: ``/public`` carries depth and ``trade``, ``/market`` carries ``aggTrade``, and a stream
asked for at the wrong one is acknowledged and never comes, just as one that does not exist. So a book's
connection asks for ``trade``, which the documentation does not list and users found at ``/public``. An
acknowledgement names nothing, and thus says nothing. Pings are frames, which the websocket answers.

Source, as of November 2026: https://developers.binance.com/docs/derivatives/usds-margined-futures/
websocket-market-streams (streams, 10 messages a second, 24 hours), its Important-WebSocket-Change-Notice (the
split) and Live-Subscribing-Unsubscribing-to-streams; market-data/rest-api/Order-Book (weight 20 of 2,400 a
minute), error-code. What comes where: github.com/binance/binance-public-data/issues/472,
BYTEX-TRADE/bytex/issues/7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import orjson

from dolphin_mp.workers.feeds.dialect import Form, Heartbeat, Leave, Limits, Refused, Word
from dolphin_mp.workers.feeds.dialects import answers

if TYPE_CHECKING:
    from collections.abc import Sequence

WS_URL = "wss://fstream.binance.com/public/stream"
REST_URL = "https://fapi.binance.com"
LIMITS = Limits(
    sends=5,  # of 10
    sends_within_s=1.0,
    connects=30,  # of 300 in five minutes
    connects_within_s=60.0,
    fetches=60,  # of 120
    batch=50,
    lifetime_s=86_400.0,
    symbols=100,  # of two streams each: COIN-M takes 200, USD-M 1,024
)
HEARTBEAT = Heartbeat()
SYMBOL = Form(r"[A-Z0-9]+(?:_[0-9]{6})?", "BTCUSDT")

_MALFORMED = frozenset({0, 1, 2, 3, *range(-1199, -1099)})
"""Codes of requests that are no better when they are made again: the socket's, and REST's from -1100 on, of
which -1121 is an unknown symbol."""


def greet() -> list[bytes]:
    """Give nothing: a connection begins silent."""
    return []


def subscribe(symbols: Sequence[str], number: int) -> list[bytes]:
    """Give the message that asks for depth every 100 ms, and for trades."""
    return [_request("SUBSCRIBE", symbols, number)]


def unsubscribe(symbols: Sequence[str], number: int) -> list[bytes]:
    """Give the message that ends both."""
    return [_request("UNSUBSCRIBE", symbols, number)]


def snapshot_url(base: str, symbol: str) -> str:
    """Give the address of a symbol's 1,000 best levels of both sides, the most there are."""
    return f"{base}/fapi/v1/depth?symbol={quote(symbol, safe='')}&limit=1000"


def hear(payload: bytes) -> tuple[Word, ...]:
    """Give what a message says to the session."""
    message = answers.object_of(payload)
    if message.get("e") == "serverShutdown":
        return (Leave("the server is about to shut down"),)
    error = answers.inner(message, "error") or message
    code = answers.whole(error, "code")
    if code is None:
        return ()
    return (Refused(None, f"{code}: {answers.text(error, 'msg')}", final=code in _MALFORMED),)


def _request(method: str, symbols: Sequence[str], number: int) -> bytes:
    streams = [f"{symbol.lower()}@{kind}" for symbol in symbols for kind in ("depth@100ms", "trade")]
    return orjson.dumps({"method": method, "params": streams, "id": number})
