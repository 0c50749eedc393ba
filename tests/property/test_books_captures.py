"""Real captures, damaged at random, against a slow and simple book in decimal arithmetic.

The simple book reads the undamaged capture, once for each venue, and remembers what each message left behind.
Whatever happens to a message: a book that says it is in sync has what the simple book had after the last
message it applied, as far as the venue lets a loss be noticed.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import cache
from math import isnan
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from dolphin_mp.workers.books.capture import Kind, Line, capture_files, read_capture
from dolphin_mp.workers.books.events import BadMessageError
from dolphin_mp.workers.books.market import Market
from dolphin_mp.workers.books.record import FEATURES
from dolphin_mp.workers.books.venues import VENUES

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
NAMES = ["binance-futures", "coinbase", "kraken", "bitget", "deribit"]
MOST = 350
"""Book messages of a venue that are looked at: enough for each kind of thing to happen."""

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="shared captures absent")

Change = tuple[str, str, Decimal, Decimal]  # symbol, side, price, size


def told(name: str, payload: bytes) -> tuple[str, bool, list[Any]] | None:  # noqa: C901 - five languages
    """Symbol, whether it is a snapshot, and (side, price, size) of each level; None: not of a book."""
    data = json.loads(payload, parse_float=Decimal)
    if name == "binance-futures":
        data = data["data"]
        if data["e"] != "depthUpdate":
            return None
        return data["s"], False, [(side, *level) for side in "ba" for level in data[side]]
    if name == "coinbase":
        if data["type"] == "snapshot":
            levels = [(side[0], *level) for side in ("bids", "asks") for level in data[side]]
            return data["product_id"], True, levels
        if data["type"] != "l2update":
            return None
        levels = [("b" if side == "buy" else "a", price, size) for side, price, size in data["changes"]]
        return data["product_id"], False, levels
    if name == "kraken":
        if not isinstance(data, list) or not data[-2].startswith("book"):
            return None
        sides = {key: levels for part in data[1:-2] for key, levels in part.items() if key != "c"}
        return data[-1], "as" in sides, [(key[0], *level[:2]) for key in sides for level in sides[key]]
    if name == "bitget":
        if data.get("arg", {}).get("channel") != "books" or "data" not in data:
            return None
        (book,) = data["data"]
        levels = [(side[0], *level) for side in ("bids", "asks") for level in book[side]]
        return f"{data['arg']['instType']}:{data['arg']['instId']}", data["action"] == "snapshot", levels
    data = data.get("params", {})
    if not data.get("channel", "").startswith("book."):
        return None
    data = data["data"]
    levels = [(side[0], price, size) for side in ("bids", "asks") for _, price, size in data[side]]
    return data["instrument_name"], data["type"] == "snapshot", levels


class Story(NamedTuple):
    """A venue's book messages, and what each left of its symbol's book: the levels that matter."""

    name: str
    snapshots: list[Line]
    messages: list[Line]
    symbols: list[str]
    left: list[tuple[str, list[tuple[float, float]], list[tuple[float, float]]]]


def matter(name: str, sides: dict[str, dict[Decimal, Decimal]]) -> Any:
    """What a venue's proof covers: all levels where ids are chained, else the best ten; Coinbase: all."""
    if name == "kraken":
        for side in "ba":
            worst = sorted(sides[side], reverse=side == "b")[1000:]
            for price in worst:
                del sides[side][price]
    count = 10 if name in ("kraken", "bitget") else 100_000
    best = [sorted(sides[side].items(), reverse=side == "b")[:count] for side in "ba"]
    return [[(float(price), float(size)) for price, size in side] for side in best]


