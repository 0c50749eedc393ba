"""Seven venues, as they spoke and as they speak, and everything that can happen to it on its way.

Each venue has a book of its own in texts, which is the truth, and says it in its own language; checksums are
computed here once more, from the venues' descriptions. Whatever is dropped, repeated, swapped, cut or spoilt:
a book that says it is in sync has the venue's levels.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from math import isnan
from random import Random
from typing import TYPE_CHECKING, Any
from zlib import crc32

import orjson
import pytest

from dolphin_mp.workers.books.events import BadMessageError, Trade
from dolphin_mp.workers.books.market import Market
from dolphin_mp.workers.books.record import FEATURES, Status
from dolphin_mp.workers.books.replay import Replay
from dolphin_mp.workers.books.venues import VENUES
from dolphin_mp.workers.feeds.dialects import DIALECTS

if TYPE_CHECKING:
    from pathlib import Path

Level = tuple[str, str]
URL = "https://fapi.binance.com/fapi/v1/depth?symbol={}&limit=1000"
START_MS = 1_600_000_000_000


class Speaker:
    """One symbol of a venue, with the book as the venue has it: price text to size text."""

    name: str
    symbol: str
    limit = 0

    def __init__(self) -> None:
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}
        self.id = 100
        self.before = 0

    def snapshot(self, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> bytes:
        self.bids, self.asks = dict(bids), dict(asks)
        self.tick()
        return orjson.dumps(self.whole())

    def change(self, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> bytes:
        for side, changes in ((self.bids, bids), (self.asks, asks)):
            for price, size in changes:
                side.pop(price, None)
                if float(size):
                    side[price] = size
        if self.limit:
            self.bids, self.asks = (
                dict(self.best("bids")[: self.limit]),
                dict(self.best("asks")[: self.limit]),
            )
        self.tick()
        return orjson.dumps(self.part(bids, asks))

    def tick(self) -> None:
        self.before, self.id = self.id, self.id + 3

    def best(self, side: str) -> list[tuple[str, str]]:
        return sorted(
            getattr(self, side).items(), key=lambda level: Decimal(level[0]), reverse=side == "bids"
        )

    def whole(self) -> Any:
        raise NotImplementedError

    def part(self, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> Any:
        raise NotImplementedError

    @property
    def ms(self) -> int:
        return START_MS + self.id


class Binance(Speaker):
    name, symbol = "binance-futures", "AAUSDT"

    def whole(self) -> Any:
        return {"lastUpdateId": self.id, "E": self.ms, "bids": self.best("bids"), "asks": self.best("asks")}

    def part(self, bids: Any, asks: Any) -> Any:
        data = {"e": "depthUpdate", "E": self.ms, "T": self.ms, "s": self.symbol}
        data |= {"U": self.before, "u": self.id, "pu": self.before, "b": bids, "a": asks}
        return {"stream": f"{self.symbol.lower()}@depth@100ms", "data": data}


class BinanceDelivery(Binance):
    name, symbol = "binance-delivery", "BTCUSD_PERP"

    def part(self, bids: Any, asks: Any) -> Any:
        message = super().part(bids, asks)
        message["data"]["ps"] = "BTCUSD"
        return message


class Coinbase(Speaker):
    name, symbol = "coinbase", "AA-USD"

    def whole(self) -> Any:
        sides = {"asks": self.best("asks"), "bids": self.best("bids")}
        return {"type": "snapshot", "product_id": self.symbol, **sides}

    def part(self, bids: Any, asks: Any) -> Any:
        changes = [["buy", *level] for level in bids] + [["sell", *level] for level in asks]
        time = datetime.fromtimestamp(self.ms / 1000, UTC).isoformat(timespec="microseconds")
        message = {"type": "l2update", "product_id": self.symbol, "changes": changes}
        return message | {"time": time.replace("+00:00", "Z")}


class CoinbaseAdvanced(Coinbase):
    """Its connection counts all messages."""

    symbol = "AA-USDT"

    def message(self, kind: str, bids: Any, asks: Any) -> Any:
        time = datetime.fromtimestamp(self.ms / 1000, UTC).isoformat(timespec="microseconds")
        stamp = time.replace("+00:00", "789Z")
        updates = [
            {"side": side, "event_time": stamp, "price_level": price, "new_quantity": size}
            for side, levels in (("bid", bids), ("offer", asks))
            for price, size in levels
        ]
        head: Any = {"channel": "l2_data", "client_id": "", "timestamp": stamp}
        head |= {"sequence_num": (self.id - 103) // 3}
        return head | {"events": [{"type": kind, "product_id": self.symbol, "updates": updates}]}

    def whole(self) -> Any:
        return self.message("snapshot", self.best("bids"), self.best("asks"))

    def part(self, bids: Any, asks: Any) -> Any:
        return self.message("update", bids, asks)


class Kraken(Speaker):
    name, symbol, limit = "kraken", "AA/USD", 10

    def opened(self) -> bytes:
        head = {"channelID": 1664, "channelName": f"book-{self.limit}", "event": "subscriptionStatus"}
        return orjson.dumps(head | {"pair": self.symbol, "status": "subscribed"})

    def levels(self, levels: Any) -> Any:
        return [[price, size, f"{self.ms / 1000:.6f}"] for price, size in levels]

    def whole(self) -> Any:
        sides = {"as": self.levels(self.best("asks")), "bs": self.levels(self.best("bids"))}
        return [1664, sides, f"book-{self.limit}", self.symbol]

    def part(self, bids: Any, asks: Any) -> Any:
        parts: list[Any] = []
        if asks:
            parts.append({"a": self.levels(asks)})
        if bids or not asks:
            parts.append({"b": self.levels(bids)})
        parts[-1]["c"] = str(self.checksum())
        return [1664, *parts, f"book-{self.limit}", self.symbol]

    def checksum(self) -> int:
        text = ""
        for price, size in self.best("asks")[:10] + self.best("bids")[:10]:
            text += price.replace(".", "").lstrip("0") + size.replace(".", "").lstrip("0")
        return crc32(text.encode())


class KrakenSecond(Kraken):
    """Its numbers are JSON numbers, of which each digit counts."""

    def opened(self) -> bytes:
        result = {"channel": "book", "depth": self.limit, "snapshot": True, "symbol": self.symbol}
        return orjson.dumps({"method": "subscribe", "result": result, "success": True})

    def levels(self, levels: Any) -> Any:
        return [{"price": orjson.Fragment(price), "qty": orjson.Fragment(size)} for price, size in levels]

    def message(self, kind: str, bids: Any, asks: Any) -> Any:
        time = datetime.fromtimestamp(self.ms / 1000, UTC).isoformat(timespec="microseconds")
        data = {"symbol": self.symbol, "bids": self.levels(bids), "asks": self.levels(asks)}
        data |= {"checksum": self.checksum(), "timestamp": time.replace("+00:00", "Z")}
        return {"channel": "book", "type": kind, "data": [data]}

    def whole(self) -> Any:
        return self.message("snapshot", self.best("bids"), self.best("asks"))

    def part(self, bids: Any, asks: Any) -> Any:
        return self.message("update", bids, asks)


class Bitget(Speaker):
    name, symbol = "bitget", "mc:AAUSDT"

    def levels(self, levels: Any) -> Any:
        return [list(level) for level in levels]

    def arg(self) -> Any:
        return {"instType": "mc", "channel": "books", "instId": "AAUSDT"}

    def data(self, bids: Any, asks: Any) -> Any:
        sides = {"asks": self.levels(asks), "bids": self.levels(bids)}
        return sides | {"checksum": self.checksum(), "ts": str(self.ms)}

    def message(self, action: str, bids: Any, asks: Any) -> Any:
        return {"action": action, "arg": self.arg(), "data": [self.data(bids, asks)]}

    def whole(self) -> Any:
        return self.message("snapshot", self.best("bids"), self.best("asks"))

    def part(self, bids: Any, asks: Any) -> Any:
        return self.message("update", bids, asks)

    def checksum(self) -> int:
        parts: list[str] = []
        bids, asks = self.best("bids"), self.best("asks")
        for n in range(25):
            for side in (bids, asks):
                if n < len(side):
                    parts += side[n]
        value = crc32(":".join(parts).encode())
        return value - 2**32 if value >= 2**31 else value


class BitgetSecond(Bitget):
    """The second API while its messages had an id and a checksum."""

    symbol = "usdt:AAUSDT"

    def arg(self) -> Any:
        return {"instType": "USDT-FUTURES", "channel": "books", "instId": "AAUSDT"}

    def data(self, bids: Any, asks: Any) -> Any:
        return super().data(bids, asks) | {"seq": self.id}


class BitgetNow(BitgetSecond):
    """The second API since its messages name the one before, and have no checksum."""

    def data(self, bids: Any, asks: Any) -> Any:
        data = super().data(bids, asks) | {"seq": str(self.id), "pseq": str(self.before)}
        del data["checksum"]
        return data

    def whole(self) -> Any:
        message = super().whole()
        message["data"][0]["pseq"] = 0
        return message


class OkxOld(Bitget):
    """As it spoke before its messages had ids."""

    name, symbol = "okx", "AA-USDT"

    def arg(self) -> Any:
        return {"channel": "books", "instId": self.symbol}

    def levels(self, levels: Any) -> Any:
        return [[price, size, "0", "3"] for price, size in levels]


class OkxNow(OkxOld):
    """As it speaks since its checksum is always 0."""

    def data(self, bids: Any, asks: Any) -> Any:
        return super().data(bids, asks) | {"checksum": 0, "seqId": self.id, "prevSeqId": self.before}

    def whole(self) -> Any:
        message = super().whole()
        message["data"][0]["prevSeqId"] = -1
        return message


class Deribit(Speaker):
    name, symbol, interval = "deribit", "AA-31DEC21-9000-P", "raw"

    def message(self, kind: str, **fields: Any) -> Any:
        data = {"type": kind, "timestamp": self.ms, "instrument_name": self.symbol, "change_id": self.id}
        params = {"channel": f"book.{self.symbol}.{self.interval}", "data": data | fields}
        return {"jsonrpc": "2.0", "method": "subscription", "params": params}

    def levels(self, levels: Any) -> Any:
        return [["new" if float(size) else "delete", float(price), float(size)] for price, size in levels]

    def whole(self) -> Any:
        sides = {side: self.levels(self.best(side)) for side in ("bids", "asks")}
        return self.message("snapshot", **sides)

    def part(self, bids: Any, asks: Any) -> Any:
        sides = {"bids": self.levels(bids), "asks": self.levels(asks)}
        return self.message("change", prev_change_id=self.before, **sides)


class DeribitNow(Deribit):
    symbol, interval = "AA_USDC-PERPETUAL", "100ms"


SPEAKERS: list[type[Speaker]] = [
    Binance,
    BinanceDelivery,
    Coinbase,
    CoinbaseAdvanced,
    Kraken,
    KrakenSecond,
    Bitget,
    BitgetSecond,
    BitgetNow,
    OkxOld,
    OkxNow,
    Deribit,
    DeribitNow,
]


def prices(random: Random, low: int, high: int, count: int) -> list[str]:
    return [f"{ticks / 100:.2f}" for ticks in random.sample(range(low, high), count)]


SIZES = ["0.125", "1.000", "20.500", "3.000", "0.002"]
EXTREME_SIZES = ["0.00000001", "0.001", "1.000", "1000000000000", "100000000000000000"]


def size(random: Random) -> str:
    return random.choice(SIZES)


def sides(random: Random, count: int, *, deletes: bool) -> tuple[list[Level], list[Level]]:
    """Levels around 10.00, bids below and asks above."""
    found: list[list[Level]] = []
    for low, high in ((985, 1000), (1001, 1016)):
        found.append(
            [
                (price, "0.000" if deletes and random.random() < 0.4 else size(random))
                for price in prices(random, low, high, random.randint(0 if deletes else 3, count))
            ]
        )
    return found[0], found[1]


class Told:
    """What one venue said: messages, and the book as it was after each."""

    def __init__(self, speaker: type[Speaker], seed: int, count: int = 60) -> None:
        self.random = Random(f"{speaker.__name__} {seed}")
        self.speaker = speaker()
        self.messages = [self.speaker.snapshot(*sides(self.random, 8, deletes=False))]
        self.truth = [self.book()]
        for _ in range(count):
            self.messages.append(self.speaker.change(*sides(self.random, 4, deletes=True)))
            self.truth.append(self.book())

    def book(self) -> Any:
        both = (self.speaker.bids, self.speaker.asks)
        return tuple({float(price): float(size) for price, size in side.items()} for side in both)

    def again(self) -> bytes:
        """A new snapshot of the book as it is."""
        message = self.speaker.snapshot(self.speaker.best("bids"), self.speaker.best("asks"))
        self.truth.append(self.book())
        return message


class Listener:
    """A market of two symbols that hears messages; the other symbol never says anything but its snapshot."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.venue = VENUES[told.speaker.name]  # type: ignore[index]
        self.symbol = told.speaker.symbol
        self.updates: list[Any] = []
        self.market = Market([self.symbol], self.venue.RULES, others=["OTHER"], changed=self.updates.append)
        self.rows = self.market.rows(1)
        self.book = self.market.book(self.symbol)
        self.state = -1  # which message's book ours must be
        self.exact = True
        self.now = 0
        if isinstance(told.speaker, Kraken):
            self.hear(-1, told.speaker.opened())

    def hear(self, number: int, message: bytes) -> None:
        """Hear the message of that number, then check that the book is the venue's or says that it isn't."""
        self.now += 10_000_000
        self.market.heard_ns = self.now
        applied = self.book.n_applied, self.book.snapshots
        try:
            if b"lastUpdateId" in message:
                reply = self.venue.parse_reply(URL.format(self.symbol), message)
                events: tuple[Any, ...] = (reply,)
            else:
                events = self.venue.parse(message)
            for event in events:
                self.market.take(event, self.now)
        except BadMessageError as error:
            self.market.note_bad(error)
        if (self.book.n_applied, self.book.snapshots) != applied:
            self.state = number
        self.check()

    def check(self) -> None:
        self.market.fill(self.rows, self.now)
        row, book, truth = self.rows[0], self.book, self.told.truth
        assert (row["synced"], row["n_bad"]) == (book.synced, sum(book.faults))
        assert row["n_bad"] == sum(
            row[name]
            for name in ("n_unreadable", "n_bad_values", "n_unknown", "n_gaps", "n_crc_bad", "n_crossed")
        )
        if self.exact and self.state >= 0:
            bids, asks = truth[self.state]
            assert book.levels() == (bids, asks)  # the last good ones when out of sync
            known = [row["bid"], row["ask"], row["bid_size"], row["ask_size"]]
            if bids and asks:
                assert known == [max(bids), min(asks), bids[max(bids)], asks[min(asks)]]
        if not book.synced:
            assert row["status"] in (Status.INIT, Status.BAD)
            assert all(isnan(row[name]) for name in FEATURES)

    def heals(self) -> None:
        """Nothing but a new snapshot brings the book back."""
        told = self.told
        for _ in range(3):
            message = told.speaker.change(*sides(told.random, 4, deletes=True))
            told.truth.append(told.book())
            self.hear(len(told.truth) - 1, message)
            assert not self.book.synced
        message = told.again()
        self.hear(len(told.truth) - 1, message)
        assert self.book.synced
        assert self.book.resyncs == 1
        message = told.speaker.change(*sides(told.random, 4, deletes=True))
        told.truth.append(told.book())
        self.hear(len(told.truth) - 1, message)
        assert self.book.synced


