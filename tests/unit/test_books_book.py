from __future__ import annotations

from math import inf, isnan, nan

import pytest

from dolphin_mp.workers.books.binance import RULES
from dolphin_mp.workers.books.book import HELD, Book
from dolphin_mp.workers.books.events import Delta, Fault, Levels, Snapshot

BIDS: Levels = [(100.0, 5.0), (99.0, 7.0), (98.0, 1.0)]
ASKS: Levels = [(101.0, 4.0), (102.0, 6.0)]


def snapshot(last_id: int = 10, bids: Levels = BIDS, asks: Levels = ASKS) -> Snapshot:
    return Snapshot("S", last_id, 0, bids, asks)


def delta(first: int, last: int, previous: int, bids: Levels = (), asks: Levels = ()) -> Delta:  # type: ignore[assignment]
    return Delta("S", first, last, previous, 0, list(bids), list(asks))


def running(bids: Levels = BIDS, asks: Levels = ASKS) -> Book:
    """A book in sync that is at id 20."""
    book = Book(RULES)
    assert book.load(snapshot(10, bids, asks))
    assert book.apply(delta(8, 20, 7))
    return book


def test_a_book_starts_with_its_snapshot() -> None:
    book = Book(RULES)
    assert (book.synced, book.snapshots) == (False, 0)
    assert all(isnan(value) for value in book.top())
    assert book.load(snapshot())
    assert (book.synced, book.fault) == (True, "")
    assert book.top() == (100.0, 101.0, 5.0, 4.0)
    assert (book.snapshots, book.resyncs, book.n_applied) == (1, 0, 0)


def test_messages_older_than_the_snapshot_are_dropped() -> None:
    book = Book(RULES)
    book.load(snapshot(10))
    assert not book.apply(delta(1, 9, 0, [(100.5, 1.0)]))
    assert book.top().bid == 100.0
    assert (book.n_dropped, book.n_applied, book.n_bad) == (1, 0, 0)


@pytest.mark.parametrize(("first", "last"), [(10, 10), (5, 10), (10, 15), (5, 15)])
def test_the_first_message_bridges_the_snapshot(first: int, last: int) -> None:
    book = Book(RULES)
    book.load(snapshot(10))
    assert book.apply(delta(first, last, 3, [(100.5, 1.0)]))
    assert book.top().bid == 100.5


def test_on_a_quiet_symbol_the_first_message_follows_the_snapshot() -> None:
    book = Book(RULES)
    book.load(snapshot(10))
    assert book.apply(delta(15, 20, 10, [(100.5, 1.0)]))
    assert (book.synced, book.n_bad, book.top().bid) == (True, 0, 100.5)
    held = Book(RULES)
    held.apply(delta(15, 20, 10, [(100.5, 1.0)]))
    assert held.load(snapshot(10))  # nor is such a snapshot too old for what was held
    assert (held.synced, held.n_dropped, held.n_applied) == (True, 0, 1)


def test_a_first_message_that_leaves_a_gap_latches() -> None:
    book = Book(RULES)
    book.load(snapshot(10))
    assert not book.apply(delta(12, 15, 11, [(100.5, 1.0)]))
    assert (book.synced, book.faults[Fault.GAP], book.n_bad) == (False, 1, 1)
    assert book.top().bid == 100.0
    assert "gap: snapshot 10" in book.fault


def test_sizes_are_absolute_and_zero_deletes() -> None:
    book = running()
    assert book.apply(delta(21, 22, 20, [(100.0, 9.0), (99.0, 0.0)], [(101.0, 0.0), (103.0, 2.0)]))
    assert book.levels() == ({100.0: 9.0, 98.0: 1.0}, {102.0: 6.0, 103.0: 2.0})
    assert book.top() == (100.0, 102.0, 9.0, 6.0)


