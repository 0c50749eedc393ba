"""Random messages, damaged at random, against a slow and simple book in decimal arithmetic."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dolphin_mp.workers.books import binance
from dolphin_mp.workers.books.events import BadMessageError, Fault
from dolphin_mp.workers.books.features import UNKNOWN, numbers_of
from dolphin_mp.workers.books.market import Market
from dolphin_mp.workers.books.near import DEPTH, Near

URL = "https://fapi.binance.com/fapi/v1/depth?symbol=S"
BAD_VALUES: list[Any] = [
    "nan",
    "NaN",
    "-inf",
    "-1",
    "",
    "x",
    " 7",
    "1e3",
    "1_0",
    "7.",
    None,
    True,
    7.5,
    [],
    {},
]


def number(text: Any) -> Decimal | None:
    """What a venue means by the text; None if it is no plain decimal."""
    digits, _, decimals = text.partition(".") if type(text) is str else ("", "", "")
    plain = set(digits + decimals) <= set("0123456789") and digits and not text.endswith(".")
    return Decimal(text) if plain else None


class SlowBook:
    """The rules once more, with no thought for speed: everything is looked for anew after each message."""

    def __init__(self) -> None:
        self.sides: list[dict[Decimal, Decimal]] = [{}, {}]
        self.snapshot: int | None = None
        self.after: int | None = None
        self.synced = False
        self.held: list[Any] = []
        self.bad = self.gaps = self.dropped = self.applied = self.resyncs = 0

    def message(self, text: str) -> None:
        try:
            self.delta(json.loads(text)["data"])
        except ValueError:
            self.bad += 1

    def delta(self, data: Any) -> None:
        levels = [[(number(price), number(size)) for price, size in data[key]] for key in "ba"]
        if any(not price or size is None for side in levels for price, size in side):
            self.bad += 1
        elif not self.synced:
            self.held.append(data)
        elif self.after is None and data["u"] < self.snapshot:
            self.dropped += 1
        elif data["pu"] != self.after if self.after is not None else not self.bridges(data, self.snapshot):
            self.gaps += 1
            self.bad += 1
            self.synced = False
            self.held.append(data)
        else:
            self.write(levels, data["u"])

    @staticmethod
    def bridges(data: Any, snapshot: Any) -> bool:
        return bool(min(data["U"], data["pu"]) <= snapshot)

    def write(self, levels: Any, last: int) -> None:
        changed = [dict(side) for side in self.sides]
        for side, changes in zip(changed, levels, strict=True):
            for price, size in changes:
                side[price] = size
        changed = [{price: size for price, size in side.items() if size} for side in changed]
        if all(changed) and max(changed[0]) > min(changed[1]):
            self.bad += 1
            self.synced = False
            return
        self.sides, self.after = changed, last
        self.applied += 1

    def reply(self, data: Any) -> None:
        last = data["lastUpdateId"]
        newest = self.snapshot if self.after is None else self.after
        if (self.synced and last <= newest) or (
            not self.synced and self.held and not self.bridges(self.held[0], last)
        ):
            self.dropped += 1
            return
        sides = [{Decimal(price): Decimal(size) for price, size in data[key]} for key in ("bids", "asks")]
        if all(sides) and max(sides[0]) > min(sides[1]):
            self.bad += 1
            return
        self.resyncs += self.snapshot is not None and not self.synced
        self.sides, self.snapshot, self.after, self.synced = sides, last, None, True
        held, self.held = self.held, []
        for delta in held:
            self.delta(delta)

    def imbalance(self, count: int) -> float:
        if not self.synced or not all(self.sides):
            return math.nan
        bids = sum(self.sides[0][price] for price in sorted(self.sides[0], reverse=True)[:count])
        asks = sum(self.sides[1][price] for price in sorted(self.sides[1])[:count])
        return float((bids - asks) / (bids + asks))


# prices lie close together and overlap in the middle, so that deletes, crossings and moves are all common
bid_prices = st.integers(80, 106).map(lambda ticks: f"{ticks / 4:.2f}")
ask_prices = st.integers(100, 126).map(lambda ticks: f"{ticks / 4:.2f}")
sizes = st.sampled_from(["0", "0.000", "1", "2.5", "10", "0.125"])
bids = st.lists(st.tuples(bid_prices, sizes).map(list), max_size=8)
asks = st.lists(st.tuples(ask_prices, sizes).map(list), max_size=8)
resting_bids = st.lists(
    st.tuples(st.integers(1, 400).map(lambda t: f"{t / 16}"), st.just("3")).map(list), max_size=60
)
resting_asks = st.lists(
    st.tuples(st.integers(400, 800).map(lambda t: f"{t / 16}"), st.just("2")).map(list), max_size=60
)


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Replies and messages in an order that makes sense, before anything happens to them."""
    story: list[tuple[str, str]] = []
    last = 100
    for _ in range(draw(st.integers(1, 25))):
        if not story or draw(st.integers(0, 6)) == 0:
            at = last + draw(st.integers(-6, 3))
            body = {"lastUpdateId": at, "bids": draw(resting_bids), "asks": draw(resting_asks)}
            story.append(("reply", json.dumps(body)))
        skipped = draw(st.integers(-2, 3))  # of ids that changed nothing, or that two messages share
        first, previous, last = last + 1 + skipped, last, last + max(1, 1 + skipped) + draw(st.integers(0, 3))
        data = {"e": "depthUpdate", "E": 1, "s": "S", "U": first, "u": last, "pu": previous}
        story.append(("message", json.dumps({"data": data | {"b": draw(bids), "a": draw(asks)}})))
    return story