def listening(speaker: type[Speaker], seed: int, until: int) -> tuple[Told, Listener]:
    told = Told(speaker, seed)
    listener = Listener(told)
    for number, message in enumerate(told.messages[:until]):
        listener.hear(number, message)
        assert listener.book.synced
    return told, listener


CHAINED = [Binance, BinanceDelivery, Deribit, DeribitNow, OkxNow, BitgetNow]
"""A refused message shows at the next one."""
NUMBERED = [*CHAINED, CoinbaseAdvanced]
"""A lost message shows at the next one, whatever it said."""
ORDERED = [*NUMBERED, BitgetSecond]
"""A repeated message shows."""
every_speaker = pytest.mark.parametrize("speaker", SPEAKERS)
seeds = pytest.mark.parametrize("seed", range(3))


@every_speaker
@seeds
def test_an_undamaged_story_is_followed_to_the_end(speaker: type[Speaker], seed: int) -> None:
    _told, listener = listening(speaker, seed, 61)
    assert (listener.book.n_applied, listener.book.n_bad, listener.state) == (60, 0, 60)
    assert listener.updates[-1][-1] == 1


@every_speaker
@seeds
def test_sizes_of_all_magnitudes_leave_each_number_within_its_bounds(
    speaker: type[Speaker], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "SIZES", EXTREME_SIZES)
    told = Told(speaker, seed, 300)
    listener, random = Listener(told), told.random
    for number, message in enumerate(told.messages):
        listener.hear(number, message)
        listener.now += random.choice((0, 100_000_000, 3_000_000_000))
        for _ in range(random.choice((0, 1, 3))):
            traded = float(random.choice(EXTREME_SIZES))
            trade = Trade(listener.symbol, 1, 10.0, traded, random.random() < 0.5)
            assert not listener.market.take(trade, listener.now)
        listener.check()
        row = listener.rows[0]
        for name in ("imb1", "imb5", "imb20", "pressure", "trade_imbalance"):
            assert isnan(row[name]) or -1.0 <= row[name] <= 1.0
        assert isnan(row["depth_quality"]) or 0.0 <= row["depth_quality"] <= 1.0
        assert abs(row["ofi_1s"]) < 1e20 or isnan(row["ofi_1s"])
    assert listener.book.synced


