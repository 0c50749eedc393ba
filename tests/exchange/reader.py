"""A plain client, one function a dialect: a second reading of what the venues here say.

It keeps a dict a side, checks ids and checksums by formulas of its own, reconnects to nothing and retries
nothing. Tests of the venues read with it, and tests of feeds may look with it at what was sent.
"""

from __future__ import annotations

import json
import time
import urllib.request
from binascii import crc32
from contextlib import ExitStack
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exchange.venue import Venue

WITHIN_S = 10.0
Levels = list[tuple[str, str]]


class Heard(NamedTuple):
    """What a message says of a book.

    Attributes: previous_id, first_id, last_id (nought where the dialect has none), checksum (None: none).
    """

    symbol: str
    snapshot: bool
    at: int
    bids: Levels
    asks: Levels
    previous_id: int = 0
    first_id: int = 0
    last_id: int = 0
    checksum: int | None = None


class Book:
    """One symbol's book.

    Attributes: problems (in words), path (of tops: time in ms and top), times (of all messages that came).
    """

    def __init__(self) -> None:
        self.bids: dict[Decimal, tuple[str, str]] = {}
        self.asks: dict[Decimal, tuple[str, str]] = {}
        self.last_id = -1
        self.problems: list[str] = []
        self.path: list[tuple[int, tuple[Decimal, ...]]] = []
        self.times: list[int] = []

    def apply(self, heard: Heard, depth: int, formula: Callable[[Book], int] | None) -> None:
        """Take up a message, and look whether it continues and proves the book."""
        if heard.snapshot:
            self.bids, self.asks = {}, {}
        elif heard.last_id and self.last_id not in range(heard.previous_id, heard.last_id + 1):
            self.problems.append(f"{heard.previous_id} does not continue {self.last_id}")
        self.last_id = heard.last_id
        self._write(self.bids, heard.bids)
        self._write(self.asks, heard.asks)
        for low in sorted(self.bids, reverse=True)[depth:]:
            del self.bids[low]
        for high in sorted(self.asks)[depth:]:
            del self.asks[high]
        if formula and heard.checksum != formula(self):
            self.problems.append("the checksum is another one")
        if max(self.bids) >= min(self.asks):
            self.problems.append("the book is crossed")
        self.path.append((heard.at, self.top()))

    def _write(self, side: dict[Decimal, tuple[str, str]], levels: Levels) -> None:
        for text, size_text in levels:
            price, size = Decimal(text), Decimal(size_text)
            if not (price.is_finite() and size.is_finite() and price > 0 and size >= 0):
                self.problems.append(f"no level has price {text} and size {size_text}")
                continue
            side.pop(price, None)
            if size:
                side[price] = (text, size_text)

    def top(self) -> tuple[Decimal, ...]:
        """Give best bid, its size, best ask, its size."""
        bid, ask = max(self.bids), min(self.asks)
        return bid, Decimal(self.bids[bid][1]), ask, Decimal(self.asks[ask][1])


