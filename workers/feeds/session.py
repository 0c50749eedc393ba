"""One connection's life as a state machine: what happens and a clock in, what is to be done out.

It connects, greets, subscribes within the venue's limits, and watches: a connection that is silent is left,
one that will be ended by the venue is left before, one that was lost comes again after a delay. It knows of
each symbol whether its book is in sync, and asks for those that are not, one by one, until they are; the
others are not touched. It reads no clock and touches no socket: all times are the caller's, in seconds.

    IDLE --Start--> WAITING --due--> CONNECTING --Connected--> OPEN
                       ^---------------------+--- Closed, silence, age, Leave --+
    any --Stop--> STOPPED; OPEN --all symbols refused--> STOPPED
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf
from typing import TYPE_CHECKING

from dolphin_mp.workers.feeds.asker import Asker
from dolphin_mp.workers.feeds.backoff import Backoff
from dolphin_mp.workers.feeds.dialect import Answer, Brings, Leave, Refused, Subscribed, Word
from dolphin_mp.workers.feeds.vocabulary import (
    Action,
    Closed,
    Connect,
    Connected,
    Event,
    Fetched,
    Hangup,
    InSync,
    Lose,
    Lost,
    Said,
    Say,
    Start,
    Stop,
)
from dolphin_mp.workers.feeds.wants import STEADY_S

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from dolphin_mp.workers.feeds.dialect import Dialect
    from dolphin_mp.workers.feeds.rates import Window

CONNECT_S = 15.0
"""Within which a connection stands, or is tried anew (chosen)."""
SILENT_S = 30.0
"""After which a connection that says nothing is left."""
LIFETIME_SHARE = 0.95
"""Of the venue's longest connection, after which it is left: of a day, 72 minutes early (chosen)."""


class Phase(Enum):
    """Where a connection is in its life."""

    IDLE = auto()
    WAITING = auto()
    CONNECTING = auto()
    OPEN = auto()
    STOPPED = auto()