@every_speaker
@seeds
def test_a_lost_message_is_noticed_at_the_next(speaker: type[Speaker], seed: int) -> None:
    if speaker is Coinbase:
        return  # has neither ids nor checksums: a loss can't be seen, and the documentation says so
    told, listener = listening(speaker, seed, 30)
    if told.truth[29] == told.truth[30] and speaker not in NUMBERED:
        return  # nothing was lost
    listener.hear(31, told.messages[31])
    assert not listener.book.synced
    assert listener.book.n_bad == 1
    listener.heals()


@every_speaker
@seeds
def test_a_repeated_message_changes_nothing(speaker: type[Speaker], seed: int) -> None:
    told, listener = listening(speaker, seed, 30)
    listener.hear(29, told.messages[29])
    noticed = speaker in ORDERED
    assert listener.book.synced is not noticed
    if noticed:
        listener.heals()


@every_speaker
@seeds
def test_swapped_messages_are_noticed(speaker: type[Speaker], seed: int) -> None:
    told, listener = listening(speaker, seed, 30)
    listener.exact = speaker is not Coinbase  # the first of the two looks right to it
    for number in (31, 30):
        listener.hear(number, told.messages[number])
    assert not listener.book.synced
    assert listener.book.n_bad == 1


@every_speaker
@seeds
def test_a_cut_message_is_counted_and_costs_the_book(speaker: type[Speaker], seed: int) -> None:
    for share in (0.1, 0.5, 0.95):
        told, listener = listening(speaker, seed, 30)
        message = told.messages[30]
        left = message[: int(len(message) * share)]
        listener.hear(30, left)
        assert listener.book.n_bad == 1
        unnumbered = speaker is CoinbaseAdvanced and b'"events"' not in left
        assert listener.book.synced is (speaker in CHAINED or unnumbered)
        listener.hear(31, told.messages[31])
        assert not listener.book.synced
        listener.heals()


