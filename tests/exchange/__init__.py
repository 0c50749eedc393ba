"""Local venues that speak what the real ones document today, for tests of live feeds.

Written from the venues' documentation and from nothing in `workers`: two readings of it meet in the tests.

    market     one symbol's book, from a seed         meter    limits, counted
    truth      tops and trades, what was told         words    what a dialect says
    binance, coinbase, kraken, bitget, okx, deribit   one dialect each
    faults     of messages                            rest     HTTP, and its faults
    door       who is let in                          line     one connection's sending side
    server     all of it on an event loop             thread   that loop in a thread
    venue      what a test holds
    reading    a second reading of the dialects       reader   a plain client that reads so
"""

from __future__ import annotations

from exchange.binance import BinanceDelivery, BinanceFutures
from exchange.bitget import Bitget
from exchange.coinbase import Coinbase
from exchange.deribit import Deribit
from exchange.faults import FAULTS
from exchange.kraken import Kraken
from exchange.meter import Limit, Limits
from exchange.okx import Okx
from exchange.truth import numbers
from exchange.venue import Venue

DIALECTS = {
    words.NAME: words for words in (BinanceFutures, BinanceDelivery, Coinbase, Kraken, Bitget, Okx, Deribit)
}

__all__ = ["DIALECTS", "FAULTS", "Limit", "Limits", "Venue", "numbers"]