@cache
def story(name: Any) -> Story:
    venue = VENUES[name]
    lines = list(read_capture(capture_files(DATA / venue.CAPTURE, venue.CAPTURE)))
    books: dict[str, dict[str, dict[Decimal, Decimal]]] = {}
    snapshots = [line for line in lines if line.kind is Kind.REPLY]
    floors: dict[str, int] = {}
    for line in snapshots:
        symbol = re.search("symbol=([A-Z]+)", line.url)[1]  # type: ignore[index]
        data = json.loads(line.payload)
        floors[symbol] = data["lastUpdateId"]
        books[symbol] = {
            side[0]: {Decimal(p): Decimal(q) for p, q in data[side]} for side in ("bids", "asks")
        }
    messages: list[Line] = []
    left: list[Any] = []
    for line in lines:
        found = told(name, line.payload) if line.kind is Kind.RECEIVED else None
        if found is None or len(messages) == MOST:
            continue
        symbol, whole, levels = found
        if whole:
            books[symbol] = {"b": {}, "a": {}}
        old = name == "binance-futures" and json.loads(line.payload)["data"]["u"] < floors[symbol]
        for side, price, size in () if old else levels:
            books[symbol][side].pop(Decimal(price), None)
            if Decimal(size):
                books[symbol][side][Decimal(price)] = Decimal(size)
        messages.append(line)
        left.append((symbol, *matter(name, books[symbol])))
    return Story(name, snapshots, messages, list(books), left)