NAMES = {"price", "qty", "price_level", "new_quantity"}
"""What a level's numbers are called where they have names."""


def spoilt(message: bytes, value: str, random: Random, *, price: bool) -> bytes:
    """One level of a message with another price or size."""
    data = orjson.loads(message)

    def levels(found: Any) -> list[Any]:
        if isinstance(found, dict):
            if not NAMES.isdisjoint(found):
                return [found]
            return [level for value in found.values() for level in levels(value)]
        if isinstance(found, list) and found and isinstance(found[0], list):
            return found
        return [level for each in found for level in levels(each)] if isinstance(found, list) else []

    level = random.choice(levels(data))
    at: Any
    if isinstance(level, dict):
        at = next(name for name in level if name in NAMES and ("price" in name) is price)
    else:
        at = (1 if level[0] in ("new", "delete", "buy", "sell") else 0) + (not price)
    number = isinstance(level[at], float)
    level[at] = value
    text = orjson.dumps(data)
    return text.replace(f'"{value}"'.encode(), value.encode()) if number else text


@every_speaker
@pytest.mark.parametrize("value", ["NaN", "-1", "1e400", "x", "Infinity", "1e30", "99999999999999999999"])
@pytest.mark.parametrize("price", [True, False])
def test_no_spoilt_number_reaches_a_book(speaker: type[Speaker], value: str, price: bool) -> None:
    for seed in range(2):
        told, listener = listening(speaker, seed, 30)
        k = next(k for k in range(30, 60) if told.truth[k] != told.truth[k - 1])
        for number in range(30, k):
            listener.hear(number, told.messages[number])
        listener.hear(k, spoilt(told.messages[k], value, told.random, price=price))
        assert listener.book.n_bad == 1
        assert listener.state == k - 1
        assert listener.book.synced is (speaker in CHAINED)
        listener.hear(k + 1, told.messages[k + 1])
        assert not listener.book.synced
        listener.heals()


