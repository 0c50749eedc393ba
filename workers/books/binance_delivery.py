"""Binance COIN-M futures: the messages of USD-M, with sizes in contracts.

Source: https://developers.binance.com/docs/derivatives/coin-margined-futures/websocket-market-streams/
How-to-manage-a-local-order-book-correctly
"""

from __future__ import annotations

from dolphin_mp.workers.books.binance import RULES, broken, parse, parse_reply, symbols_in, symbols_sent

CAPTURE = "BINANCE_DELIVERY"

__all__ = ["CAPTURE", "RULES", "broken", "parse", "parse_reply", "symbols_in", "symbols_sent"]
