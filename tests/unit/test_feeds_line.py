from __future__ import annotations

import logging
from random import Random
from types import SimpleNamespace
from typing import Any

from fake_dialect import FakeDialect

from dolphin_mp.workers.books.events import Snapshot
from dolphin_mp.workers.books.venues import VENUES
from dolphin_mp.workers.feeds.clock import FeedClock
from dolphin_mp.workers.feeds.line import Common, Line, Place
from dolphin_mp.workers.feeds.rates import Window


def made() -> Line:
    """A line whose loop is nobody's."""
    place = Place(VENUES["deribit"], FakeDialect(), "ws://venue", "")
    log = logging.getLogger("line")
    window = Window(0, 1.0)
    line: Any = Line(
        ["A", "B"], "ws.1", Common(place, FeedClock(), window, window, None, log, Random(1), set())
    )
    line._loop = SimpleNamespace(time=lambda: 0.0, call_at=lambda *_: SimpleNamespace(cancel=lambda: None))
    for symbol in ("A", "B"):
        line.market.take(Snapshot(symbol, 1, 0, [(1.0, 1.0)], [(2.0, 1.0)]), 1)
    return line


def test_a_book_begins_anew_when_its_subscription_is_sent() -> None:
    line = made()
    line._send(b'{"method":"public/subscribe","params":{"channels":["book.A.raw"]}}')
    assert [line.market.book(symbol).synced for symbol in ("A", "B")] == [False, True]


def test_what_a_given_up_connection_still_says_is_not_heard() -> None:
    line = made()
    line._hear(0, b"garbage")
    assert line.market.book("A").n_bad == 0
