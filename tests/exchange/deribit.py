"""Deribit: JSON-RPC, books with change ids, trades, heartbeats that must be answered.

Without credentials the ``raw`` interval is refused. A channel that does not exist is left out of the answer.

Source: https://docs.deribit.com/subscriptions/orderbook/bookinstrument_nameinterval,
.../api-reference/session-management/public-set_heartbeat, .../articles/notifications,
https://support.deribit.com/hc/en-us/articles/25944617523357-Rate-Limits (credits, as windows here) and
.../articles/connection-management-best-practices (32 connections)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from exchange.meter import Limit, Limits
from exchange.words import Message, Peer, Words, compact, parse

if TYPE_CHECKING:
    from decimal import Decimal

    from exchange.market import Change, Market, Update

_CHANNEL = re.compile(r"(book|trades)\.([A-Z0-9_-]+)\.(raw|100ms|agg2)")
_LEAST_BEAT_S = 10
_INVALID, _NO_METHOD, _RAW, _TOO_MANY = -32602, -32601, 13778, 10028


class Deribit(Words):
    """Deribit, public channels."""

    NAME = "deribit"
    PATH = "/ws/api/v2"
    PATHS = ("/ws/api/v2",)
    LIMITS = Limits(
        messages=Limit(100, 5.0), subscribes=Limit(10, 3.0), open_at_once=32, channels_at_once=500
    )
    TICK, LOT, PRICE = "0.5", "10", "5042.5"

    def hear(self, peer: Peer, text: str) -> list[str]:
        """Calls."""
        message = parse(text)
        if message is None or message.get("jsonrpc") != "2.0":
            return [self._fail(None, _INVALID, "Invalid params")]
        number, method, params = message.get("id"), message.get("method"), message.get("params") or {}
        if method == "public/test":
            peer.owes = False
            return [self._result(number, {"version": "1.2.26"})]
        if method == "public/set_heartbeat":
            if params.get("interval", 0) < _LEAST_BEAT_S:
                return [self._fail(number, _INVALID, "Invalid params")]
            peer.beat_s = float(params["interval"])
            return [self._result(number, "ok")]
        if method not in {"public/subscribe", "public/unsubscribe"}:
            return [self._fail(number, _NO_METHOD, "Method not found")]
        channels = params.get("channels", [])
        if any(each.endswith(".raw") for each in channels):
            return [self._fail(number, _RAW, "raw_subscriptions_not_available_for_unauthorized")]
        if method == "public/unsubscribe":
            return [self._result(number, [each for each in channels if self._part(peer, each)])]
        return self._subscribe(peer, number, channels)

    def wanted(self, message: dict[str, Any]) -> Any:
        """The channels."""
        params = message.get("params")
        return params.get("channels") if isinstance(params, dict) else None

    def has_book(self, peer: Peer, symbol: str) -> bool:
        """Channels are named with their symbol."""
        return any(each.startswith("book.") and whose == symbol for each, whose in peer.channels)

    def update(self, peer: Peer, message: Message) -> list[str]:
        """The changed levels: new ones, others, and those that are gone."""
        update, market = message.update, self.markets[message.update.symbol]
        sides = {
            side: [_level(market, each) for each in changes]
            for side, changes in (("bids", update.bids), ("asks", update.asks))
        }
        data = {"type": "change", "prev_change_id": update.previous_id}
        channels = [each for each, whose in peer.channels if whose == market.symbol and each[0] == "b"]
        return [self._book(each, market, data | sides) for each in channels]

    def trades(self, peer: Peer, update: Update) -> list[str]:
        """The trades of one moment."""
        market = self.markets[update.symbol]
        data = [
            {
                "trade_seq": each.number,
                "trade_id": str(each.number + 10**7),
                "timestamp": update.event_ms,
                "tick_direction": 0,
                "price": _number(market.price(each.ticks)),
                "mark_price": _number(market.price(each.ticks)),
                "index_price": _number(market.price(each.ticks)),
                "instrument_name": update.symbol,
                "direction": "buy" if each.bought else "sell",
                "amount": _number(market.size(each.lots)),
            }
            for each in update.trades
        ]
        channels = [each for each, whose in peer.channels if whose == update.symbol and each[0] == "t"]
        return [self._notify(channel, data) for channel in channels if data]

    def beat(self, peer: Peer, quiet_s: float) -> list[str]:
        """A heartbeat and a test; a test before it without an answer ends the connection."""
        if peer.owes:
            peer.farewell = "no answer to the test"
            return []
        peer.owes = True
        kinds = ("heartbeat", "test_request")
        return [
            compact({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": each}}) for each in kinds
        ]

    def too_many(self, peer: Peer) -> list[str]:
        """An error, and the end."""
        peer.farewell = "too many messages"
        return [self._fail(None, _TOO_MANY, "too_many_requests")]

    def _subscribe(self, peer: Peer, number: object, channels: list[str]) -> list[str]:
        parts = {each: _CHANNEL.fullmatch(each) for each in channels}
        known = {each: match for each, match in parts.items() if match and match[2] in self.markets}
        texts = [self._result(number, list(known))]
        for channel, match in known.items():
            key = (channel, match[2])
            if key in peer.channels:
                continue
            peer.channels[key] = None
            if match[1] == "book":
                texts.append(self._snapshot(peer, channel, self.markets[match[2]]))
        return texts

    def _part(self, peer: Peer, channel: str) -> bool:
        match = _CHANNEL.fullmatch(channel)
        return bool(match) and peer.channels.pop((channel, match[2] if match else ""), 0) is None

    def _snapshot(self, peer: Peer, channel: str, market: Market) -> str:
        books = (("bids", market.told_bids), ("asks", market.told_asks))
        sides: dict[str, Any] = {
            side: [
                ["new", _number(market.price(price)), _number(market.size(book[price]))]
                for price in sorted(book, reverse=side == "bids")
            ]
            for side, book in books
        }
        peer.opened[market.symbol] = self._book(channel, market, {"type": "snapshot"} | sides)
        return peer.opened[market.symbol]

    def _book(self, channel: str, market: Market, data: dict[str, Any]) -> str:
        head = {"timestamp": market.told_ms, "instrument_name": market.symbol, "change_id": market.told_id}
        return self._notify(channel, data | head)

    def _notify(self, channel: str, data: object) -> str:
        params = {"channel": channel, "data": data}
        return compact({"jsonrpc": "2.0", "method": "subscription", "params": params})

    def _result(self, number: object, result: object) -> str:
        now = self.now_ms * 1000
        times = {"usIn": now, "usOut": now + 41, "usDiff": 41, "testnet": False}
        return compact({"jsonrpc": "2.0", "id": number, "result": result} | times)

    def _fail(self, number: object, code: int, problem: str) -> str:
        head = {} if number is None else {"id": number}
        error = {"code": code, "message": problem}
        return compact({"jsonrpc": "2.0"} | head | {"error": error, "testnet": False})


def _level(market: Market, change: Change) -> list[Any]:
    action = "change" if change.before and change.lots else "new" if change.lots else "delete"
    return [action, _number(market.price(change.ticks)), _number(market.size(change.lots))]


def _number(value: Decimal) -> float:
    """Give a JSON number as this venue writes it: always with a point."""
    return float(value)
