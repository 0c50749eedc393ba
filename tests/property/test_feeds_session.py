"""Random stories of a connection: limits are kept, time runs forward, nothing that was lost is forgotten."""

from __future__ import annotations

from itertools import pairwise
from math import inf
from random import Random
from typing import TYPE_CHECKING

from fake_dialect import FakeDialect
from hypothesis import given
from hypothesis import strategies as st

from dolphin_mp.workers.feeds.dialect import Answer, Heartbeat, Leave, Limits, Refused, Subscribed
from dolphin_mp.workers.feeds.rates import Window
from dolphin_mp.workers.feeds.session import Phase, Session
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
    Send,
    Start,
    Stop,
    Tick,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SYMBOLS = ("A", "B", "C")

limits = st.builds(
    Limits,
    sends=st.integers(1, 4),
    sends_within_s=st.sampled_from([0.5, 1.0, 30.0]),
    connects=st.integers(1, 3),
    connects_within_s=st.sampled_from([1.0, 60.0]),
    fetches=st.sampled_from([1, 3, 50]),
    batch=st.integers(1, 3),
    lifetime_s=st.sampled_from([0.0, 300.0]),
)
dialects = st.builds(
    FakeDialect,
    limits,
    st.sampled_from([Heartbeat(), Heartbeat(b"ping", 50.0)]),
    rest=st.booleans(),
    greeting=st.sampled_from([(), (b"hello",)]),
)
symbols = st.sampled_from(SYMBOLS)
numbers = st.integers(-1, 0)  # of the connection of now, and of the one before it
words = st.one_of(
    st.builds(Answer, st.just(b"yes")),
    st.builds(Subscribed, symbols),
    st.builds(Refused, st.one_of(st.none(), symbols), st.just("why"), st.just(False)),
    st.builds(Leave, st.just("bye")),
)
happenings: st.SearchStrategy[Callable[[int], Event]] = st.one_of(
    st.builds(lambda n: lambda now: Connected(now + n), numbers),
    st.builds(
        lambda n, wait_s: lambda now: Closed(now + n, "gone", wait_s), numbers, st.sampled_from([0.0, 9.0])
    ),
    st.builds(lambda n, word: lambda now: Said(now + n, word), numbers, words),
    st.builds(lambda symbol: lambda now: InSync(symbol), symbols),
    st.builds(lambda symbol: lambda now: Lost(symbol), symbols),
    st.builds(
        lambda n, symbol, wait_s: lambda now: Fetched(now + n, symbol, "no", wait_s),
        numbers,
        symbols,
        st.sampled_from([0.0, 9.0]),
    ),
    st.just(lambda now: Tick()),
)
spans = st.sampled_from([0.0, 0.01, 0.3, 4.0, 40.0])
stories = st.lists(st.tuples(spans, st.booleans(), happenings), max_size=40)


class World:
    """A session, its clock, and all that it did."""

    def __init__(self, dialect: FakeDialect, seed: int) -> None:
        self.limits = dialect.LIMITS
        self.connects = Window(self.limits.connects, self.limits.connects_within_s)
        self.session = Session(
            SYMBOLS, dialect, Random(seed), self.connects, Window(self.limits.fetches, 60.0)
        )
        self.now = 0.0
        self.done: list[tuple[float, int, Action]] = []
        self.unanswered = 0
        self.tell(Start())

    def tell(self, event: Event) -> list[Action]:
        was_open = self.session.phase is Phase.OPEN
        actions = self.session.on(event, self.now)
        self.done += [(self.now, self.session.number, action) for action in actions]
        assert self.session.deadline_s() > self.now
        if was_open and self.session.phase is Phase.WAITING:  # whatever ended it, the books are given up
            assert any(isinstance(action, Lose) and action.symbols is None for action in actions)
        return actions

    def pass_time(self, span_s: float, *, heard: bool) -> None:
        """Let time pass, with the alarms that are due in it."""
        end_s = self.now + span_s
        while (due_s := self.session.deadline_s()) <= end_s:
            self.now = due_s
            if heard:
                self.session.heard_s = self.now
            self.tell(Tick())
        self.now = end_s
        if heard:
            self.session.heard_s = self.now

    def times(self, kind: type) -> list[float]:
        return [now for now, _, action in self.done if isinstance(action, kind)]

    def check_limits(self) -> None:
        by_connection: dict[int, list[float]] = {}
        for now, number, action in self.done:
            if isinstance(action, Send):
                by_connection.setdefault(number, []).append(now)
        for times in by_connection.values():
            check(times, self.limits.sends, self.limits.sends_within_s)
        check(self.times(Connect), self.limits.connects, self.limits.connects_within_s)
        check(self.times(Fetch), self.limits.fetches, 60.0)