@every_speaker
@seeds
def test_a_price_of_zero_is_none(speaker: type[Speaker], seed: int) -> None:
    told, listener = listening(speaker, seed, 30)
    k = next(k for k in range(30, 60) if told.truth[k] != told.truth[k - 1])
    for number in range(30, k):
        listener.hear(number, told.messages[number])
    listener.hear(k, spoilt(told.messages[k], "0", told.random, price=True))
    assert (listener.book.n_bad, listener.state) == (1, k - 1)


@every_speaker
@seeds
def test_a_bid_over_the_ask_is_taken_back_and_latches(speaker: type[Speaker], seed: int) -> None:
    told, listener = listening(speaker, seed, 30)
    good = dict(told.speaker.asks)
    message = told.speaker.change([("12.00", "1.000")], [])  # the venue itself says so, with its checksum
    if not good:
        return
    # the speaker has told all of its 60 messages meanwhile: so does the listener
    for number, each in enumerate(told.messages[30:], 30):
        listener.hear(number, each)
    listener.hear(61, message)
    assert not listener.book.synced
    assert listener.book.n_bad == 1
    assert listener.state == 60
    told.speaker.change([("12.00", "0.000")], [])
    listener.heals()


@every_speaker
def test_what_no_venue_says_costs_books_only_where_a_loss_would_not_show(speaker: type[Speaker]) -> None:
    for garbage in (b"}{", b"\xff\xfe", b'{"a', b"["):
        _told, listener = listening(speaker, 0, 30)
        listener.hear(-1, garbage)
        assert listener.book.n_bad == 1
        assert listener.book.synced is (speaker in NUMBERED)


