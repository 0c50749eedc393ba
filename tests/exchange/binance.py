"""Binance USD-M and COIN-M futures: diff depth by socket, snapshots by REST, aggregated trades.

Since April 2026 USD-M streams are routed: depth is pushed under ``/public`` (and without a route),
aggregated trades only under ``/market``. A stream that does not exist is subscribed to without complaint.
The stream ``trade`` is none that the futures' pages list; users find it under ``/public``.

Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams
(Live-Subscribing-Unsubscribing-to-streams, Important-WebSocket-Change-Notice, Diff-Book-Depth-Streams,
How-to-manage-a-local-order-book-correctly), .../market-data/rest-api/Order-Book, and the same pages of
coin-margined-futures. Connections in five minutes: as on the spot pages; the futures' pages give none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from exchange.meter import Limit, Limits
from exchange.words import Message, Peer, Reply, Words, compact, parse

if TYPE_CHECKING:
    from exchange.market import Market, Update

_DEPTH = re.compile(r"depth(@(100|250|500)ms)?")
_PATH = re.compile(r"(?:/(public|market|private))?/(ws|stream)(?:/(.+))?")
_WEIGHTS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}


class BinanceFutures(Words):
    """USD-M futures."""

    NAME = "binance-futures"
    PATH = "/public/stream"
    PATHS: tuple[str, ...] = ("/public/", "/market/", "/private/", "/ws", "/stream")
    REST = "/fapi/v1/depth"
    LIMITS = Limits(
        messages=Limit(10, 1.0), connects=Limit(300, 300.0), requests=Limit(2400, 60.0), channels=200
    )
    PINGS_S = 180.0
    ROUTED = True

    def greet(self, peer: Peer) -> list[str]:
        """Nothing is said; streams named by the URL are subscribed to."""
        url = urlsplit(peer.path)
        parts = _PATH.fullmatch(url.path)
        named = (parts[3] or "") if parts else ""
        streams = named or parse_qs(url.query).get("streams", [""])[0]
        for stream in filter(None, streams.split("/")):
            self._join(peer, stream)
        return []

    def hear(self, peer: Peer, text: str) -> list[str]:
        """Subscriptions, and questions about them."""
        message = parse(text)
        if message is None:
            return [compact({"error": {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}})]
        number, method, streams = message.get("id"), message.get("method"), message.get("params", [])
        if not (isinstance(number, int) and number >= 0):
            problem = "Invalid request: request ID must be an unsigned integer"
            return [compact({"error": {"code": 2, "msg": problem}})]
        if method == "LIST_SUBSCRIPTIONS":
            return [compact({"result": ["@".join(reversed(each)) for each in peer.channels], "id": number})]
        known = {"SUBSCRIBE": self._join, "UNSUBSCRIBE": self._part}
        if method not in known or not isinstance(streams, list) or not streams:
            problem = f"Invalid request: unknown variant `{method}`"
            return [compact({"error": {"code": 2, "msg": problem}, "id": number})]
        for stream in streams:
            known[method](peer, stream)
        return [compact({"result": None, "id": number})]

    def has_book(self, peer: Peer, symbol: str) -> bool:
        """Streams are named in small letters."""
        return any(bool(_DEPTH.fullmatch(kind)) and whose == symbol.lower() for kind, whose in peer.channels)

    def update(self, peer: Peer, message: Message) -> list[str]:
        """One depth event for each depth stream of the symbol."""
        update, market = message.update, self.markets[message.update.symbol]
        data: dict[str, Any] = {"e": "depthUpdate", "E": update.event_ms, "T": update.event_ms - 2}
        data |= self._names(market) | {"U": update.first_id, "u": update.last_id, "pu": update.previous_id}
        below, above = update.absent
        changes = [(each.ticks, each.lots) for each in reversed(update.bids)]
        data["b"] = [self.decimals(market, *each) for each in changes]
        changes = [(each.ticks, each.lots) for each in update.asks]
        data["a"] = [self.decimals(market, *each) for each in changes]
        if update.number % 3 == 0:  # a level that was never there, as happens at this venue
            data["b"].append(self.decimals(market, below, 0))
            data["a"].append(self.decimals(market, above, 0))
        kinds = [
            kind
            for kind, symbol in peer.channels
            if symbol == update.symbol.lower() and _DEPTH.fullmatch(kind) and self._pushes(peer, "public")
        ]
        return [self._wrap(peer, kind, data) for kind in kinds]

    def trades(self, peer: Peer, update: Update) -> list[str]:
        """Each trade, on the stream that is asked for and that the route carries."""
        market, texts = self.markets[update.symbol], []
        for trade in update.trades:
            price, size = self.decimals(market, trade.ticks, trade.lots)
            head: dict[str, Any] = {"E": update.event_ms, "T": update.event_ms - 2, "s": update.symbol}
            fill = {"p": price, "q": size, "m": not trade.bought}
            ids: dict[str, Any] = {"a": trade.number, "f": trade.number * 2, "l": trade.number * 2 + 1}
            single: dict[str, Any] = {"t": trade.number, "X": "MARKET"}
            for kind, route, more in (("aggTrade", "market", ids), ("trade", "public", single)):
                if (kind, update.symbol.lower()) in peer.channels and self._pushes(peer, route):
                    texts.append(self._wrap(peer, kind, {"e": kind} | head | fill | more))
        return texts

    def notice(self, peer: Peer) -> list[str]:
        """The server is about to go; described for the spot streams alone."""
        return [compact({"e": "serverShutdown", "E": self.now_ms})]

    def rest(self, path: str, query: dict[str, str]) -> Reply:
        """The depth snapshot, of a moment between two depth events, or just of one if the market is quiet."""
        if path != self.REST:
            return Reply(404, "<html><body>Not found</body></html>")
        if "symbol" not in query:
            problem = "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
            return Reply(400, compact({"code": -1102, "msg": problem}))
        market = self.markets.get(query["symbol"])
        if market is None:
            return Reply(400, compact({"code": -1121, "msg": "Invalid symbol."}))
        limit = int(query.get("limit", "500"))
        if limit not in _WEIGHTS:
            return Reply(400, compact({"code": -4021, "msg": f"Not a valid depth limit: {limit}."}))
        if not market.quiet:
            market.stir()
        data: dict[str, Any] = {"lastUpdateId": market.last_id, "E": self.now_ms, "T": self.now_ms}
        data |= self._whose(market)
        data["bids"] = self.levels(market, market.bids, bid=True)[:limit]
        data["asks"] = self.levels(market, market.asks, bid=False)[:limit]
        return Reply(200, compact(data), market.symbol, market.last_id)

    def snapshot_query(self, symbol: str) -> dict[str, str]:
        """The deepest."""
        return {"symbol": symbol, "limit": "1000"}

    def weight(self, query: dict[str, str]) -> int:
        """Twenty for the deepest."""
        return _WEIGHTS.get(int(query.get("limit", "500")), 1)

    def decimals(self, market: Market, ticks: int, lots: int) -> list[str]:
        """A size of none has its places too."""
        return [f"{market.price(ticks):f}", f"{market.size(lots):f}"]

    def _names(self, market: Market) -> dict[str, Any]:
        return {"s": market.symbol}

    def _whose(self, market: Market) -> dict[str, Any]:
        """A USD-M reply does not say whose it is."""
        return {}

    def _pushes(self, peer: Peer, route: str) -> bool:
        parts = _PATH.fullmatch(urlsplit(peer.path).path)
        return not self.ROUTED or bool(parts and (parts[1] or "public") == route)

    def _wrap(self, peer: Peer, kind: str, data: dict[str, Any]) -> str:
        if "/stream" in urlsplit(peer.path).path:
            return compact({"stream": f"{data['s'].lower()}@{kind}", "data": data})
        return compact(data)

    @staticmethod
    def _join(peer: Peer, stream: str) -> None:
        symbol, _, kind = stream.partition("@")
        peer.channels[kind, symbol] = None

    @staticmethod
    def _part(peer: Peer, stream: str) -> None:
        symbol, _, kind = stream.partition("@")
        peer.channels.pop((kind, symbol), None)


class BinanceDelivery(BinanceFutures):
    """COIN-M futures: sizes are contracts, messages name the pair as well, and there are no routes."""

    NAME = "binance-delivery"
    PATH = "/stream"
    PATHS = ("/ws", "/stream")
    REST = "/dapi/v1/depth"
    ROUTED = False
    LOT = "1"

    def _names(self, market: Market) -> dict[str, Any]:
        return {"s": market.symbol, "ps": market.symbol.partition("_")[0]}

    def _whose(self, market: Market) -> dict[str, Any]:
        return {"symbol": market.symbol, "pair": market.symbol.partition("_")[0]}