class Session:
    """One connection after the other, for one set of symbols.

    Args:
        symbols: what is wanted; not more than the venue allows on one connection.
        dialect: the venue's.
        random: decides the jitter.
        connects: the venue's limit on connections, shared by all of them.
        fetches: the venue's limit on snapshots by REST, shared likewise.

    Attributes:
        phase: where it is.
        number: of the connection that stands or is being made.
        heard_s: when the venue last said anything; the caller writes it, for that happens often.
    """

    def __init__(
        self, symbols: Sequence[str], dialect: Dialect, random: Random, connects: Window, fetches: Window
    ) -> None:
        self.phase = Phase.IDLE
        self.number = 0
        self.heard_s = 0.0
        self._dialect = dialect
        self._connects, self._fetches = connects, fetches
        self._delays = Backoff(random)
        self._random = random
        self._asker = Asker(symbols, dialect, random, fetches)
        self._now = 0.0
        self._due_s = inf  # of WAITING and CONNECTING
        self._ends_s = self._ping_s = self._steady_s = inf  # of OPEN

    @property
    def awaited(self) -> set[str]:
        """Symbols whose first change is waited for; who sees it says `Subscribed`."""
        return self._asker.awaited

    def on(self, event: Event, now: float) -> list[Action]:
        """Take in what happened; gives what is to be done, in this order."""
        if self.phase is Phase.STOPPED:
            return []
        self._now = now
        return [*self._hear(event, now), *self._advance(now)]

    def deadline_s(self) -> float:
        """Give when something is due though nothing happens, always later than the last event; inf: never."""
        if self.phase is not Phase.OPEN:
            return self._due_s
        asker_s = self._asker.deadline_s(self._now)
        return min(self.heard_s + SILENT_S, self._ends_s, self._ping_s, asker_s)

    # what happened ----------------------------------------------------------------------------------------

    def _hear(self, event: Event, now: float) -> list[Action]:
        if self.phase is Phase.OPEN:
            self._hear_of_book(event, now)
        match event:
            case Start() if self.phase is Phase.IDLE:
                self.phase, self._due_s = Phase.WAITING, now
            case Stop():
                return self._stop()
            case Connected(number) if number == self.number and self.phase is Phase.CONNECTING:
                self._open(now)
            case Closed(number, why, wait_s) if number == self.number:
                self._connects.block(now + wait_s)
                if self.phase in {Phase.CONNECTING, Phase.OPEN}:
                    return self._leave(why, now)[1:]  # there is nothing to hang up
            case Said(number, word) if number == self.number and self.phase is Phase.OPEN:
                return self._heed(word, now)
            case Fetched(number, symbol, why, wait_s):
                self._fetches.block(now + wait_s)
                if number == self.number and self.phase is Phase.OPEN:
                    return self._asker.fetched(symbol, why, now)
        return []

    def _hear_of_book(self, event: Event, now: float) -> None:
        if isinstance(event, InSync):
            self._asker.synced(event.symbol, now)
            self._steady_s = min(self._steady_s, now + STEADY_S)
        elif isinstance(event, Lost):
            self._asker.lost(event.symbol, now)

    def _heed(self, word: Word, now: float) -> list[Action]:
        match word:
            case Answer(payload):
                self._asker.say(payload)
            case Subscribed(symbol):
                return self._asker.subscribed(symbol, now)
            case Brings(number, symbols):
                return self._asker.brought(number, symbols, now)
            case Refused(symbol, reason, final):
                return self._asker.refused(symbol, reason, now, final=final)
            case Leave(reason):
                return self._leave(reason, now, planned=True)
        return []

    def _open(self, now: float) -> None:
        self.phase, self._due_s, self.heard_s = Phase.OPEN, inf, now
        lifetime_s, heartbeat = self._dialect.LIMITS.lifetime_s, self._dialect.HEARTBEAT
        if lifetime_s:  # several connections don't go at once
            self._ends_s = now + LIFETIME_SHARE * self._random.uniform(0.95, 1.0) * lifetime_s
        if heartbeat.ping is not None and heartbeat.every_s:
            self._ping_s = now + heartbeat.every_s
        self._asker.begin(now)

    def _leave(self, why: str, now: float, *, planned: bool = False) -> list[Action]:
        """Hang up first of all, give up the books, and wait for a while."""
        steady = now >= self._steady_s
        if steady:
            self._delays.reset()
        delay_s = self._random.uniform(0.0, 1.0) if planned and steady else self._delays.next_s()
        self.phase, self._due_s = Phase.WAITING, now + delay_s
        self._ends_s = self._ping_s = self._steady_s = inf
        self._asker.end()
        return [
            Hangup(self.number),
            Lose(f"the connection ended: {why}"),
            Say(f"connection ended: {why}; the next one in {delay_s:.1f} s", warning=not planned),
        ]

    def _stop(self) -> list[Action]:
        stands = self.phase in {Phase.CONNECTING, Phase.OPEN}
        self.phase, self._due_s = Phase.STOPPED, inf
        return [Hangup(self.number)] if stands else []

    # what is due ------------------------------------------------------------------------------------------

    def _advance(self, now: float) -> list[Action]:
        match self.phase:
            case Phase.WAITING if self._due_s <= now:
                return self._connect(now)
            case Phase.CONNECTING if self._due_s <= now:
                return self._leave(f"it did not come about within {CONNECT_S:.0f} s", now)
            case Phase.OPEN:
                return self._look_after(now)
        return []

    def _connect(self, now: float) -> list[Action]:
        free_s = self._connects.free_s(now)
        if free_s > now:
            self._due_s = free_s
            return []
        self._connects.spend(now)
        self.number += 1
        self.phase, self._due_s = Phase.CONNECTING, now + CONNECT_S
        return [Connect(self.number)]

    def _look_after(self, now: float) -> list[Action]:
        if self.heard_s + SILENT_S <= now:
            return self._leave(f"nothing was heard for {SILENT_S:.0f} s", now)
        if self._ends_s <= now:
            return self._leave("it is old, and the venue would end it soon", now, planned=True)
        if self._asker.has_nothing_left:
            return [*self._stop(), Say("all symbols are refused for good: nothing is left to ask for")]
        heartbeat = self._dialect.HEARTBEAT
        if self._ping_s <= now and heartbeat.ping is not None:
            self._asker.say(heartbeat.ping)
            self._ping_s = now + heartbeat.every_s
        return self._asker.due(now)
