"""Coinbase Advanced Trade: level2 and market trades, each message numbered on its connection.

One message subscribes to one channel; heartbeats are a channel too. Whoever subscribes to nothing within
five seconds is disconnected. The side of a trade is the maker's.

Source: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket (websocket-overview,
websocket-channels, websocket-rate-limits). Of errors the pages give only the shape; the words are chosen,
and so is the order of snapshot and confirmation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.meter import Limit, Limits
from exchange.words import Message, Peer, Words, compact, parse, stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exchange.market import Market, Trade, Update

_CHANNELS = {"level2", "market_trades", "heartbeats", "ticker"}
_EPOCH = "1970-01-01T00:00:00Z"


class Coinbase(Words):
    """Coinbase Advanced Trade."""

    NAME = "coinbase"
    PATH = "/"
    PATHS = ("/",)
    LIMITS = Limits(messages_by_address=Limit(8, 1.0), connects=Limit(8, 1.0))
    BEAT_S = 1.0
    SUBSCRIBE_WITHIN_S = 5.0
    TICK, LOT, PRICE = "0.01", "0.00000001", "21921.70"

    def __init__(self, markets: dict[str, Market]) -> None:
        super().__init__(markets)
        self.beats = 3048

    def hear(self, peer: Peer, text: str) -> list[str]:
        """Subscriptions to one channel each."""
        message = parse(text)
        if message is None or message.get("type") not in {"subscribe", "unsubscribe"}:
            return [compact({"type": "error", "message": "could not parse the message"})]
        channel, products = message.get("channel"), message.get("product_ids", [])
        if channel not in _CHANNELS:
            return [compact({"type": "error", "message": f"channel {channel!r} is not supported"})]
        unknown = [each for each in products if each not in self.markets]
        if unknown:
            return [compact({"type": "error", "message": f"{unknown[0]} is not a valid product"})]
        texts = []
        for product in products or ([""] if channel == "heartbeats" else self.markets):
            key = (channel, product)
            if message["type"] == "unsubscribe":
                peer.channels.pop(key, None)
            elif key not in peer.channels:
                peer.channels[key] = None
                texts += self._begin(peer, channel, product)
        return [*texts, self._say(peer, "subscriptions", [{"subscriptions": self._subscribed(peer)}])]

    def wanted(self, message: dict[str, Any]) -> Any:
        """The products."""
        return message.get("product_ids", [""])

    def has_book(self, peer: Peer, symbol: str) -> bool:
        """Its channel is called level2."""
        return ("level2", symbol) in peer.channels

    def update(self, peer: Peer, message: Message) -> list[str]:
        """An event with the changed levels; the channel is called otherwise than in the subscription."""
        update, market = message.update, self.markets[message.update.symbol]
        if not self.has_book(peer, market.symbol):
            return []
        at = stamp(update.event_ms)
        levels = [
            self._level(market, side, each.ticks, each.lots, at)
            for side, changes in (("bid", update.bids), ("offer", update.asks))
            for each in changes
        ]
        event = {"type": "update", "product_id": market.symbol, "updates": levels}
        return [self._say(peer, "l2_data", [event], update.event_ms)]

    def trades(self, peer: Peer, update: Update) -> list[str]:
        """The trades of one moment, by the maker's side."""
        if not update.trades or ("market_trades", update.symbol) not in peer.channels:
            return []
        market = self.markets[update.symbol]
        return [self._trades(peer, "update", market, update.trades)]

    def beat(self, peer: Peer, quiet_s: float) -> list[str]:
        """A counted heartbeat, to whoever subscribed to it."""
        if not any(channel == "heartbeats" for channel, _ in peer.channels):
            return []
        self.beats += 1
        event = {"current_time": stamp(self.now_ms).replace("T", " "), "heartbeat_counter": str(self.beats)}
        return [self._say(peer, "heartbeats", [event])]

    def too_many(self, peer: Peer) -> list[str]:
        """An error, and the end."""
        peer.farewell = "too many messages"
        return [compact({"type": "error", "message": "rate limit exceeded"})]

    def _begin(self, peer: Peer, channel: str, product: str) -> list[str]:
        if channel == "market_trades":
            market = self.markets[product]
            return [self._trades(peer, "snapshot", market, market.recent)]
        if channel != "level2":
            return []
        market = self.markets[product]
        sides = (("bid", market.told_bids), ("offer", market.told_asks))
        levels = [
            self._level(market, side, price, book[price], _EPOCH)
            for side, book in sides
            for price in sorted(book, reverse=side == "bid")
        ]
        event = {"type": "snapshot", "product_id": product, "updates": levels}
        peer.opened[product] = self._say(peer, "l2_data", [event], market.told_ms)
        return [peer.opened[product]]

    def _trades(self, peer: Peer, kind: str, market: Market, trades: Sequence[Trade]) -> str:
        told = []
        for each in trades:
            price, size = self.decimals(market, each.ticks, each.lots)
            trade = {"trade_id": str(each.number), "product_id": market.symbol, "price": price, "size": size}
            side = "SELL" if each.bought else "BUY"
            told.append(trade | {"side": side, "time": stamp(market.told_ms)})
        return self._say(peer, "market_trades", [{"type": kind, "trades": told}], market.told_ms)

    def _level(self, market: Market, side: str, ticks: int, lots: int, at: str) -> dict[str, str]:
        price, size = self.decimals(market, ticks, lots)
        return {"side": side, "event_time": at, "price_level": price, "new_quantity": size}

    @staticmethod
    def _subscribed(peer: Peer) -> dict[str, list[str]]:
        channels: dict[str, list[str]] = {}
        for channel, product in peer.channels:
            channels.setdefault(channel, []).append(product or channel)
        return channels

    def _say(self, peer: Peer, channel: str, events: list[Any], at_ms: int = 0) -> str:
        head = {"channel": channel, "client_id": "", "timestamp": stamp(at_ms or self.now_ms, 9)}
        text = compact(head | {"sequence_num": peer.counter, "events": events})
        peer.counter += 1
        return text