class Reader:
    """A client of one venue.

    Attributes: books (by symbol), trades (by symbol: price, size, taken by a buyer), others (messages about
    no book and no trade), unreadable (texts), counters (of messages, where they are numbered).
    """

    def __init__(self, venue: Venue, symbols: Sequence[str], *, depth: int = 10_000) -> None:
        self.venue, self.symbols, self.depth = venue, symbols, depth
        self.hear, self.ask, self.formula = _DIALECTS[venue.words.NAME]
        self.books = {symbol: Book() for symbol in symbols}
        self.trades: dict[str, list[tuple[Decimal, Decimal, bool]]] = {symbol: [] for symbol in symbols}
        self.others: list[Any] = []
        self.unreadable: list[str] = []
        self.counters: list[int] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        client = connect(
            self.venue.url, compression=None, max_size=None, ping_interval=None, close_timeout=0.2
        )
        self.socket = self._open.enter_context(client)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def subscribe(self) -> None:
        """Ask for books and trades, and wait until the venue has heard it."""
        self.say(*self.ask(self.symbols, self.depth))
        self.venue.wait_for_book(*self.symbols)

    def say(self, *messages: object) -> None:
        """Send messages, and wait until the venue has heard them."""
        heard = len(self.venue.heard) + len(messages)
        for message in messages:
            self.socket.send(json.dumps(message))
        self.venue.wait_until(lambda: len(self.venue.heard) >= heard, what="what was said is heard")

    def fetch(self, symbol: str) -> tuple[int, bytes]:
        """Ask for a snapshot by REST, and give status and body."""
        key = "symbol" if "binance" in self.venue.words.NAME else "instId"
        url = f"{self.venue.rest_url}{self.venue.words.REST}?{key}={symbol}&limit=1000&sz=400"
        with urllib.request.urlopen(url, timeout=WITHIN_S) as reply:
            return reply.status, reply.read()

    def take_up(self, symbol: str) -> None:
        """Begin a book with a snapshot by REST."""
        data = json.loads(self.fetch(symbol)[1])
        data = data["data"][0] if "data" in data else data
        book = self.books[symbol]
        sides = (_pairs(data["bids"]), _pairs(data["asks"]))
        book.apply(Heard(symbol, True, 0, *sides), self.depth, None)
        book.last_id = data.get("lastUpdateId", data.get("seqId"))

    def read(self) -> bool:
        """Read all that the venue has said until now, and say whether the connection is still there.

        Raises:
            AssertionError: the venue does not even answer a ping.
        """
        self.venue.settle()
        deadline = time.monotonic() + WITHIN_S
        try:
            pong = self.socket.ping()  # its answer comes after all that was said before
            while time.monotonic() < deadline:
                answered = pong.is_set()
                try:
                    self._take(str(self.socket.recv(timeout=0 if answered else 0.01)))
                except TimeoutError:
                    if answered:
                        return True
        except ConnectionClosed:
            return False
        raise AssertionError("no answer to a ping")

    def read_for(self, seconds: float) -> bool:
        """Read what comes in that time, if anything does, and say whether the connection is still there."""
        deadline = time.monotonic() + seconds
        try:
            while (left := deadline - time.monotonic()) > 0:
                self._take(str(self.socket.recv(timeout=left)))
        except TimeoutError:
            pass
        except ConnectionClosed:
            return False
        return True

    def _take(self, text: str) -> None:
        try:
            message = json.loads(text, parse_float=str, parse_int=str, parse_constant=_no_number)
        except ValueError:
            self.unreadable.append(text)
            return
        if isinstance(message, dict) and "sequence_num" in message:
            self.counters.append(int(message["sequence_num"]))
        try:
            found = self.hear(message)
        except (KeyError, TypeError, IndexError):
            found = []
        for each in found:
            if isinstance(each, Heard):
                self._take_up(each)
            else:
                self.trades[each[0]].append((Decimal(each[1]), Decimal(each[2]), each[3]))
        if not found:
            self.others.append(message)

    def _take_up(self, heard: Heard) -> None:
        """Apply what is not older than the book, once there is one."""
        book = self.books[heard.symbol]
        book.times.append(heard.at)
        fresh = heard.last_id > book.last_id or not heard.last_id
        if heard.snapshot or (book.path and fresh):
            book.apply(heard, self.depth, self.formula)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _pairs(levels: list[Any]) -> Levels:
    return [(level[0], level[1]) for level in levels]


def _ms(stamp: str) -> int:
    return round(datetime.fromisoformat(stamp).timestamp() * 1000)


def _binance(message: Any) -> list[Any]:
    data = message.get("data", message)
    if data["e"] == "aggTrade":
        return [(data["s"], data["p"], data["q"], not data["m"])]
    ids = (int(data["pu"]), int(data["U"]), int(data["u"]))
    return [Heard(data["s"], False, int(data["E"]), _pairs(data["b"]), _pairs(data["a"]), *ids)]


def _coinbase(message: Any) -> list[Any]:
    if message["channel"] == "market_trades":
        trades = [trade for event in message["events"] for trade in event["trades"]]
        return [(each["product_id"], each["price"], each["size"], each["side"] == "SELL") for each in trades]
    if message["channel"] != "l2_data":
        return []
    event = message["events"][0]
    sides: dict[str, Levels] = {"bid": [], "offer": []}
    for level in event["updates"]:
        sides[level["side"]].append((level["price_level"], level["new_quantity"]))
    kind = event["type"] == "snapshot"
    return [Heard(event["product_id"], kind, _ms(message["timestamp"]), sides["bid"], sides["offer"])]


def _kraken(message: Any) -> list[Any]:
    if message["channel"] == "trade":
        return [
            (each["symbol"], each["price"], each["qty"], each["side"] == "buy") for each in message["data"]
        ]
    if message["channel"] != "book":
        return []
    data = message["data"][0]
    bids, asks = ([(level["price"], level["qty"]) for level in data[side]] for side in ("bids", "asks"))
    kind = message["type"] == "snapshot"
    return [Heard(data["symbol"], kind, _ms(data["timestamp"]), bids, asks, checksum=int(data["checksum"]))]


