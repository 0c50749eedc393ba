"""Kraken's second websocket API: snapshots on the socket, JSON numbers with all their places, CRC32.

A book is kept as deep as was subscribed to: a level that is pushed out is not deleted by a message, one
that comes back into reach is told anew. The checksum is made of the ten best levels, asks first.

Source: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2 (book, trade, heartbeat, status,
ping), https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2, .../introduction (rate limits)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

from exchange.meter import Limit, Limits
from exchange.words import Message, Peer, Words, compact, parse, stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exchange.market import Market, Trade, Update

DEPTHS = (10, 25, 100, 500, 1000)


class Kraken(Words):
    """Kraken v2."""

    NAME = "kraken"
    PATH = "/v2"
    PATHS = ("/v2",)
    LIMITS = Limits(connects=Limit(150, 600.0))
    BEAT_S = 1.0
    TICK, LOT, PRICE = "0.01", "0.00000001", "15.00"

    def __init__(self, markets: dict[str, Market]) -> None:
        super().__init__(markets)
        self.system = "online"

    def greet(self, peer: Peer) -> list[str]:
        """The state of the system."""
        state = {"api_version": "v2", "connection_id": 10**19 + peer.number, "system": self.system}
        return [compact({"channel": "status", "type": "update", "data": [state | {"version": "2.0.9"}]})]

    def hear(self, peer: Peer, text: str) -> list[str]:
        """Subscriptions, each symbol answered on its own, and pings."""
        message = parse(text)
        if message is None or not isinstance(message.get("method"), str):
            return [compact({"error": "Malformed request", "success": False} | self._times(None))]
        times = self._times(message.get("req_id"))
        method, params = message["method"], message.get("params") or {}
        if method == "ping":
            return [compact({"method": "pong"} | times)]
        channel = params.get("channel")
        if method not in {"subscribe", "unsubscribe"} or channel not in {"book", "trade"}:
            return [compact({"error": "Malformed request", "method": method, "success": False} | times)]
        depth = params.get("depth", 10) if channel == "book" else 0
        if channel == "book" and depth not in DEPTHS:
            error = {"error": "Subscription depth not supported", "method": method, "success": False}
            return [compact(error | times)]
        answer, texts = self._subscribe if method == "subscribe" else self._unsubscribe, []
        for symbol in params.get("symbol", []):
            texts += answer(peer, channel, symbol, depth, times)
            if method == "subscribe" and symbol in self.markets and channel == "trade":
                market = self.markets[symbol]
                texts += [_trades("snapshot", market, market.recent)] * (params.get("snapshot") is True)
        return texts

    def wanted(self, message: dict[str, Any]) -> Any:
        """The symbols."""
        return (message.get("params") or {}).get("symbol")

    def update(self, peer: Peer, message: Message) -> list[str]:
        """What of the change the peer's depth shows."""
        symbol = message.update.symbol
        channel = next((each for each, whose in peer.channels if whose == symbol and each != "trade"), None)
        if channel is None:
            return []
        market, depth = self.markets[symbol], int(channel.removeprefix("book-"))
        after = (_best(message.bids, depth, bid=True), _best(message.asks, depth, bid=False))
        before, peer.shown[symbol] = peer.shown[symbol], after
        sides = []
        for old, new, whole in zip(before, after, (message.bids, message.asks), strict=True):
            changed = {price: lots for price, lots in new.items() if old.get(price) != lots}
            gone = {price: 0 for price in old if price not in whole}
            sides.append(_side(market, changed | gone))
        if sides == ["", ""]:
            return []
        crc = checksum(market, message.bids, message.asks) ^ message.wrong_checksum
        return [self._book("update", market, sides, crc, message.update.event_ms)]

    def trades(self, peer: Peer, update: Update) -> list[str]:
        """One message for the trades of one moment."""
        if ("trade", update.symbol) not in peer.channels or not update.trades:
            return []
        return [_trades("update", self.markets[update.symbol], update.trades)]

    def beat(self, peer: Peer, quiet_s: float) -> list[str]:
        """A heartbeat to whoever subscribed to something and heard nothing for a second."""
        return ['{"channel":"heartbeat"}'] if peer.channels and quiet_s >= 0.9 else []

    def notice(self, peer: Peer) -> list[str]:
        """The engine goes into maintenance."""
        self.system = "maintenance"
        return self.greet(peer)

    def too_many(self, peer: Peer) -> list[str]:
        """Messages that come too fast are refused."""
        return [compact({"error": "Exceeded msg rate", "success": False} | self._times(None))]

    def _subscribe(
        self, peer: Peer, channel: str, symbol: str, depth: int, times: dict[str, Any]
    ) -> list[str]:
        market = self.markets.get(symbol)
        key = f"book-{depth}" if channel == "book" else channel
        error = ""
        if market is None:
            error = f"Currency pair not supported {symbol}"
        elif any(whose == symbol and each.startswith(channel) for each, whose in peer.channels):
            error = "Already subscribed"
        if error or market is None:
            failure = {"error": error, "method": "subscribe", "success": False, "symbol": symbol}
            return [compact(failure | times)]
        peer.channels[key, symbol] = None
        result = {"channel": channel, "snapshot": channel == "book", "symbol": symbol}
        result |= {"depth": depth} if depth else {}
        texts = [compact({"method": "subscribe", "result": result, "success": True} | times)]
        if channel == "book":
            shown = (_best(market.told_bids, depth, bid=True), _best(market.told_asks, depth, bid=False))
            peer.shown[symbol] = shown
            sides = [_side(market, side) for side in shown]
            crc = checksum(market, market.told_bids, market.told_asks)
            peer.opened[symbol] = self._book("snapshot", market, sides, crc, market.told_ms)
            texts.append(peer.opened[symbol])
        return texts

    def _unsubscribe(
        self, peer: Peer, channel: str, symbol: str, depth: int, times: dict[str, Any]
    ) -> list[str]:
        key = (f"book-{depth}" if channel == "book" else channel, symbol)
        if key not in peer.channels:
            failure = {"error": "Subscription Not Found", "method": "unsubscribe", "success": False}
            return [compact(failure | {"symbol": symbol} | times)]
        del peer.channels[key]
        result = {"channel": channel, "symbol": symbol} | ({"depth": depth} if depth else {})
        return [compact({"method": "unsubscribe", "result": result, "success": True} | times)]

    def _book(self, kind: str, market: Market, sides: list[str], crc: int, at_ms: int) -> str:
        bids, asks = sides
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{market.symbol}","bids":[{bids}],'
            f'"asks":[{asks}],"checksum":{crc},"timestamp":"{stamp(at_ms)}"}}]}}'
        )

    def _times(self, number: object) -> dict[str, Any]:
        times = {"time_in": stamp(self.now_ms), "time_out": stamp(self.now_ms)}
        return times if number is None else times | {"req_id": number}