def test_the_last_word_on_a_price_counts() -> None:
    book = running()
    book.apply(delta(21, 22, 20, [(100.5, 3.0), (100.5, 0.0)], [(100.9, 0.0), (100.9, 2.0)]))
    assert book.top() == (100.0, 100.9, 5.0, 2.0)


def test_deleting_what_is_not_there_is_normal() -> None:
    book = running()
    assert book.apply(delta(21, 22, 20, [(97.0, 0.0)], [(200.0, 0.0)]))
    assert (book.n_absent, book.n_bad) == (2, 0)


def test_an_empty_side_is_unknown_not_zero() -> None:
    book = running()
    book.apply(delta(21, 22, 20, [(price, 0.0) for price, _ in BIDS]))
    top = book.top()
    assert isnan(top.bid)
    assert isnan(top.bid_size)
    assert (top.ask, top.ask_size) == (101.0, 4.0)
    assert book.synced
    assert book.apply(delta(23, 24, 22, [(90.0, 1.0)]))
    assert book.top().bid == 90.0


@pytest.mark.parametrize("price", [nan, inf, -inf, 0.0, -1.0, -0.0])
@pytest.mark.parametrize("side", ["bids", "asks"])
@pytest.mark.parametrize("emptied", [False, True])
def test_no_bad_price_reaches_the_book(price: float, side: str, emptied: bool) -> None:
    book = running([], []) if emptied else running()
    before = book.levels()
    good = [(50.0, 1.0)] if side == "bids" else [(500.0, 1.0)]
    for size in (0.0, 1.0):
        bad = delta(21, 22, 20, **{side: [*good, (price, size)]})
        assert not book.apply(bad)
    assert book.levels() == before
    assert (book.n_bad, book.synced, book.n_applied) == (2, True, 1)


@pytest.mark.parametrize("size", [nan, inf, -1.0])
@pytest.mark.parametrize("side", ["bids", "asks"])
@pytest.mark.parametrize("price", [50.0, 100.5, 500.0])
def test_no_bad_size_reaches_the_book(size: float, side: str, price: float) -> None:
    book = running()
    before = book.levels()
    assert not book.apply(delta(21, 22, 20, **{side: [(price, size)]}))
    assert book.levels() == before
    assert (book.n_bad, book.synced) == (1, True)


def test_a_gap_latches_and_keeps_the_last_good_top() -> None:
    book = running()
    top = book.top()
    assert not book.apply(delta(25, 26, 24, [(100.5, 1.0)]))
    assert (book.synced, book.faults[Fault.GAP], book.n_bad) == (False, 1, 1)
    assert book.top() == top
    for number in range(27, 40):  # a chain that is whole again heals nothing
        assert not book.apply(delta(number, number, number - 1, [(100.5, 1.0)]))
    assert (book.synced, book.faults[Fault.GAP], book.n_bad) == (False, 1, 1)
    assert book.top() == top


def test_a_duplicate_is_a_gap() -> None:
    book = running()
    message = delta(21, 22, 20, [(100.5, 1.0)])
    assert book.apply(message)
    assert not book.apply(message)
    assert (book.synced, book.faults[Fault.GAP]) == (False, 1)


def test_a_crossing_message_is_taken_back_whole() -> None:
    book = running()
    before, top = book.levels(), book.top()
    assert not book.apply(
        delta(21, 22, 20, [(101.5, 1.0), (99.0, 0.0), (98.0, 3.0), (1.0, 0.0)], [(103.0, 1.0)])
    )
    assert book.levels() == before
    assert book.top() == top
    assert (book.synced, book.n_bad, book.faults[Fault.CROSSED]) == (False, 1, 1)
    assert (book.n_applied, book.n_absent) == (1, 0)
    assert "crossed" in book.fault
    assert [side.near.prices(9) for side in book.sides()] == [[100.0, 99.0, 98.0], [101.0, 102.0]]


