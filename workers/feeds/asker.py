"""What one connection says: answers, pings, and the questions that bring each symbol its book.

Questions keep the venue's limits, and each that is not answered in time, or whose book was lost, is asked
again for that symbol alone. Where the venue sends snapshots on the socket, to be asked again is to be
unsubscribed and subscribed anew; where they come by REST, it is one more fetch while the stream goes on.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING

from dolphin_mp.workers.feeds.rates import Window
from dolphin_mp.workers.feeds.vocabulary import Action, Fetch, Lose, Say, Send
from dolphin_mp.workers.feeds.wants import Stage, Want

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from dolphin_mp.workers.feeds.dialect import Dialect

ANSWER_S = 10.0
"""Within which what was asked for has come, or is asked for again (chosen)."""
FIRST_CHANGE_S = 5.0
"""After which a snapshot is fetched although no change has come yet: the symbol is quiet (chosen)."""
UNEVEN = 1.1
"""What leaves evenly arrives unevenly: a limit's stretch of time is taken for so much longer (chosen)."""
FETCHES = 4
"""Snapshots fetched at once (chosen)."""

UNANSWERED = 128
"""Numbers after which nobody waits for the answer to a question (chosen: most venues' have no number)."""
STRANGERS = 8
"""Symbols that nobody asked for of which the log hears (chosen)."""