@every_speaker
def test_an_unknown_symbol_is_counted_and_harms_nobody(speaker: type[Speaker]) -> None:
    told, listener = listening(speaker, 0, 30)
    name = told.speaker.symbol.rpartition(":")[2].encode()
    listener.hear(-1, told.messages[30].replace(name, b"QQ" + name[2:]))
    assert listener.rows["n_unknown"][0] == listener.book.n_bad == 1
    assert listener.book.synced
    if speaker is not CoinbaseAdvanced:  # the same number twice would be a fault of its own
        listener.hear(30, told.messages[30])
        assert listener.state == 30


@every_speaker
def test_without_a_snapshot_nothing_is_known_and_a_late_one_begins(speaker: type[Speaker]) -> None:
    told = Told(speaker, 1)
    listener = Listener(told)
    for number in range(1, 20):
        listener.hear(-1, told.messages[number])
        assert (listener.rows["status"][0], listener.book.n_bad) == (Status.INIT, 0)
        assert isnan(listener.rows["bid"][0])
    assert not listener.updates
    message = told.again()
    listener.hear(len(told.truth) - 1, message)
    assert listener.book.synced
    assert (listener.book.snapshots, listener.book.resyncs) == (1, 0)


@every_speaker
@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_a_book_is_the_venues_or_says_that_it_is_not(
    speaker: type[Speaker], seed: int
) -> None:
    """Several kinds of damage in one story; `Listener.check` sees to the promise after each message."""
    told = Told(speaker, seed, 120)
    random = told.random
    story = list(enumerate(told.messages))
    kinds = ["cut", "flip", "spoil", "double", "noise"] + ([] if speaker is Coinbase else ["drop", "swap"])
    for _ in range(random.randint(1, 4)):
        at = random.randrange(20, len(story) - 1)
        number, message = story[at]
        kind = random.choice(kinds)
        if kind == "drop":
            del story[at]
        elif kind == "swap":
            story[at], story[at + 1] = story[at + 1], story[at]
        elif kind == "double":
            story.insert(at, story[at])
        elif kind == "cut":
            story[at] = number, message[: random.randrange(len(message))]
        elif kind == "noise":
            story.insert(at, (-1, random.randbytes(random.randrange(1, 40))))
        elif kind == "spoil" and told.truth[number] != told.truth[number - 1]:
            story[at] = number, spoilt(message, "NaN", random, price=random.random() < 0.5)
        elif kind == "flip":  # a brace or quote: what it does to a digit no venue without checksum can tell
            place = random.choice([n for n, byte in enumerate(message) if byte in b'{}[],"'])
            story[at] = number, message[:place] + b"\x00" + message[place + 1 :]
    listener = Listener(told)
    for number, message in story:
        listener.hear(number, message)


