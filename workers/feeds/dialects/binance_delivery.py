"""Binance COIN-M futures: what is said to USD-M, at other addresses.

Its documentation knows no split of the base. Users disagree whether there is one; where there is, the
address without a path carries what ``/public`` does, so that depth and ``trade`` come there either way.

Source, as of November 2026: https://developers.binance.com/docs/derivatives/coin-margined-futures/
websocket-market-streams (10 messages a second, 24 hours, 200 streams), market-data/rest-api/Order-Book
(weight 20 of 2,400 a minute).
"""

from __future__ import annotations

from urllib.parse import quote

from dolphin_mp.workers.feeds.dialect import Form
from dolphin_mp.workers.feeds.dialects.binance import HEARTBEAT, LIMITS, greet, hear, subscribe, unsubscribe

WS_URL = "wss://dstream.binance.com/stream"
REST_URL = "https://dapi.binance.com"
SYMBOL = Form(r"[A-Z0-9]+_(?:PERP|[0-9]{6})", "BTCUSD_PERP")


def snapshot_url(base: str, symbol: str) -> str:
    """Give the address of a symbol's 1,000 best levels of both sides, the most there are."""
    return f"{base}/dapi/v1/depth?symbol={quote(symbol, safe='')}&limit=1000"


__all__ = [
    "HEARTBEAT",
    "LIMITS",
    "REST_URL",
    "SYMBOL",
    "WS_URL",
    "greet",
    "hear",
    "snapshot_url",
    "subscribe",
    "unsubscribe",
]
