"""Bitget's second websocket API: books with a CRC32 over 25 levels, trades, and the text "ping".

A market's name here is its type and its id: ``USDT-FUTURES:BTCUSDT``. The pages of this API describe the
checksum; those of the unified one name the message before (``pseq``, nought in a snapshot) and leave the
checksum at nought. `checksums` and `chained` say what is spoken.

Source: https://www.bitget.com/api-doc/common/websocket-intro,
.../contract/websocket/public/Order-Book-Channel and New-Trades-Channel
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

from exchange.meter import Limit, Limits
from exchange.words import Message, Peer, Words, compact, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exchange.market import Market, Trade, Update

_DEEP = 25


class Bitget(Words):
    """Bitget v2."""

    NAME = "bitget"
    PATH = "/v2/ws/public"
    PATHS = ("/v2/ws/public",)
    LIMITS = Limits(
        messages=Limit(10, 1.0),
        subscribes=Limit(240, 3600.0),
        connects=Limit(300, 300.0),
        open_at_once=100,
        channels=1000,
    )
    PING_WITHIN_S = 120.0
    TICK, LOT, PRICE = "0.1", "0.0001", "26274.9"

    def __init__(self, markets: dict[str, Market]) -> None:
        super().__init__(markets)
        self.checksums = True
        self.chained = False

    def hear(self, peer: Peer, text: str) -> list[str]:
        """Subscriptions, each channel answered on its own, and pings."""
        if text == "ping":
            return ["pong"]
        message = parse(text) or {}
        op = message.get("op")
        if op not in {"subscribe", "unsubscribe"} or not isinstance(message.get("args"), list):
            return [compact({"event": "error", "code": 30003, "msg": "Invalid request", "op": op})]
        return [each for arg in message["args"] for each in self._answer(peer, op, arg)]

    def update(self, peer: Peer, message: Message) -> list[str]:
        """The changed levels, with the checksum after them."""
        update, market = message.update, self.markets[message.update.symbol]
        if ("books", market.symbol) not in peer.channels:
            return []
        changes = [(each.ticks, each.lots) for each in update.bids]
        bids = [self.decimals(market, *each) for each in reversed(changes)]
        asks = [self.decimals(market, each.ticks, each.lots) for each in update.asks]
        crc = self.checksum(market, message.bids, message.asks) ^ message.wrong_checksum
        return [self._book("update", market, bids, asks, crc, update.previous_id)]

    def trades(self, peer: Peer, update: Update) -> list[str]:
        """The trades of one moment."""
        if not update.trades or ("trade", update.symbol) not in peer.channels:
            return []
        return [self._trades("update", self.markets[update.symbol], update.trades)]

    def checksum(self, market: Market, bids: dict[int, int], asks: dict[int, int]) -> int:
        """Give the signed CRC32 of the best levels of both sides in turn."""
        best = (sorted(bids, reverse=True)[:_DEEP], sorted(asks)[:_DEEP])
        texts = []
        for index in range(_DEEP):
            for prices, book in zip(best, (bids, asks), strict=True):
                if index < len(prices):
                    texts += self.decimals(market, prices[index], book[prices[index]])
        value = crc32(":".join(texts).encode())
        return value - (1 << 32) if value >= 1 << 31 else value

    def _answer(self, peer: Peer, op: str, arg: dict[str, str]) -> list[str]:
        channel, symbol = arg.get("channel", ""), f"{arg.get('instType')}:{arg.get('instId')}"
        if channel not in {"books", "trade"} or symbol not in self.markets:
            where = f"instType:{arg.get('instType')},channel:{channel},instId:{arg.get('instId')}"
            error = {"event": "error", "arg": arg, "code": 30001, "msg": f"{where} doesn't exist"}
            return [compact(error | {"op": op})]
        texts = [compact({"event": op, "arg": arg})]
        key = (channel, symbol)
        if op == "unsubscribe":
            peer.channels.pop(key, None)
        elif key not in peer.channels:
            peer.channels[key] = None
            texts += self._begin(peer, channel, self.markets[symbol])
        return texts

    def _begin(self, peer: Peer, channel: str, market: Market) -> list[str]:
        if channel == "trade":
            return [self._trades("snapshot", market, market.recent)]
        bids = self.levels(market, market.told_bids, bid=True)
        asks = self.levels(market, market.told_asks, bid=False)
        crc = self.checksum(market, market.told_bids, market.told_asks)
        peer.opened[market.symbol] = self._book("snapshot", market, bids, asks, crc, 0)
        return [peer.opened[market.symbol]]

    def _trades(self, action: str, market: Market, trades: Sequence[Trade]) -> str:
        """Trades come latest first."""
        data = []
        for each in reversed(trades):
            price, size = self.decimals(market, each.ticks, each.lots)
            trade = {"ts": str(market.told_ms), "price": price, "size": size, "tradeId": str(each.number)}
            data.append(trade | {"side": "buy" if each.bought else "sell"})
        message = {"action": action, "arg": _arg("trade", market.symbol), "data": data}
        return compact(message | {"ts": market.told_ms})

    def _book(self, action: str, market: Market, bids: Any, asks: Any, crc: int, previous_id: int) -> str:
        data = {"asks": asks, "bids": bids, "checksum": crc if self.checksums else 0}
        data |= {"seq": market.told_id, "ts": str(market.told_ms)}
        if self.chained:
            data["pseq"] = previous_id
        message = {"action": action, "arg": _arg("books", market.symbol), "data": [data]}
        return compact(message | {"ts": market.told_ms})


def _arg(channel: str, symbol: str) -> dict[str, str]:
    kind, _, instrument = symbol.partition(":")
    return {"instType": kind, "channel": channel, "instId": instrument}
