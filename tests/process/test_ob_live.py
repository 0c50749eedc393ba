"""A live feed's real loop against local venues that speak the dialects, and do all that goes wrong."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from exchange import DIALECTS as VENUE_KINDS
from exchange import FAULTS, Venue
from live_client import SYMBOLS, Client, at_venue

from dolphin_mp.workers.books.record import Status
from dolphin_mp.workers.books.replay import Replay
from dolphin_mp.workers.books.venues import VENUES
from dolphin_mp.workers.feeds import asker, backoff, line, session
from dolphin_mp.workers.feeds.dialects import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dolphin_mp.workers.books.venues import VenueName

NAMES = sorted(DIALECTS)


def opened(name: VenueName, symbols: Sequence[str] = (), **settings: Any) -> Venue:
    return Venue(
        VENUE_KINDS[name], [at_venue(symbol) for symbol in symbols or SYMBOLS[name]], seed=7, **settings
    )


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delays are a twentieth; how they grow is the unit tests' matter."""
    monkeypatch.setattr(backoff, "FIRST_S", 0.05)
    monkeypatch.setattr(backoff, "MOST_S", 3.0)
    monkeypatch.setattr(asker, "ANSWER_S", 3.0)
    monkeypatch.setattr(asker, "FIRST_CHANGE_S", 0.3)


def check_tops(client: Client, symbol: str) -> None:
    """Each top that was published as in sync was the venue's at some time, in this order."""
    seen = [(top[1], top[3], top[2], top[4]) for top in client.told(symbol) if top[-1]]
    assert client.venue.truth.strangers(at_venue(symbol), seen) == []
    assert seen


def check_untouched(client: Client, symbol: str) -> None:
    """A book was in sync once and for all."""
    row = client.row(symbol)
    assert (row["resyncs"], row["n_bad"], row["synced"]) == (0, 0, 1)
    assert all(top[-1] for top in client.told(symbol))


@pytest.mark.parametrize("name", NAMES)
def test_books_are_the_venues(name: VenueName) -> None:
    with opened(name) as venue, Client(name, venue) as client:
        venue.wait_for_book()
        venue.move(200)
        client.wait_for_truth()
        venue.move(200)
        client.wait_for_truth()
        for symbol in client.symbols:
            check_tops(client, symbol)
            check_untouched(client, symbol)
            assert client.row(symbol)["status"] in {Status.OK, Status.DEGRADED}
        assert venue.excesses == []


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_book_is_healed_and_the_others_are_not_touched(name: VenueName, fault: str) -> None:
    with opened(name) as venue, Client(name, venue) as client:
        venue.wait_for_book()
        venue.move(20)
        client.wait_for_truth()
        victim, other = client.symbols
        venue.spoil(at_venue(victim), fault)
        venue.run(per_s=100)
        client.wait_until(lambda: len(client.told(other)) > 100)
        venue.pause()
        venue.settle()
        client.wait_for_truth(victim)
        client.wait_for_truth(other)
        check_tops(client, victim)
        check_untouched(client, other)
        assert venue.excesses == []


@pytest.mark.parametrize("name", NAMES)
def test_a_lost_connection_comes_again_with_all_books(name: VenueName) -> None:
    with opened(name) as venue, Client(name, venue) as client:
        venue.wait_for_book()
        venue.move(20)
        client.wait_for_truth()
        assert venue.drop() == 1
        client.wait_until(lambda: not client.rows["synced"].any())
        assert (client.rows["status"] == Status.BAD).all()
        assert all(math.isnan(mid) for mid in client.rows["mid"])
        assert not any(math.isnan(bid) for bid in client.rows["bid"])  # the top stays, with its age
        venue.wait_until(lambda: venue.opened > 1 and venue.connections > 0)
        venue.wait_for_book()
        venue.move(20)
        client.wait_for_truth()
        assert (client.rows["resyncs"] == 1).all()
        for symbol in client.symbols:
            check_tops(client, symbol)
        assert venue.excesses == []