def _bitget(message: Any) -> list[Any]:
    arg = message["arg"]
    symbol = f"{arg['instType']}:{arg['instId']}"
    if arg["channel"] == "trade":
        trades = reversed(message["data"])
        return [(symbol, each["price"], each["size"], each["side"] == "buy") for each in trades]
    data = message["data"][0]
    sides = (_pairs(data["bids"]), _pairs(data["asks"]))
    kind = message["action"] == "snapshot"
    return [Heard(symbol, kind, int(data["ts"]), *sides, checksum=int(data["checksum"]))]


def _okx(message: Any) -> list[Any]:
    arg, data = message["arg"], message["data"][0]
    if arg["channel"] == "trades":
        return [(arg["instId"], data["px"], data["sz"], data["side"] == "buy")]
    sides = (_pairs(data["bids"]), _pairs(data["asks"]))
    ids = (int(data["prevSeqId"]), 0, int(data["seqId"]))
    return [Heard(arg["instId"], message["action"] == "snapshot", int(data["ts"]), *sides, *ids)]


def _deribit(message: Any) -> list[Any]:
    data = message["params"]["data"]
    if message["params"]["channel"].startswith("trades."):
        return [(t["instrument_name"], t["price"], t["amount"], t["direction"] == "buy") for t in data]
    bids, asks = ([(price, amount) for _, price, amount in data[side]] for side in ("bids", "asks"))
    ids = (int(data.get("prev_change_id", "-1")), 0, int(data["change_id"]))
    at = int(data["timestamp"])
    return [Heard(data["instrument_name"], data["type"] == "snapshot", at, bids, asks, *ids)]


def _kraken_crc(book: Book) -> int:
    """Digits of a decimal are its text without point and leading noughts."""
    best = [book.asks[price] for price in sorted(book.asks)[:10]]
    best += [book.bids[price] for price in sorted(book.bids, reverse=True)[:10]]
    digits = [
        str(int("".join(map(str, Decimal(number).as_tuple().digits)))) for pair in best for number in pair
    ]
    return crc32("".join(digits).encode("ascii"))


def _bitget_crc(book: Book) -> int:
    bids = [book.bids[price] for price in sorted(book.bids, reverse=True)]
    asks = [book.asks[price] for price in sorted(book.asks)]
    pairs = [side[at] for at in range(25) for side in (bids, asks) if at < len(side)]
    unsigned = crc32(":".join(f"{price}:{size}" for price, size in pairs).encode("ascii"))
    return int.from_bytes(unsigned.to_bytes(4, "big"), "big", signed=True)


def _streams(symbols: Sequence[str], _: int) -> list[Any]:
    streams = [f"{each.lower()}@{kind}" for each in symbols for kind in ("depth@100ms", "aggTrade")]
    return [{"method": "SUBSCRIBE", "params": streams, "id": 1}]


def _products(symbols: Sequence[str], _: int) -> list[Any]:
    asks: list[dict[str, Any]] = [{"channel": "level2"}, {"channel": "market_trades"}]
    asks = [each | {"product_ids": list(symbols)} for each in asks]
    return [{"type": "subscribe"} | each for each in (*asks, {"channel": "heartbeats"})]


def _pairs_of(symbols: Sequence[str], depth: int) -> list[Any]:
    book = {"channel": "book", "symbol": list(symbols), "depth": min(depth, 1000)}
    trade = {"channel": "trade", "symbol": list(symbols), "snapshot": False}
    return [{"method": "subscribe", "params": each, "req_id": 5} for each in (book, trade)]


def _typed(symbols: Sequence[str], _: int) -> list[Any]:
    parts = [each.split(":") for each in symbols]
    args = [
        {"instType": kind, "channel": channel, "instId": name}
        for kind, name in parts
        for channel in ("books", "trade")
    ]
    return [{"op": "subscribe", "args": args}]


def _instruments(symbols: Sequence[str], _: int) -> list[Any]:
    args = [{"channel": each, "instId": name} for name in symbols for each in ("books", "trades")]
    return [{"id": "7", "op": "subscribe", "args": args}]


def _channels(symbols: Sequence[str], _: int) -> list[Any]:
    channels = [f"{each}.{name}.100ms" for name in symbols for each in ("book", "trades")]
    call = {"jsonrpc": "2.0", "id": 3, "method": "public/subscribe", "params": {"channels": channels}}
    return [call]


_DIALECTS: dict[str, tuple[Any, Any, Any]] = {
    "binance-futures": (_binance, _streams, None),
    "binance-delivery": (_binance, _streams, None),
    "coinbase": (_coinbase, _products, None),
    "kraken": (_kraken, _pairs_of, _kraken_crc),
    "bitget": (_bitget, _typed, _bitget_crc),
    "okx": (_okx, _instruments, None),
    "deribit": (_deribit, _channels, None),
}