def check(times: list[float], most: int, within_s: float) -> None:
    """In no stretch of that length are there more."""
    assert all(
        later - earlier >= within_s - 1e-9 for earlier, later in zip(times, times[most:], strict=False)
    )


@given(dialects, stories, st.integers(0, 99))
def test_limits_are_kept_and_time_runs_forward(
    dialect: FakeDialect, story: list[tuple[float, bool, Callable[[int], Event]]], seed: int
) -> None:
    world = World(dialect, seed)
    for span_s, heard, happening in story:
        world.pass_time(span_s, heard=heard)
        world.tell(happening(world.session.number))
    world.pass_time(100.0, heard=True)
    world.check_limits()
    numbers = [action.number for _, _, action in world.done if isinstance(action, Connect)]
    assert numbers == list(range(1, len(numbers) + 1))


@given(dialects, stories, st.integers(0, 99))
def test_a_connection_is_made_only_when_the_one_before_is_gone(
    dialect: FakeDialect, story: list[tuple[float, bool, Callable[[int], Event]]], seed: int
) -> None:
    world = World(dialect, seed)
    gone: set[int] = {0}
    for span_s, heard, happening in story:
        world.pass_time(span_s, heard=heard)
        event = happening(world.session.number)
        if isinstance(event, Closed):
            gone.add(event.number)
        world.tell(event)
    hung_up: set[int] = set()
    for _, _, action in world.done:
        if isinstance(action, Hangup):
            assert action.number not in hung_up
            hung_up.add(action.number)
        elif isinstance(action, Connect):
            assert action.number - 1 in gone | hung_up


@given(dialects, stories, st.integers(0, 99))
def test_after_a_stop_nothing_is_done(
    dialect: FakeDialect, story: list[tuple[float, bool, Callable[[int], Event]]], seed: int
) -> None:
    world = World(dialect, seed)
    for span_s, heard, happening in story[: len(story) // 2]:
        world.pass_time(span_s, heard=heard)
        world.tell(happening(world.session.number))
    stands = world.session.phase in {Phase.CONNECTING, Phase.OPEN}
    assert world.tell(Stop()) == ([Hangup(world.session.number)] if stands else [])
    assert world.session.deadline_s() == inf
    for span_s, _, happening in story[len(story) // 2 :]:
        world.now += span_s
        assert world.session.on(happening(world.session.number), world.now) == []


@given(dialects, stories, st.integers(0, 99))
def test_every_book_comes_at_last_from_a_venue_that_does_what_it_is_asked(
    dialect: FakeDialect, story: list[tuple[float, bool, Callable[[int], Event]]], seed: int
) -> None:
    """Whatever happened before, and although the venue says nothing but books."""
    world = World(dialect, seed)
    for span_s, heard, happening in story:
        world.pass_time(span_s, heard=heard)
        world.tell(happening(world.session.number))
    synced: set[str] = set()
    if world.session.phase is Phase.OPEN:  # a book that nobody would ask for was said to be in sync
        synced = set(SYMBOLS) - {"A"}
        for symbol in synced:
            world.tell(InSync(symbol))
        world.tell(Lost("A"))
    for _ in range(400):
        answer(world, synced, by_rest=bool(dialect.REST_URL))
        if synced == set(SYMBOLS):
            return
        world.pass_time(5.0, heard=world.session.phase is Phase.OPEN)
    raise AssertionError(f"out of sync for ever: {set(SYMBOLS) - synced}")


def answer(world: World, synced: set[str], *, by_rest: bool) -> None:
    """Do all that was asked for on the connection of now, and that was not answered yet."""
    while world.unanswered < len(world.done):
        _, number, action = world.done[world.unanswered]
        world.unanswered += 1
        came: list[str] = []
        match action:
            case Connect() if number == world.session.number:
                world.tell(Connected(number))
            case Hangup():
                synced.clear()
            case Fetch(symbol):
                came = [symbol]
            case Send(payload) if payload.startswith(b"sub ") and not by_rest:
                came = payload.decode().split()[1:]
        for symbol in came if number == world.session.number else ():
            synced.add(symbol)
            world.tell(InSync(symbol))


def test_a_story_is_one_of_growing_times() -> None:
    world = World(FakeDialect(), 1)
    world.pass_time(300.0, heard=False)
    assert all(earlier <= later for (earlier, _, _), (later, _, _) in pairwise(world.done))
    assert len(world.times(Connect)) > 5
