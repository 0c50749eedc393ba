"""What a market keeps of its feed, and what it says of it."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import orjson
import pytest

from dolphin_mp.workers.books.events import BadMessageError, Delta, Numbered, Opened, Snapshot
from dolphin_mp.workers.books.market import Market
from dolphin_mp.workers.books.rules import Rules
from dolphin_mp.workers.books.venues import VENUES

if TYPE_CHECKING:
    from dolphin_mp.workers.books.venues import VenueName

KRAKEN = VENUES["kraken"]


def status(channel: int, pair: str, name: str = "book-10") -> bytes:
    head = {"channelID": channel, "channelName": name, "event": "subscriptionStatus"}
    return orjson.dumps(head | {"pair": pair, "status": "subscribed"})


def hear(market: Market, *messages: bytes) -> None:
    for message in messages:
        try:
            for event in KRAKEN.parse(message):
                market.take(event, 1)
        except BadMessageError as error:
            market.note_bad(error)


def synced(market: Market) -> list[str]:
    return [symbol for symbol in market.symbols if market.book(symbol).synced]


def two_books() -> Market:
    market = Market(["A/B", "C/D"], KRAKEN.RULES)
    hear(market, status(1, "A/B"), status(2, "C/D"), status(3, "A/B", "trade"))
    for symbol in market.symbols:
        market.take(Snapshot(symbol, 0, 0, [(1.0, 1.0)], [(2.0, 1.0)]), 1)
    return market


def test_a_flood_of_answers_takes_no_room() -> None:
    market = two_books()
    hear(market, *(status(n, "A/B") for n in range(1000)))
    tracemalloc.start()
    for n in range(5000):
        hear(market, status(1000 + n, "A/B"), status(10_000 + n, f"X{n}/Y"))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 50_000
    hear(market, b"[5999,{")  # the latest is still known
    assert synced(market) == ["C/D"]


def test_a_channel_is_the_latest_symbols() -> None:
    market = two_books()
    hear(market, status(1, "C/D"), status(2, "A/B"), b"[1,{")
    assert synced(market) == ["A/B"]
    market.begin_anew(["C/D"], "it is asked for anew")
    hear(market, b"[2,{")
    assert synced(market) == []


def test_a_channel_is_forgotten_with_its_connection() -> None:
    market = two_books()
    market.begin_anew(["A/B"], "its connection ended")
    hear(market, b"[1,{")  # it may be anybody's in the next one
    assert synced(market) == []


def test_the_channel_of_trades_costs_no_book() -> None:
    market = two_books()
    hear(market, b"[3,[[")
    assert synced(market) == ["A/B", "C/D"]


class Counting(dict[str, object]):
    """Counts how often all are looked at."""

    looks = 0

    def values(self):  # type: ignore[no-untyped-def]
        self.looks += 1
        return super().values()


def test_a_number_that_is_the_next_looks_at_no_book(monkeypatch: pytest.MonkeyPatch) -> None:
    market = Market(["A", "B"], Rules())
    counting = Counting(market._entries)
    monkeypatch.setattr(market, "_entries", counting)
    market.take(Snapshot("A", 1, 0, [(1.0, 1.0)], []), 1)
    for number in range(100):
        market.take(Numbered(number), 1)
    assert counting.looks <= 1
    market.take(Numbered(200), 1)
    assert not market.book("A").synced


def test_a_subscription_says_how_deep_a_book_is() -> None:
    market = Market(["A"], Rules())
    market.take(Opened("A", None, True, 25), 1)
    assert market.book("A").limit == 25


def test_of_garbage_there_is_a_line_at_the_first_and_ever_more_rarely() -> None:
    lines: list[str] = []
    market = Market(["A/B", "C/D"], KRAKEN.RULES, report=lines.append)
    hear(market, b"}{")
    assert lines == ["bad messages in the row of A/B: 1 (1 unreadable), the last one: 'undecodable JSON'"]
    for n in range(2, 3000):
        hear(market, b"}{", b'[5,[["1","1","1.0","b","m",""]],"trade","E%d\\n/F"]' % n)
    assert [line.partition(": ")[2].partition(" ")[0] for line in lines] == ["1", "10", "100", "1000"]
    assert all(len(line) < 300 and line.isprintable() for line in lines)


@pytest.mark.parametrize("venue", ["binance-futures", "kraken"])
def test_of_snapshots_and_changes_that_can_not_be_there_is_a_line_too(venue: VenueName) -> None:
    lines: list[str] = []
    market = Market(["A"], VENUES[venue].RULES, report=lines.append)
    for _ in range(100):
        market.take(Snapshot("A", 1, 0, [(2.0, 1.0)], [(1.0, 1.0)]), 1)
        market.take(Delta("A", 1, 1, 0, 0, [(-1.0, 1.0)], []), 1)
    assert lines[0] == "bad messages in the row of A: 1 (1 crossed)"
    assert [line.partition(": ")[2].partition(" ")[0] for line in lines] == ["1", "10", "100"]


def test_what_a_lost_book_says_is_not_said_twice() -> None:
    lines: list[str] = []
    market = Market(["A"], Rules(), report=lines.append)
    market.take(Snapshot("A", 1, 0, [(1.0, 1.0)], [(2.0, 1.0)]), 1)
    for number in (5, 6, 7):
        market.take(Delta("A", number, number, number - 1, 0, [], []), 1)
    assert len(lines) == 1
    assert "lost its book" in lines[0]
    market.take(Delta("A", 8, 8, 7, 0, [(-1.0, 1.0)], []), 1)
    assert lines[1:] == ["bad messages in the row of A: 2 (1 value, 1 gap)"]
