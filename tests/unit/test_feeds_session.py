from __future__ import annotations

from math import inf
from random import Random
from typing import TYPE_CHECKING

import pytest
from fake_dialect import FakeDialect

from dolphin_mp.workers.feeds.dialect import Answer, Brings, Heartbeat, Leave, Limits, Refused, Subscribed
from dolphin_mp.workers.feeds.rates import Window
from dolphin_mp.workers.feeds.session import CONNECT_S, SILENT_S, Phase, Session
from dolphin_mp.workers.feeds.vocabulary import (
    Action,
    Closed,
    Connect,
    Connected,
    Event,
    Fetch,
    Fetched,
    Hangup,
    InSync,
    Lose,
    Lost,
    Said,
    Say,
    Send,
    Start,
    Stop,
    Tick,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

SLOW = Limits(sends=2, sends_within_s=10.0, connects=2, connects_within_s=100.0, batch=2)


def made(symbols: Sequence[str] = ("A", "B"), dialect: FakeDialect | None = None) -> Session:
    dialect = dialect or FakeDialect()
    limits = dialect.LIMITS
    connects = Window(limits.connects, limits.connects_within_s)
    return Session(symbols, dialect, Random(1), connects, Window(limits.fetches, 60.0))


def opened(symbols: Sequence[str] = ("A", "B"), dialect: FakeDialect | None = None) -> Session:
    """A session whose connection stands at 0 s, all symbols asked for."""
    session = made(symbols, dialect)
    session.on(Start(), 0.0)
    session.on(Connected(1), 0.0)
    return session


def synced(symbols: Sequence[str] = ("A", "B"), dialect: FakeDialect | None = None) -> Session:
    """The same, with all books in sync at 1 s."""
    session = opened(symbols, dialect)
    for symbol in symbols:
        session.on(InSync(symbol), 1.0)
    return session


def sent(actions: list[Action]) -> list[bytes]:
    return [action.payload for action in actions if isinstance(action, Send)]


def fetched(actions: list[Action]) -> list[str]:
    return [action.symbol for action in actions if isinstance(action, Fetch)]


def run(session: Session, until_s: float) -> list[tuple[float, Action]]:
    """Let time pass, with something heard all the while."""
    done: list[tuple[float, Action]] = []
    while (now := session.deadline_s()) <= until_s:
        session.heard_s = now
        done += [(now, action) for action in session.on(Tick(), now)]
    return done


def until_done(session: Session) -> float:
    """Let time pass until something is done; gives when."""
    while not at(session, Tick(), now := session.deadline_s()):
        pass
    return now


def at(session: Session, event: Event, now: float) -> list[Action]:
    """Tell something at a time at which the venue speaks."""
    session.heard_s = now
    return session.on(event, now)


def assert_grown(delays: list[float], most: list[float]) -> None:
    assert all(bound / 2 <= delay <= bound for delay, bound in zip(delays, most, strict=True)), delays


def test_it_connects_at_once_and_subscribes_when_connected() -> None:
    session = made()
    assert session.on(Start(), 5.0) == [Connect(1)]
    assert sent(session.on(Connected(1), 6.0)) == [b"sub A B"]
    assert session.phase is Phase.OPEN


def test_a_greeting_comes_first() -> None:
    session = made(dialect=FakeDialect(greeting=[b"hello", b"beat"]))
    session.on(Start(), 0.0)
    assert sent(session.on(Connected(1), 0.0)) == [b"hello", b"beat", b"sub A B"]


def test_subscriptions_come_in_batches_within_the_limit_of_sends() -> None:
    symbols = [f"S{number}" for number in range(7)]
    session = made(symbols, FakeDialect(SLOW))
    session.on(Start(), 0.0)
    assert sent(session.on(Connected(1), 0.0)) == [b"sub S0 S1"]  # one more is kept for an answer
    times = [(now, action.payload) for now, action in run(session, 35.0) if isinstance(action, Send)]
    assert [payload for _, payload in times] == [b"sub S2 S3", b"sub S4 S5", b"sub S6"]
    assert [now for now, _ in times] == pytest.approx([11.0, 22.0, 33.0])


def test_an_answer_is_given_at_once_and_before_any_question() -> None:
    session = made([f"S{number}" for number in range(5)], FakeDialect(SLOW))
    session.on(Start(), 0.0)
    session.on(Connected(1), 0.0)
    assert sent(session.on(Said(1, Answer(b"here")), 0.5)) == [b"here"]
    assert sent(session.on(Said(1, Answer(b"still here")), 0.6)) == []  # the limit holds for answers too
    done = run(session, 12.0)
    assert [action.payload for _, action in done if isinstance(action, Send)][:1] == [b"still here"]


def test_what_does_not_come_in_time_is_asked_for_alone() -> None:
    session = opened(("A", "B"))
    session.on(InSync("A"), 1.0)
    done = run(session, 12.0)
    assert [action for _, action in done] == [Send(b"unsub B"), Send(b"sub B")]
    assert 10.5 <= done[0][0] <= 11.0  # ten seconds, then half a second to one


def test_an_acknowledgement_grants_the_snapshot_as_much_time_again() -> None:
    session = opened(("A",))
    session.on(Said(1, Subscribed("A")), 8.0)
    assert run(session, 17.9) == []
    assert sent([action for _, action in run(session, 19.0)]) == [b"unsub A", b"sub A"]


def test_delays_of_a_symbol_grow_and_end_when_it_was_in_sync_for_long() -> None:
    session = synced(("A", "B"))
    delays = []
    now = 2.0
    for _ in range(9):
        at(session, Lost("A"), now)
        due = until_done(session)
        delays.append(due - now)
        now = due + 1.0
        at(session, InSync("A"), now)
        now += 1.0
    assert_grown(delays, [1, 2, 4, 8, 16, 32, 60, 60, 60])
    assert sent(at(session, Lost("A"), now + 61.0)) == [b"unsub A", b"sub A"]


def test_a_lost_book_touches_no_other() -> None:
    session = synced(("A", "B"))
    assert at(session, Lost("A"), 40.0) == []
    done = [action for _, action in run(session, 45.0)]
    assert done == [Send(b"unsub A"), Send(b"sub A")]


def test_books_that_were_lost_together_are_asked_for_together() -> None:
    session = synced(("A", "B"), FakeDialect(SLOW))
    for symbol in ("A", "B"):
        at(session, Lost(symbol), 5.0)
    done = sent([action for _, action in run(session, 30.0)])
    assert done[:2] == [b"unsub A B", b"sub A B"]


def test_silence_is_left_and_comes_again() -> None:
    session = synced()
    session.heard_s = 3.0
    assert session.deadline_s() == 3.0 + SILENT_S
    hangup, lose, say = session.on(Tick(), 33.0)
    assert hangup == Hangup(1)
    assert isinstance(lose, Lose)
    assert lose.symbols is None
    assert isinstance(say, Say)
    due = session.deadline_s()
    assert 33.5 <= due <= 34.0
    assert session.on(Tick(), due) == [Connect(2)]


def test_every_book_is_asked_for_anew_after_a_reconnect() -> None:
    session = synced()
    session.on(Closed(1, "gone"), 2.0)
    session.on(Tick(), session.deadline_s())
    assert sent(session.on(Connected(2), 5.0)) == [b"sub A B"]  # nothing to unsubscribe from there


def test_a_connection_that_does_not_come_about_is_given_up() -> None:
    session = made()
    session.on(Start(), 0.0)
    assert session.deadline_s() == CONNECT_S
    assert session.on(Tick(), CONNECT_S)[0] == Hangup(1)


def test_delays_between_connections_grow_and_end_when_one_was_steady() -> None:
    session = made(dialect=FakeDialect(Limits(sends=9, sends_within_s=1, connects=0, connects_within_s=1)))
    session.on(Start(), 0.0)
    now, delays = 0.0, []
    for number in range(1, 9):
        session.on(Closed(number, "refused"), now)
        delays.append(session.deadline_s() - now)
        now = session.deadline_s()
        session.on(Tick(), now)
    assert_grown(delays, [1, 2, 4, 8, 16, 32, 60, 60])
    session.on(Connected(9), now)
    session.on(InSync("A"), now)
    session.heard_s = now + 60.0
    session.on(Closed(9, "reset"), now + 60.0)
    assert session.deadline_s() - (now + 60.0) <= 1.0


def test_connections_keep_their_limit_and_what_the_venue_wants() -> None:
    session = made(dialect=FakeDialect(SLOW))
    session.on(Start(), 0.0)
    session.on(Closed(1, "refused"), 0.0)
    session.on(Tick(), session.deadline_s())
    session.on(Closed(2, "HTTP 429", wait_s=300.0), 3.0)
    session.on(Tick(), session.deadline_s())
    assert session.deadline_s() == 303.0
    session = made(dialect=FakeDialect(SLOW))
    session.on(Start(), 0.0)
    session.on(Closed(1, "refused"), 0.0)
    session.on(Tick(), session.deadline_s())
    session.on(Closed(2, "refused"), 3.0)
    assert session.on(Tick(), session.deadline_s()) == []
    assert session.deadline_s() == 100.0  # the first of two in a hundred seconds is forgotten then


def test_a_connection_is_left_before_the_venue_ends_it() -> None:
    limits = Limits(sends=9, sends_within_s=1, connects=0, connects_within_s=1, lifetime_s=86_400.0)
    session = synced(dialect=FakeDialect(limits))
    (when, hangup), _, (_, say), (again, connect), *_ = run(session, 86_400.0)
    assert 0.9 * 86_400 <= when <= 0.95 * 86_400
    assert hangup == Hangup(1)
    assert say == Say(say.line, warning=False)  # type: ignore[union-attr] # it is planned
    assert (again - when <= 1.0, connect) == (True, Connect(2))


def test_a_venue_that_says_it_ends_is_left() -> None:
    session = synced()
    assert session.on(Said(1, Leave("upgrade")), 5.0)[0] == Hangup(1)
    assert session.phase is Phase.WAITING


def test_pings_are_said_in_their_time() -> None:
    session = synced(dialect=FakeDialect(heartbeat=Heartbeat(b"ping", 20.0)))
    done = [(now, action) for now, action in run(session, 65.0) if isinstance(action, Send)]
    assert done == [(20.0, Send(b"ping")), (40.0, Send(b"ping")), (60.0, Send(b"ping"))]


def test_a_symbol_refused_for_good_is_reported_once_and_not_asked_for_again() -> None:
    session = opened()
    session.on(InSync("A"), 1.0)
    said = session.on(Said(1, Refused("B", "unknown", final=True)), 1.0)
    assert [action.line for action in said if isinstance(action, Say)] == [
        "the venue refuses B, for good: unknown"
    ]
    assert session.on(Said(1, Refused("B", "unknown", final=True)), 2.0) == []
    assert run(session, 500.0) == []
    session.on(Closed(1, "gone"), 501.0)
    session.on(Tick(), session.deadline_s())
    assert sent(session.on(Connected(2), 505.0)) == [b"sub A"]


def test_a_symbol_refused_for_now_is_asked_for_later() -> None:
    session = opened()
    session.on(InSync("A"), 1.0)
    session.on(Said(1, Refused("B", "busy", final=False)), 1.0)
    assert sent([action for _, action in run(session, 3.0)]) == [b"unsub B", b"sub B"]


def test_a_refusal_without_a_name_has_each_asked_for_alone() -> None:
    session = opened(("A", "B"))
    session.on(Said(1, Refused(None, "something is wrong", final=True)), 1.0)
    done = sent([action for _, action in run(session, 5.0)])
    assert sorted(done) == [b"sub A", b"sub B", b"unsub A", b"unsub B"]


def test_a_book_that_is_refused_while_it_is_in_sync_is_lost() -> None:
    session = synced()
    actions = session.on(Said(1, Refused("A", "delisted", final=True)), 5.0)
    assert Lose("the venue refuses it: delisted", ("A",)) in actions


def test_where_all_is_refused_there_is_nothing_left_to_do() -> None:
    session = opened(("A",))
    actions = session.on(Said(1, Refused("A", "unknown", final=True)), 1.0)
    assert Hangup(1) in actions
    assert session.deadline_s() == inf
    assert session.on(Tick(), 2.0) == []


FETCHING = Limits(sends=9, sends_within_s=1, connects=0, connects_within_s=1, fetches=3)


def test_a_snapshot_is_fetched_after_the_first_change() -> None:
    session = opened(("A", "B"), FakeDialect(FETCHING, rest=True))
    assert session.awaited == {"A", "B"}
    assert fetched(session.on(Said(1, Subscribed("A")), 0.2)) == ["A"]
    assert session.awaited == {"B"}


def test_a_quiet_symbols_snapshot_is_fetched_all_the_same() -> None:
    session = opened(("A",), FakeDialect(FETCHING, rest=True))
    assert [(now, action) for now, action in run(session, 6.0)] == [(5.0, Fetch("A"))]


def test_a_lost_book_is_fetched_again_and_the_stream_goes_on() -> None:
    session = synced(("A", "B"), FakeDialect(FETCHING, rest=True))
    session.on(Lost("A"), 2.0)
    (when, action), *rest = run(session, 5.0)
    assert (2.5 <= when <= 3.0, action, rest) == (True, Fetch("A"), [])


def test_fetches_keep_their_limit() -> None:
    symbols = [f"S{number}" for number in range(6)]
    session = opened(symbols, FakeDialect(FETCHING, rest=True))
    done = []
    for symbol in symbols:
        done += fetched(session.on(Said(1, Subscribed(symbol)), 0.1))
    assert done == symbols[:3]
    for symbol in done:
        session.on(InSync(symbol), 0.2)
    later = [(now, action.symbol) for now, action in run(session, 61.0) if isinstance(action, Fetch)]
    assert later == [(pytest.approx(60.1), symbol) for symbol in symbols[3:]]


def test_a_fetch_that_fails_is_tried_again_and_one_unanswered_too() -> None:
    session = opened(("A",), FakeDialect(FETCHING, rest=True))
    session.on(Said(1, Subscribed("A")), 0.0)
    said = session.on(Fetched(1, "A", "HTTP 503"), 1.0)
    assert said == [Say("no snapshot of A: HTTP 503")]
    (when, action), *_ = run(session, 3.0)
    assert (1.5 <= when <= 2.0, action) == (True, Fetch("A"))
    (again, action), *_ = run(session, 15.0)
    assert (when + 11.0 <= again <= when + 12.0, action) == (True, Fetch("A"))


def test_a_venue_that_turns_fetches_away_is_left_alone_for_as_long_as_it_says() -> None:
    session = opened(("A",), FakeDialect(FETCHING, rest=True))
    session.on(Said(1, Subscribed("A")), 0.0)
    session.on(Fetched(1, "A", "HTTP 429", 25.0), 1.0)
    assert [(now, action) for now, action in run(session, 30.0)] == [(26.0, Fetch("A"))]


def test_what_belongs_to_an_earlier_connection_is_no_news() -> None:
    session = synced(("A",), FakeDialect(rest=True))
    session.on(Closed(1, "gone"), 2.0)
    session.on(Tick(), session.deadline_s())
    session.on(Connected(2), 5.0)
    for event in (Closed(1, "late"), Connected(1), Said(1, Leave("late")), Fetched(1, "A", "late")):
        assert session.on(event, 6.0) == []
    assert session.phase is Phase.OPEN


def test_after_a_stop_nothing_is_done() -> None:
    session = synced()
    assert session.on(Stop(), 5.0) == [Hangup(1)]
    for event in (Tick(), Lost("A"), Closed(1, "gone"), Start(), Connected(2), Stop()):
        assert session.on(event, 100.0) == []
    assert session.deadline_s() == inf


def test_what_was_to_be_said_on_a_lost_connection_is_not_said_on_the_next() -> None:
    session = made([f"S{number}" for number in range(3)], FakeDialect(SLOW))
    session.on(Start(), 0.0)
    session.on(Connected(1), 0.0)
    session.on(Said(1, Answer(b"one")), 0.1)
    assert sent(session.on(Said(1, Answer(b"two")), 0.2)) == []
    session.on(Closed(1, "gone"), 0.3)
    session.on(Tick(), session.deadline_s())
    assert sent(session.on(Connected(2), 3.0)) == [b"sub S0 S1"]  # and the limit is the connection's


def test_answers_about_a_symbol_that_nobody_asked_for_are_reported_once() -> None:
    session = opened(("A",))
    line = Say("the venue refuses Z, which nobody asked for: unknown")
    assert session.on(Said(1, Refused("Z", "unknown", final=True)), 1.0) == [line]
    assert session.on(Said(1, Refused("Z", "unknown", final=True)), 2.0) == []
    assert session.on(Said(1, Subscribed("Y")), 3.0) == [Say("the venue sends Y, which nobody asked for")]
    others = [f"X{number}" for number in range(100)]
    assert sum(len(session.on(Said(1, Subscribed(other)), 4.0)) for other in others) < 10


def test_what_an_answer_does_not_list_is_refused_for_good_and_named() -> None:
    session = opened(("A", "B", "C"))
    actions = session.on(Said(1, Brings(1, ("A", "C"))), 1.0)
    assert actions == [Say("the venue refuses B, for good: it is not among what the venue sends")]
    assert session.on(Said(1, Brings(1, ())), 2.0) == []  # it was answered
    asked = [action for at in range(3, 60) for action in session.on(Tick(), float(at))]
    assert not any(b"B" in action.payload for action in asked if isinstance(action, Send))


def test_questions_whose_answers_have_no_number_are_not_kept_for_ever() -> None:
    session = opened(("A",))
    for at in range(10, 40_000, 20):
        session.heard_s = float(at)
        session.on(Tick(), float(at))
    assert 0 < len(session._asker._questions) <= 128