class Asker:
    """The questions of one connection after the other.

    Args:
        symbols: what is wanted.
        dialect: the venue's.
        random: decides the jitter.
        fetches: the venue's limit on snapshots by REST.

    Attributes:
        awaited: symbols whose first change is waited for; whoever sees it says `subscribed`.
    """

    def __init__(self, symbols: Sequence[str], dialect: Dialect, random: Random, fetches: Window) -> None:
        self.awaited: set[str] = set()
        self._dialect, self._fetches = dialect, fetches
        self._by_rest = bool(dialect.REST_URL)
        self._strangers: set[str] = set()
        self._wants = {symbol: Want(symbol, random) for symbol in symbols}
        self.end()

    @property
    def has_nothing_left(self) -> bool:
        """Whether all symbols are refused for good."""
        return all(want.stage is Stage.REFUSED for want in self._wants.values())

    def begin(self, now: float) -> None:
        """Begin on a new connection, with what is said first."""
        self._firsts.extend(self._dialect.greet())
        for want in self._wants.values():
            want.begin(now)

    def end(self) -> None:
        """Forget what belonged to a connection."""
        limits = self._dialect.LIMITS
        self._sends = Window(limits.sends, limits.sends_within_s * UNEVEN)
        self._firsts: deque[bytes] = deque()  # answers, pings and greetings
        self._asks: deque[tuple[bytes, list[Want]]] = deque()  # messages, and whose last one it is
        self._number = 0
        self._questions: dict[int, list[str]] = {}  # not answered yet, where answers have the number
        self.awaited.clear()

    def say(self, payload: bytes) -> None:
        """Say this before any further question; once is enough if it has waited since the last time."""
        if payload not in self._firsts:
            self._firsts.append(payload)

    # what is heard of symbols -----------------------------------------------------------------------------

    def subscribed(self, symbol: str, now: float) -> list[Action]:
        """Hear that the venue sends a symbol's changes."""
        want = self._wants.get(symbol)
        if want is None:
            return self._wonder(symbol, f"sends {symbol}, which nobody asked for")
        if want.stage is Stage.ASKED:
            if self._by_rest:
                self._to_fetch(want, now)
            elif want.due_s < inf:
                want.wait(Stage.ASKED, now + ANSWER_S)
        return []

    def brought(self, number: int, symbols: Sequence[str], now: float) -> list[Action]:
        """Hear which of the symbols that a question was for the venue sends."""
        actions = [action for symbol in symbols for action in self.subscribed(symbol, now)]
        for symbol in self._questions.pop(number, ()):
            if symbol not in symbols:
                actions += self.refused(symbol, "it is not among what the venue sends", now, final=True)
        return actions

    def synced(self, symbol: str, now: float) -> None:
        """Hear that a book is in sync."""
        self._wants[symbol].sync(now)
        self.awaited.discard(symbol)

    def lost(self, symbol: str, now: float) -> None:
        """Hear that a book has lost its sync."""
        if self._wants[symbol].stage is Stage.SYNCED:
            self._wants[symbol].again(Stage.TO_FETCH if self._by_rest else Stage.TO_ASK, now)

    def refused(self, symbol: str | None, reason: str, now: float, *, final: bool) -> list[Action]:
        """Hear that the venue does not do what it was asked to, perhaps not saying for whom."""
        if symbol is None:
            for each in self._wants.values():
                if each.stage is Stage.ASKED and each.due_s < inf:
                    self._ask_again(each, now)
            return [Say(f"the venue refuses: {reason}")]
        want = self._wants.get(symbol)
        if want is None:
            return self._wonder(symbol, f"refuses {symbol}, which nobody asked for: {reason}")
        if want.stage is Stage.REFUSED:
            return []
        actions: list[Action] = [Say(f"the venue refuses {symbol}{', for good' * final}: {reason}")]
        if want.stage is Stage.SYNCED:
            actions.append(Lose(f"the venue refuses it: {reason}", (symbol,)))
        self._ask_again(want, now)
        if final:
            want.refuse()
        return actions

    def fetched(self, symbol: str, why: str, now: float) -> list[Action]:
        """Hear that a snapshot has come, or has not. One that helps has been told by `synced` before."""
        want = self._wants[symbol]
        if want.stage is not Stage.FETCHING:
            return []
        want.again(Stage.TO_FETCH, now)
        return [Say(f"no snapshot of {symbol}: {why}")]

    # what is due ------------------------------------------------------------------------------------------

    def due(self, now: float) -> list[Action]:
        """Give what may be said and fetched now."""
        for want in self._wants.values():
            if want.due_s <= now and want.stage is Stage.ASKED:
                if self._by_rest:
                    self._to_fetch(want, now)
                else:
                    self._ask_again(want, now)
            elif want.due_s <= now and want.stage is Stage.FETCHING:
                want.again(Stage.TO_FETCH, now)
        return [*self._say_due(now), *self._fetch_due(now)]

    def deadline_s(self, now: float) -> float:
        """Give when something is due though nothing happens; inf: never."""
        ask_s, fetch_s = self._sends.free_s(now, 1), self._fetches.free_s(now)
        if self._fetching() >= FETCHES:
            fetch_s = inf
        frees = {Stage.TO_ASK: ask_s, Stage.TO_FETCH: fetch_s}
        said_s = self._sends.free_s(now) if self._firsts else ask_s if self._asks else inf
        return min([said_s, *(max(want.due_s, frees.get(want.stage, -inf)) for want in self._wants.values())])

    def _say_due(self, now: float) -> list[Action]:
        """Say what may be said: answers before questions, and always room for one more answer."""
        actions: list[Action] = []
        while self._firsts and self._sends.free_s(now) <= now:
            actions.append(self._said(self._firsts.popleft(), now))
        while not self._firsts and self._sends.free_s(now, 1) <= now and (self._asks or self._ask(now)):
            payload, wants = self._asks.popleft()
            actions.append(self._said(payload, now))
            for want in wants:
                if want.stage is Stage.ASKED:
                    want.due_s = now + (FIRST_CHANGE_S if self._by_rest else ANSWER_S)
        return actions

    def _said(self, payload: bytes, now: float) -> Send:
        self._sends.spend(now)
        return Send(payload)

    def _ask(self, now: float) -> bool:
        """Make the next question; False if there is none."""
        due = [want for want in self._wants.values() if want.stage is Stage.TO_ASK and want.due_s <= now]
        if not due:
            return False
        due.sort(key=lambda want: want.due_s)  # repeated questions delay no first one
        first = due[0]
        together = [want for want in due if not want.alone and want.asked is first.asked]
        wants = [first] if first.alone else together[: self._dialect.LIMITS.batch]
        symbols = [want.symbol for want in wants]
        messages = self._dialect.unsubscribe(symbols, self._next_number()) if first.asked else []
        messages = messages + self._dialect.subscribe(symbols, self._next_number())
        self._questions[self._number] = symbols
        self._questions.pop(self._number - UNANSWERED, None)
        for want in wants:
            want.wait(Stage.ASKED, inf)  # until it is said
            want.asked = True
        if self._by_rest:
            self.awaited.update(symbols)
        self._asks.extend((payload, []) for payload in messages[:-1])
        self._asks.append((messages[-1], wants))
        return True

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _wonder(self, symbol: str, what: str) -> list[Action]:
        """Say once that the venue speaks of a symbol that is none of ours."""
        if symbol in self._strangers or len(self._strangers) >= STRANGERS:
            return []
        self._strangers.add(symbol)
        return [Say(f"the venue {what}")]

    def _ask_again(self, want: Want, now: float) -> None:
        want.again(Stage.TO_ASK, now)
        self.awaited.discard(want.symbol)

    def _to_fetch(self, want: Want, now: float) -> None:
        want.wait(Stage.TO_FETCH, now)
        self.awaited.discard(want.symbol)

    def _fetching(self) -> int:
        return sum(want.stage is Stage.FETCHING for want in self._wants.values())

    def _fetch_due(self, now: float) -> list[Action]:
        due = [want for want in self._wants.values() if want.stage is Stage.TO_FETCH and want.due_s <= now]
        due.sort(key=lambda want: want.due_s)
        actions: list[Action] = []
        for want in due[: max(0, FETCHES - self._fetching())]:
            if self._fetches.free_s(now) <= now:
                self._fetches.spend(now)
                want.wait(Stage.FETCHING, now + ANSWER_S)
                actions.append(Fetch(want.symbol))
        return actions
