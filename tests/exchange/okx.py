"""OKX v5: books with ``seqId`` and ``prevSeqId``, trades, the text "ping", and a notice before the end.

The checksum is always nought since June 2026. The venue has announced that the first message will no longer
bring the whole book, which is then to be fetched by REST: `snapshot_by_socket` says which of both is spoken.
A client that neither sends nor gets anything for 30 seconds is left.

Source: https://www.okx.com/docs-v5/en (WebSocket: connect, subscribe, notification; Order book channel;
Trades channel; GET / Order book), https://www.okx.com/docs-v5/log_en (2026-02-12), and the announcement of
2026-05-21 about the checksum
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.meter import Limit, Limits
from exchange.words import Message, Peer, Reply, Words, compact, parse

if TYPE_CHECKING:
    from exchange.market import Market, Update


class Okx(Words):
    """OKX v5, public channels."""

    NAME = "okx"
    PATH = "/ws/v5/public"
    PATHS = ("/ws/v5/public",)
    REST = "/api/v5/market/books"
    LIMITS = Limits(
        subscribes=Limit(480, 3600.0),
        connects=Limit(3, 1.0),
        requests=Limit(40, 2.0),
        message_bytes=64 * 1024,
    )
    PING_WITHIN_S = 30.0
    TICK, LOT, PRICE = "0.1", "0.01", "8476.9"

    def __init__(self, markets: dict[str, Market]) -> None:
        super().__init__(markets)
        self.snapshot_by_socket = True

    def hear(self, peer: Peer, text: str) -> list[str]:
        """Subscriptions, each channel answered on its own, and pings."""
        if text == "ping":
            return ["pong"]
        message = parse(text) or {}
        op = message.get("op")
        if op not in {"subscribe", "unsubscribe"} or not isinstance(message.get("args"), list):
            return [self._error(peer, "60012", f"Invalid request: {text[:200]}", message)]
        return [each for arg in message["args"] for each in self._answer(peer, message, arg)]

    def update(self, peer: Peer, message: Message) -> list[str]:
        """The changed levels, with the id of the message before."""
        update, market = message.update, self.markets[message.update.symbol]
        if ("books", market.symbol) not in peer.channels:
            return []
        changes = [(each.ticks, each.lots) for each in update.bids]
        bids = [self._level(market, *each) for each in reversed(changes)]
        asks = [self._level(market, each.ticks, each.lots) for each in update.asks]
        return [self._book("update", market, bids, asks, update.previous_id)]

    def trades(self, peer: Peer, update: Update) -> list[str]:
        """One message for each trade."""
        if ("trades", update.symbol) not in peer.channels:
            return []
        market, texts = self.markets[update.symbol], []
        for each in update.trades:
            price, size = self.decimals(market, each.ticks, each.lots)
            trade = {"instId": update.symbol, "tradeId": str(each.number), "px": price, "sz": size}
            trade |= {"side": "buy" if each.bought else "sell", "ts": str(update.event_ms), "count": "1"}
            arg = {"channel": "trades", "instId": update.symbol}
            data = [trade | {"source": "0", "seqId": update.last_id}]
            texts.append(compact({"arg": arg, "data": data}))
        return texts

    def notice(self, peer: Peer) -> list[str]:
        """The connection ends for an upgrade."""
        text = "The connection will soon be closed for a service upgrade. Please reconnect."
        return [compact({"event": "notice", "code": "64008", "msg": text, "connId": _connection(peer)})]

    def too_many(self, peer: Peer) -> list[str]:
        """The request is refused."""
        return [self._error(peer, "60014", "Requests too frequent", {})]

    def rest(self, path: str, query: dict[str, str]) -> Reply:
        """The book, as of a moment between two messages."""
        if path != self.REST:
            return Reply(404, compact({"code": "50404", "msg": "Not found", "data": []}))
        market = self.markets.get(query.get("instId", ""))
        if market is None:
            problem = "Instrument ID, Instrument ID code, or Spread ID doesn't exist."
            return Reply(200, compact({"code": "51001", "msg": problem, "data": []}))
        if not market.quiet:
            market.stir()
        deep = int(query.get("sz", "1"))
        sides = ((market.bids, True), (market.asks, False))
        bids, asks = (
            [self._level(market, price, book[price]) for price in sorted(book, reverse=bid)[:deep]]
            for book, bid in sides
        )
        data = {"asks": asks, "bids": bids, "ts": str(self.now_ms), "seqId": market.last_id}
        body = compact({"code": "0", "msg": "", "data": [data]})
        return Reply(200, body, market.symbol, market.last_id)

    def snapshot_query(self, symbol: str) -> dict[str, str]:
        """As deep as the channel."""
        return {"instId": symbol, "sz": "400"}

    def _answer(self, peer: Peer, message: dict[str, Any], arg: dict[str, str]) -> list[str]:
        channel, symbol = arg.get("channel", ""), arg.get("instId", "")
        if channel not in {"books", "trades"} or symbol not in self.markets:
            where = f"Wrong URL or channel:{channel},instId:{symbol} doesn't exist."
            hint = "Please use the correct URL, channel and parameters referring to API document."
            return [self._error(peer, "60018", f"{where} {hint}", message)]
        number = {"id": message["id"]} if "id" in message else {}
        answer = number | {"event": message["op"], "arg": arg, "connId": _connection(peer)}
        texts = [compact(answer)]
        if message["op"] == "unsubscribe":
            peer.channels.pop((channel, symbol), None)
        elif (channel, symbol) not in peer.channels:
            peer.channels[channel, symbol] = None
            if channel == "books" and self.snapshot_by_socket:
                texts.append(self._snapshot(peer, self.markets[symbol]))
        return texts

    def _snapshot(self, peer: Peer, market: Market) -> str:
        sides = ((market.told_bids, True), (market.told_asks, False))
        bids, asks = (
            [self._level(market, price, book[price]) for price in sorted(book, reverse=bid)[:400]]
            for book, bid in sides
        )
        peer.opened[market.symbol] = self._book("snapshot", market, bids, asks, -1)
        return peer.opened[market.symbol]

    def _level(self, market: Market, ticks: int, lots: int) -> list[str]:
        """A level ends in a nought of old and the number of orders."""
        return [*self.decimals(market, ticks, lots), "0", str(min(lots, 13))]

    def _book(self, action: str, market: Market, bids: Any, asks: Any, previous_id: int) -> str:
        data = {"asks": asks, "bids": bids, "ts": str(market.told_ms), "checksum": 0}
        data |= {"prevSeqId": previous_id, "seqId": market.told_id}
        arg = {"channel": "books", "instId": market.symbol}
        return compact({"arg": arg, "action": action, "data": [data]})

    def _error(self, peer: Peer, code: str, problem: str, message: dict[str, Any]) -> str:
        number = {"id": message["id"]} if "id" in message else {}
        error = {"event": "error", "code": code, "msg": problem, "connId": _connection(peer)}
        return compact(number | error)


def _connection(peer: Peer) -> str:
    return f"{peer.number:08x}"
