"""A plain client's books, and how it reads and asks in each dialect: a second reading of what venues say.

Checksums are made by formulas of their own.
"""

from __future__ import annotations

from binascii import crc32
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
        if formula and heard.checksum is not None and heard.checksum != formula(self):
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


def pairs(levels: list[Any]) -> Levels:
    """Give price and size of levels that may say more."""
    return [(level[0], level[1]) for level in levels]


def _ms(stamp: str) -> int:
    return round(datetime.fromisoformat(stamp).timestamp() * 1000)


def _binance(message: Any) -> list[Any]:
    data = message.get("data", message)
    if data["e"] == "aggTrade":
        return [(data["s"], data["p"], data["q"], not data["m"])]
    ids = (int(data["pu"]), int(data["U"]), int(data["u"]))
    return [Heard(data["s"], False, int(data["E"]), pairs(data["b"]), pairs(data["a"]), *ids)]


def _coinbase(message: Any) -> list[Any]:
    if message["channel"] == "market_trades":
        events = [event for event in message["events"] if event["type"] == "update"]
        trades = [trade for event in events for trade in event["trades"]]
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
        trades = reversed(message["data"] if message["action"] == "update" else [])
        return [(symbol, each["price"], each["size"], each["side"] == "buy") for each in trades]
    data = message["data"][0]
    sides = (pairs(data["bids"]), pairs(data["asks"]))
    kind, crc = message["action"] == "snapshot", int(data["checksum"]) or None
    ids = (int(data["pseq"]), 0, int(data["seq"])) if "pseq" in data else (0, 0, 0)
    return [Heard(symbol, kind, int(data["ts"]), *sides, *ids, crc)]


def _okx(message: Any) -> list[Any]:
    arg, data = message["arg"], message["data"][0]
    if arg["channel"] == "trades":
        return [(arg["instId"], data["px"], data["sz"], data["side"] == "buy")]
    sides = (pairs(data["bids"]), pairs(data["asks"]))
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


READINGS: dict[str, tuple[Any, Any, Any]] = {
    "binance-futures": (_binance, _streams, None),
    "binance-delivery": (_binance, _streams, None),
    "coinbase": (_coinbase, _products, None),
    "kraken": (_kraken, _pairs_of, _kraken_crc),
    "bitget": (_bitget, _typed, _bitget_crc),
    "okx": (_okx, _instruments, None),
    "deribit": (_deribit, _channels, None),
}