def spoil(text: str, value: Any, place: int) -> str:
    message = json.loads(text)
    message["data"]["b"].append(["24.00", "1"])
    message["data"]["b"][-1][place] = value
    return json.dumps(message)


@st.composite
def damaged_stories(draw: st.DrawFn) -> list[tuple[str, str]]:
    story = draw(stories())
    for _ in range(draw(st.integers(0, 4))):
        n = draw(st.integers(0, len(story) - 1))
        kind, text = story[n]
        what = draw(st.sampled_from(["drop", "double", "swap", "cut", "spoil"]))
        if what == "drop" and len(story) > 1:
            del story[n]
        elif what == "double":
            story.insert(n, story[n])
        elif what == "swap":
            m = draw(st.integers(0, len(story) - 1))
            story[n], story[m] = story[m], story[n]
        elif what == "cut" and kind == "message" and text:
            story[n] = (kind, text[: draw(st.integers(0, len(text) - 1))])
        elif what == "spoil" and kind == "message" and text.endswith("}}"):
            value, place = draw(st.sampled_from(BAD_VALUES)), draw(st.integers(0, 1))
            story[n] = (kind, spoil(text, value, place) if draw(st.booleans()) else spoil(text, "0", 0))
    return story


def play(market: Market, kind: str, text: str) -> None:
    try:
        if kind == "reply":
            snapshot = binance.parse_reply(URL, text.encode())
            assert snapshot is not None
            market.take(snapshot, 1)
        for event in binance.parse(text.encode()) if kind == "message" else ():
            market.take(event, 1)
    except BadMessageError as error:
        market.note_bad(error)


def check_equal(market: Market, slow: SlowBook) -> None:
    book = market.book("S")
    counts = (book.n_bad, book.faults[Fault.GAP], book.n_dropped, book.n_applied, book.resyncs, book.synced)
    assert counts == (slow.bad, slow.gaps, slow.dropped, slow.applied, slow.resyncs, slow.synced)
    sides = [{float(price): float(size) for price, size in side.items()} for side in slow.sides]
    assert book.levels() == tuple(sides)
    assert book.bid == max(sides[0], default=-math.inf)
    assert book.ask == min(sides[1], default=math.inf)


@settings(max_examples=200, deadline=None)
@given(damaged_stories(), st.sets(st.integers(0, 40)))
def test_a_damaged_feed_gives_what_the_slow_book_gives(story: list[tuple[str, str]], looks: set[int]) -> None:
    market, slow = Market(["S"], binance.RULES), SlowBook()
    for number_of_event, (kind, text) in enumerate(story):
        play(market, kind, text)
        slow.reply(json.loads(text)) if kind == "reply" else slow.message(text)
        check_equal(market, slow)
        if number_of_event in looks or number_of_event == len(story) - 1:
            book = market.book("S")
            numbers = numbers_of(book, book.top()) if book.synced else UNKNOWN
            for feature, count in ((numbers.imb1, 1), (numbers.imb5, 5), (numbers.imb20, 20)):
                want = slow.imbalance(count)
                assert (
                    feature == want
                    or abs(feature - want) < 1e-12
                    or (math.isnan(feature) and math.isnan(want))
                )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 200))
def test_the_nearest_levels_are_right_however_rarely_they_are_read(seed: int, reads_every: int) -> None:
    random = Random(seed)
    levels: dict[float, float] = {}
    bids, asks = Near(levels, higher_is_better=True), Near(levels, higher_is_better=False)
    for number_of_message in range(400):
        touched = [(float(random.randint(1, 2000)), random.choice([0.0, 1.0, 2.0])) for _ in range(9)]
        if random.random() < 0.2:  # one side's best levels are eaten
            ordered = sorted(levels, reverse=random.random() < 0.5)
            touched += [(price, 0.0) for price in ordered[: random.randint(1, 25)]]
        for price, size in touched:
            levels[price] = size
            if not size:
                del levels[price]
        bids.pending.append(touched)
        asks.pending.append(touched)
        if number_of_message % reads_every == 0:
            ordered = sorted(levels)
            assert asks.prices(DEPTH) == ordered[:DEPTH]
            assert bids.prices(DEPTH) == ordered[: -DEPTH - 1 : -1]
            inner, reach = sorted(random.sample(range(2002), 2))
            near, far = (sum(price <= edge for price in ordered) for edge in (inner, reach))
            assert asks.within(reach, inner, 20) == (ordered[: max(far, 20)], near, far)
            far, near = (sum(price >= edge for price in ordered) for edge in (inner, reach))
            assert bids.within(inner, reach, 20) == (ordered[: -max(far, 20) - 1 : -1], near, far)
            assert (asks.best(), bids.best()) == ((ordered[0], ordered[-1]) if ordered else (None, None))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200), st.binary(max_size=4))
def test_no_bytes_at_all_do_more_than_be_counted(payload: bytes, at: int, noise: bytes) -> None:
    data = b'{"e":"depthUpdate","E":1,"s":"S","U":9,"u":12,"pu":8,"b":[["1","2"]],"a":[]}'
    message = b'{"stream":"s@depth","data":' + data + b"}"
    market = Market(["S"], binance.RULES)
    market.take(binance.parse_reply(URL, b'{"lastUpdateId":10,"bids":[],"asks":[["5","1"]]}'), 1)  # type: ignore[arg-type]
    for text in (payload, message[:at] + noise + message[at + len(noise) :]):
        play(market, "message", text.decode("latin-1"))
    book = market.book("S")
    assert book.levels()[1].keys() <= {5.0} or book.n_applied == 1
    assert all(
        0 < price < math.inf and 0 < size < math.inf for side in book.levels() for price, size in side.items()
    )
