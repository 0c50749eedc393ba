"""What each venue's module says: the words of its dialect, over markets and peers that have no sockets."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from exchange.meter import Limits

if TYPE_CHECKING:
    from exchange.market import Market, Update

DAY_MS = 86_400_000


class Peer:
    """One connection as its venue knows it.

    Attributes:
        number: from 1; path: with its query.
        channels: subscribed: (channel, symbol), in their order.
        counter: of messages, where the venue numbers them on each connection.
        beat_s: seconds between the venue's beats; nought: none were asked for.
        owes: an answer to the venue's test, where it tests.
        shown: what the peer's book of a symbol holds, where that is less than all.
        opened: the snapshots by symbol that it was just given.
        farewell: why the venue ends the connection; empty: it does not.
    """

    def __init__(self, number: int, path: str) -> None:
        self.number = number
        self.path = path
        self.channels: dict[tuple[str, str], None] = {}
        self.counter = 0
        self.beat_s = 0.0
        self.owes = False
        self.shown: dict[str, tuple[dict[int, int], dict[int, int]]] = {}
        self.opened: dict[str, str] = {}
        self.farewell = ""

    def symbols(self, channel: str) -> list[str]:
        """Give the symbols of a channel."""
        return [symbol for each, symbol in self.channels if each == channel]


class Reply(NamedTuple):
    """An answer by REST; `symbol` and `last_id`: whose snapshot it is, and as of what."""

    status: int
    body: str
    symbol: str = ""
    last_id: int = 0
    headers: tuple[tuple[str, str], ...] = ()


class Message(NamedTuple):
    """An update as it is to be said, with what a fault does to it.

    Attributes:
        bids, asks: the whole book after it, by ticks: checksums are made of it.
        wrong_checksum: by purpose.
    """

    update: Update
    bids: dict[int, int]
    asks: dict[int, int]
    wrong_checksum: bool = False


class Words:
    """A venue's dialect. Each answer is a list of messages; what a venue has no word for is an empty one.

    Attributes:
        PATH: of its websocket, as a client would use it; PATHS: how those that it knows begin.
        REST: of snapshots, empty where there are none.
        LIMITS: what it allows.
        BEAT_S: seconds between beats that nobody has to ask for; nought: none.
        PING_WITHIN_S, SUBSCRIBE_WITHIN_S: it leaves a client that is silent for longer; nought: it does not.
        PINGS_S: seconds between its websocket pings; nought: none.
    """

    NAME = ""
    PATH = "/"
    PATHS: tuple[str, ...] = ()
    REST = ""
    LIMITS = Limits()
    BEAT_S = 0.0
    PING_WITHIN_S = 0.0
    SUBSCRIBE_WITHIN_S = 0.0
    PINGS_S = 0.0
    TICK, LOT, PRICE = "0.10", "0.001", "25000"

    def __init__(self, markets: dict[str, Market]) -> None:
        self.markets = markets
        self.limits = self.LIMITS
        self.now_ms = 0

    def greet(self, peer: Peer) -> list[str]:
        """Give what is said to whoever connects."""
        return []

    def hear(self, peer: Peer, text: str) -> list[str]:
        """Give the answers to a message."""
        raise NotImplementedError

    def subscribes(self, text: str) -> int:
        """Give the number of channels that a message subscribes to or unsubscribes from."""
        message = parse(text) or {}
        wanted = self.wanted(message)
        return len(wanted) if isinstance(wanted, list) else 0

    def wanted(self, message: dict[str, Any]) -> Any:
        """Give the list in a message that names channels or symbols."""
        return message.get("params", message.get("args"))

    def has_book(self, peer: Peer, symbol: str) -> bool:
        """Say whether a peer is subscribed to a symbol's book."""
        return any(channel.startswith("book") and whose == symbol for channel, whose in peer.channels)

    def update(self, peer: Peer, message: Message) -> list[str]:
        """Give what a subscriber is told of a change."""
        raise NotImplementedError

    def trades(self, peer: Peer, update: Update) -> list[str]:
        """Give what a subscriber is told of trades."""
        raise NotImplementedError

    def beat(self, peer: Peer, quiet_s: float) -> list[str]:
        """Give what is said at a beat; `quiet_s`: since something was said to the peer."""
        return []

    def notice(self, peer: Peer) -> list[str]:
        """Give the announcement that the connection is about to end."""
        return []

    def too_many(self, peer: Peer) -> list[str]:
        """Give the answer to messages that come too fast; a `farewell` ends the connection after it."""
        peer.farewell = "too many messages"
        return []

    def rest(self, path: str, query: dict[str, str]) -> Reply:
        """Give the answer to a REST request."""
        return Reply(404, "{}")

    def snapshot_query(self, symbol: str) -> dict[str, str]:
        """Give the query that asks for a symbol's snapshot."""
        return {}

    def weight(self, query: dict[str, str]) -> int:
        """Give what a request counts against the limit."""
        return 1

    def decimals(self, market: Market, ticks: int, lots: int) -> list[str]:
        """Give a level's price and size with all places; a size of none is nought without places."""
        return [f"{market.price(ticks):f}", f"{market.size(lots):f}" if lots else "0"]

    def levels(self, market: Market, book: dict[int, int], *, bid: bool) -> list[list[str]]:
        """Give a side, best level first."""
        return [self.decimals(market, price, book[price]) for price in sorted(book, reverse=bid)]


def parse(text: str) -> dict[str, Any] | None:
    """Give a message's object; None if it is none."""
    try:
        message = json.loads(text)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def compact(message: object) -> str:
    """Give JSON without spaces, as venues send it."""
    return json.dumps(message, separators=(",", ":"))


def stamp(at_ms: int, places: int = 6) -> str:
    """Give a time in RFC 3339."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}{'0' * (places - 3)}Z"