class Follower:
    """Our books, fed with a story; checks each symbol after each of its messages."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.venue = VENUES[story.name]  # type: ignore[index]
        self.market = Market(story.symbols, self.venue.RULES)
        self.rows = self.market.rows(len(story.symbols))
        self.state: dict[str, int] = {}
        for line in story.snapshots:
            snapshot = self.venue.parse_reply(line.url, line.payload)
            assert snapshot is not None
            self.market.take(snapshot, line.recv_ns)

    def hear(self, number: int, payload: bytes, recv_ns: int) -> None:
        symbol = self.story.left[number][0]
        book = self.market.book(symbol)
        before = (book.n_applied, book.snapshots)
        try:
            for event in self.venue.parse(payload):
                self.market.take(event, recv_ns)
        except BadMessageError as error:
            self.market.note_bad(error)
        if (book.n_applied, book.snapshots) != before:
            self.state[symbol] = number
        self.check(symbol)

    def check(self, symbol: str) -> None:
        book = self.market.book(symbol)
        if symbol not in self.state or not book.synced:
            return
        _, bids, asks = self.story.left[self.state[symbol]]
        for side, want in zip(book.sides(), (bids, asks), strict=True):
            prices = side.near.prices(10)
            assert [(price, side.levels[price]) for price in prices] == want[:10]
        if self.story.name not in ("kraken", "bitget"):
            assert book.depth() == (len(bids), len(asks))

    def unsynced(self) -> set[str]:
        self.market.fill(self.rows, self.market.heard_ns)
        lost = {row["symbol"].decode() for row in self.rows if not row["synced"]}
        for row in self.rows:
            assert row["synced"] or all(isnan(row[name]) for name in FEATURES)
        return lost


def play(story: Story, messages: list[tuple[int, bytes]]) -> Follower:
    follower = Follower(story)
    for count, (number, payload) in enumerate(messages):
        follower.hear(number, payload, count * 1_000_000)
    return follower


def plain(story: Story) -> list[tuple[int, bytes]]:
    return [(number, line.payload) for number, line in enumerate(story.messages)]


NUMBER = re.compile(rb'(?<!"jsonrpc":)"[0-9]+\.?[0-9]*"|(?<=,)[0-9]+\.[0-9]+')
SPOIL = [b"NaN", b"-1", b"1e400", b"x", b"", b"Infinity"]


def damaged(story: Story, kind: str, random: Random) -> tuple[list[tuple[int, bytes]], int]:
    """The messages after one thing happened to one of them; its number."""
    out = plain(story)
    first = next(n for n in range(len(out) // 3, len(out)) if n > len(story.symbols) + 2)
    at = random.randrange(first, len(out) - len(out) // 4)
    symbol, payload = story.left[at][0], out[at][1]
    later = [n for n in range(at + 1, len(out)) if story.left[n][0] == symbol]
    if kind == "drop":
        del out[at]
    elif kind == "double":
        out.insert(at, out[at])
    elif kind == "swap" and later:
        out[at], out[later[0]] = out[later[0]], out[at]
    elif kind == "cut":
        out[at] = at, payload[: random.randrange(len(payload))]
    elif kind == "flip":
        place = random.randrange(len(payload))
        out[at] = at, payload[:place] + b"\x00" + payload[place + 1 :]
    elif kind == "spoil":
        number = random.choice(list(NUMBER.finditer(payload)))
        value = random.choice(SPOIL)
        value = b'"' + value + b'"' if number[0].startswith(b'"') else value or b"null"
        out[at] = at, payload[: number.start()] + value + payload[number.end() :]
    return out, at


@pytest.mark.parametrize("name", NAMES)
def test_an_undamaged_capture_is_followed(name: str) -> None:
    follower = play(story(name), plain(story(name)))
    assert follower.unsynced() == set()
    assert int(follower.rows["n_bad"].sum()) == 0


@pytest.mark.parametrize("kind", ["cut", "flip", "spoil"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_a_damaged_message_is_counted_and_no_book_is_wrong(name: str, kind: str, seed: int) -> None:
    messages, at = damaged(story(name), kind, Random(f"{name} {kind} {seed}"))
    follower = play(story(name), messages)
    symbol = story(name).left[at][0]
    lost = follower.unsynced()
    assert int(follower.rows["n_bad"].sum()) >= 1
    more = any(story(name).left[n][0] == symbol for n in range(at + 1, len(story(name).messages)))
    if name in ("binance-futures", "deribit"):
        assert lost == ({symbol} if more else set())
    else:
        assert symbol in lost


@pytest.mark.parametrize("kind", ["drop", "swap", "double"])
@pytest.mark.parametrize("name", ["binance-futures", "kraken", "bitget", "deribit"])
@pytest.mark.parametrize("seed", range(3))
def test_a_message_out_of_its_place_leaves_no_book_wrong(name: str, kind: str, seed: int) -> None:
    messages, at = damaged(story(name), kind, Random(f"{name} {kind} {seed}"))
    follower = play(story(name), messages)
    symbol = story(name).left[at][0]
    assert follower.unsynced() <= {symbol}
    if name in ("binance-futures", "deribit") and kind != "drop":
        assert follower.unsynced() == {symbol} or messages == plain(story(name))


@pytest.mark.parametrize("name", ["binance-futures", "coinbase", "kraken", "bitget"])
@pytest.mark.parametrize("seed", range(3))
def test_a_bid_over_the_ask_costs_its_book_at_that_message(name: str, seed: int) -> None:
    random = Random(f"{name} {seed}")
    told_all = story(name)
    number = random.choice(
        [
            n
            for n in range(len(told_all.messages) // 2, len(told_all.messages))
            if (told(name, told_all.messages[n].payload) or ("", True))[1] is False and told_all.left[n][2]
        ]
    )
    symbol, _, asks = told_all.left[number]
    payload = told_all.messages[number].payload
    price = f"{Decimal(repr(asks[0][0])) * Decimal('1.01'):f}".encode()
    level = b'"' + price + b'","1"'
    begins = {
        "binance-futures": (b'"b":[', b'"b":[[' + level + b"],"),
        "coinbase": (b'"changes":[', b'"changes":[["buy",' + level + b"],"),
        "bitget": (b'"bids":[', b'"bids":[[' + level + b"],"),
        "kraken": (b"[" + payload[1:].split(b",")[0] + b",", b""),
    }
    old, new = begins[name]
    if name == "kraken":
        extra = b'{"b":[[' + level + b',"1.0"]'
        changed = payload.replace(b'{"b":[', extra + b",", 1)
        payload = changed if changed != payload else payload.replace(old, old + extra + b"]},", 1)
    else:
        payload = payload.replace(old, new, 1).replace(b"],]", b"]]")
    messages = plain(told_all)
    messages[number] = number, payload
    follower = play(told_all, messages[: number + 1])
    assert follower.unsynced() == {symbol}
    row = next(row for row in follower.rows if row["symbol"].decode() == symbol)
    assert (row["n_bad"], row["n_crossed"] + row["n_crc_bad"]) == (1, 1)
    assert not row["bid"] > row["ask"]


def test_one_bad_checksum_is_never_waited_out() -> None:
    """A level that was lost leaves the ten best in time, and checksums are right again."""
    kraken = story("kraken")
    for seed in range(200):
        messages, at = damaged(kraken, "drop", Random(seed))
        follower = play(kraken, messages)
        symbol = kraken.left[at][0]
        if follower.unsynced() == {symbol}:
            assert follower.market.book(symbol).n_bad == 1
            return
    raise AssertionError("no loss was noticed")