ANYTHING: list[Any] = [None, True, 0, -1, 2**63, 1.5, 1e300, "", "x", "1e5", "1.0", [], {}, [[]], [{}]]
ANYTHING += [2**63 // 1_000_000, "9223372036855", "9223372037.0", "9999999999.5", "9999-12-31T23:59:59Z"]
ANYTHING += ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "0.00000001", *EXTREME_SIZES]


def places(found: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Each place in a message, as the way that leads there."""
    inner = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


@every_speaker
def test_a_message_that_says_anything_at_all_in_any_place_is_read_or_bad(speaker: type[Speaker]) -> None:
    told, listener = listening(speaker, 0, 30)
    listener.exact = False
    messages = [orjson.loads(told.messages[k]) for k in (0, 30, 31)]
    for _ in range(1000):
        message = deepcopy(told.random.choice(messages))
        *way, last = told.random.choice(places(message)[1:])
        inner = message
        for key in way:
            inner = inner[key]
        inner[last] = deepcopy(told.random.choice(ANYTHING))
        listener.hear(-1, orjson.dumps(message))
        assert isinstance(DIALECTS[speaker.name].hear(orjson.dumps(message)), tuple)  # type: ignore[index]


@pytest.mark.parametrize(
    "speaker",
    [Binance, BinanceDelivery, CoinbaseAdvanced, KrakenSecond, BitgetSecond, BitgetNow, OkxNow, DeribitNow],
)
def test_a_recording_of_what_is_said_today_replays(speaker: type[Speaker], tmp_path: Path) -> None:
    told = Told(speaker, 2)
    venue, dialect = VENUES[speaker.name], DIALECTS[speaker.name]  # type: ignore[index]
    symbol = told.speaker.symbol.encode()
    address = b"wss://127.0.0.1:1"
    asked = [*dialect.greet(), *dialect.subscribe([told.speaker.symbol], 1)]
    lines = [address + b" <-> 1600000000.0", *(address + b" <- 1600000000.1: " + each for each in asked)]
    if isinstance(told.speaker, Kraken):
        lines.append(b"1600000000.2: " + told.speaker.opened())
    messages = [b"%.1f: %b" % (1600000001 + number / 10, each) for number, each in enumerate(told.messages)]
    if isinstance(told.speaker, Binance):  # its snapshot comes by REST, after the first change
        url = dialect.snapshot_url("https://127.0.0.1:1", symbol.decode()).encode()
        reply = url + b" -> 1600000001.15: " + told.messages[0]
        (tmp_path / f"{venue.CAPTURE}.http.0.0").write_bytes(reply + b"\n")
        del messages[0]
    (tmp_path / f"{venue.CAPTURE}.ws.1.0").write_bytes(b"\n".join([*lines, *messages]) + b"\n")
    replay = Replay(tmp_path, venue)
    assert replay.symbols == (told.speaker.symbol,)
    for _ in replay.frames(1_000_000_000):
        pass
    book = replay.market.book(told.speaker.symbol)
    assert (book.synced, book.n_bad, book.n_applied) == (True, 0, 60)
    assert book.levels() == told.truth[-1]


@every_speaker
def test_a_new_snapshot_replaces_a_book_in_sync(speaker: type[Speaker]) -> None:
    told, listener = listening(speaker, 0, 61)
    told.speaker.change([("9.90", "7.000")], [("10.10", "7.000")])  # what we never hear of
    listener.hear(61, told.again())
    assert listener.book.synced
    counts = (listener.book.snapshots, listener.book.resyncs, listener.book.n_bad)
    assert counts == ((2, 1, 1) if speaker is CoinbaseAdvanced else (2, 0, 0))  # it shows what we never heard


def test_a_cut_message_is_known_by_its_channel_and_costs_no_other_book() -> None:
    told, other = Told(Kraken, 0), Told(Kraken, 1)
    other.speaker.symbol = "BB/USD"
    market = Market(["BB/USD", "AA/USD"], VENUES["kraken"].RULES)
    parse = VENUES["kraken"].parse
    stories = [(1664, told), (1700, other)]
    for channel, each in stories:
        opened = each.speaker.opened()  # type: ignore[attr-defined]
        for message in (opened, each.messages[0]):
            renamed = message.replace(b"1664", str(channel).encode()).replace(
                b"AA/USD", each.speaker.symbol.encode()
            )
            for event in parse(renamed):
                market.take(event, 1)
    trades = b'{"channelID":1665,"channelName":"trade","event":"subscriptionStatus","pair":"AA/USD"}'
    for event in parse(trades):
        market.take(event, 1)
    for message, lost in ((b'[1665,[["9.9', []), (b'[1664,{"b":[["9', ["AA/USD"]), (b"[17", ["BB/USD"])):
        with pytest.raises(BadMessageError) as caught:
            parse(message)
        synced = {symbol for symbol in market.symbols if market.book(symbol).synced}
        market.note_bad(caught.value)
        assert synced - {symbol for symbol in market.symbols if market.book(symbol).synced} == set(lost)
    assert market.book("AA/USD").n_bad == 2
