"""The venues that can be spoken to: each is one module of this package, of the same name as in `books`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolphin_mp.workers.feeds.dialects import (
    binance,
    binance_delivery,
    bitget,
    coinbase,
    deribit,
    kraken,
    okx,
)

if TYPE_CHECKING:
    from dolphin_mp.workers.books.venues import VenueName
    from dolphin_mp.workers.feeds.dialect import Dialect

DIALECTS: dict[VenueName, Dialect] = {
    "binance-futures": binance,
    "binance-delivery": binance_delivery,
    "coinbase": coinbase,
    "kraken": kraken,
    "bitget": bitget,
    "okx": okx,
    "deribit": deribit,
}