def checksum(market: Market, bids: dict[int, int], asks: dict[int, int]) -> int:
    """Give the CRC32 of the ten best levels: digits without a point and without noughts in front."""
    text = ""
    for side in (_best(asks, 10, bid=False), _best(bids, 10, bid=True)):
        for price, lots in side.items():
            for number in (f"{market.price(price):f}", f"{market.size(lots):f}"):
                text += number.replace(".", "").lstrip("0")
    return crc32(text.encode())


def _trades(kind: str, market: Market, trades: Sequence[Trade]) -> str:
    told = ",".join(
        f'{{"symbol":"{market.symbol}","side":"{"buy" if each.bought else "sell"}",'
        f'"price":{market.price(each.ticks):f},"qty":{market.size(each.lots):f},"ord_type":"market",'
        f'"trade_id":{each.number},"timestamp":"{stamp(market.told_ms)}"}}'
        for each in trades
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{told}]}}'


def _best(book: dict[int, int], depth: int, *, bid: bool) -> dict[int, int]:
    return {price: book[price] for price in sorted(book, reverse=bid)[:depth]}


def _side(market: Market, levels: dict[int, int]) -> str:
    return ",".join(
        f'{{"price":{market.price(price):f},"qty":{market.size(lots):f}}}' for price, lots in levels.items()
    )