def test_a_price_that_moves_through_the_old_ask_does_not_cross() -> None:
    book = running()
    assert book.apply(delta(21, 22, 20, [(101.5, 1.0)], [(101.0, 0.0)]))
    assert book.top() == (101.5, 102.0, 1.0, 6.0)
    assert book.synced


def test_a_locked_book_is_no_crossed_one() -> None:
    book = running()
    assert book.apply(delta(21, 22, 20, [(101.0, 1.0)]))
    assert book.top()[:2] == (101.0, 101.0)


def test_only_a_new_snapshot_heals() -> None:
    book = running()
    book.apply(delta(25, 26, 24))
    assert book.load(snapshot(30, [(90.0, 1.0)], [(91.0, 1.0)]))
    assert (book.synced, book.resyncs, book.snapshots) == (True, 1, 2)
    assert book.levels() == ({90.0: 1.0}, {91.0: 1.0})
    assert book.apply(delta(29, 31, 28, [(90.5, 1.0)]))
    assert book.top().bid == 90.5


def test_messages_that_came_before_the_healing_snapshot_are_applied_after_it() -> None:
    book = running()
    book.apply(delta(25, 26, 24, [(95.0, 1.0)]))
    book.apply(delta(27, 30, 26, [(96.0, 1.0)]))
    book.apply(delta(31, 35, 30, [(97.0, 1.0)]))
    assert book.load(snapshot(29, [(90.0, 1.0)], [(101.0, 1.0)]))
    assert book.levels()[0] == {90.0: 1.0, 96.0: 1.0, 97.0: 1.0}
    assert (book.synced, book.n_dropped, book.n_applied) == (True, 1, 3)
    assert book.apply(delta(36, 36, 35, [(98.0, 1.0)]))


def test_a_snapshot_from_before_the_loss_does_not_heal() -> None:
    book = running()
    book.apply(delta(25, 26, 24))
    assert not book.load(snapshot(22))
    assert (book.synced, book.resyncs, book.n_dropped, book.faults[Fault.GAP]) == (False, 0, 1, 1)


def test_an_older_snapshot_does_not_turn_back_a_book_in_sync() -> None:
    book = running()
    assert not book.load(snapshot(15, [(1.0, 1.0)], [(2.0, 1.0)]))
    assert book.top().bid == 100.0
    assert book.apply(delta(21, 22, 20, [(100.5, 1.0)]))


def test_a_newer_snapshot_replaces_a_book_in_sync() -> None:
    book = running()
    assert book.load(snapshot(50, [(1.0, 1.0)], [(2.0, 1.0)]))
    assert book.levels() == ({1.0: 1.0}, {2.0: 1.0})
    assert book.resyncs == 0


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([(100.0, 1.0)], [(99.0, 1.0)]),
        ([(nan, 1.0)], ASKS),
        ([(100.0, 0.0)], ASKS),
        (BIDS, [(101.0, -1.0)]),
        (BIDS, [(inf, 1.0)]),
    ],
)
def test_a_bad_snapshot_is_refused(bids: Levels, asks: Levels) -> None:
    book = running()
    before = book.levels()
    book.apply(delta(25, 26, 24))
    assert not book.load(snapshot(30, bids, asks))
    assert book.levels() == before
    assert (book.synced, book.n_bad) == (False, 2)


def test_what_is_held_for_a_snapshot_is_bounded() -> None:
    book = Book(RULES)
    for number in range(HELD + 10):
        book.apply(delta(number, number, number - 1, [(1.0 + number, 1.0)]))
    assert not book.load(snapshot(5, [], []))  # what it would need is no longer held
    assert book.load(snapshot(10, [], []))
    assert book.n_applied == HELD
    assert len(book.levels()[0]) == HELD


def test_a_bad_message_is_not_held_either() -> None:
    book = Book(RULES)
    book.apply(delta(8, 12, 7, [(nan, 1.0)]))
    assert book.n_bad == 1
    book.load(snapshot(10))
    assert (book.n_applied, book.faults[Fault.GAP]) == (0, 0)
