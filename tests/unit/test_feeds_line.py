from __future__ import annotations

import logging
import time
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fake_dialect import FakeDialect

from dolphin_mp.workers.books.events import Snapshot
from dolphin_mp.workers.books.venues import VENUES
from dolphin_mp.workers.feeds.clock import FeedClock
from dolphin_mp.workers.feeds.line import RENEW_S, Common, Line, Place
from dolphin_mp.workers.feeds.live import Feed
from dolphin_mp.workers.feeds.rates import Window
from dolphin_mp.workers.feeds.recorder import Recorder
from dolphin_mp.workers.feeds.session import Phase

if TYPE_CHECKING:
    from pathlib import Path


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


def test_a_recordings_times_go_on_where_the_last_one_ended_though_the_clock_was_set_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ends_s = int(time.time()) + 5_000
    (tmp_path / "DERIBIT.ws.1.0").write_text(f"wss://venue <-> {ends_s}.0\n{ends_s}.5: {{}}\n")
    place = Place(VENUES["deribit"], FakeDialect(), "ws://venue", "")
    make_recorder = partial(
        Recorder, tmp_path, "DERIBIT", file_bytes=1000, total_bytes=9000, report=lambda line: None
    )
    feed = Feed(place, ["A"], log=logging.getLogger("feed"), make_recorder=make_recorder)
    assert feed._clock.now_ns() > ends_s * 1_000_000_000 + 500_000_000
    assert "behind the end of the recording" in caplog.text


def test_what_a_given_up_connection_still_says_is_not_heard() -> None:
    line = made()
    line._hear(0, b"garbage")
    assert line.market.book("A").n_bad == 0


@pytest.mark.parametrize(("age_s", "leaves"), [(RENEW_S - 1.0, False), (RENEW_S, True)])
def test_a_recording_makes_no_young_connection_anew(age_s: float, leaves: bool) -> None:
    line: Any = made()
    due = {"ws.1": "a gap"}
    line._common = line._common._replace(
        recorder=SimpleNamespace(renewals=SimpleNamespace(due=lambda: due), note=lambda *_: None)
    )
    line._loop.time = lambda: age_s
    line._session.phase, line._session.heard_s = Phase.OPEN, age_s
    line.renew()
    assert (line._session.phase is Phase.WAITING) is leaves
    assert line.market.book("A").synced is not leaves
    line._session.phase = Phase.OPEN
    due.clear()
    line.renew()
    assert line._session.phase is Phase.OPEN
