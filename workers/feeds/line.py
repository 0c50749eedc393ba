"""One connection: its socket, HTTP and clocks to its session, what comes of it to its market.

Nothing is decided here: the session says what to do. Each connection has a market of its own, so that what
befalls one touches no book of another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from dolphin_mp.workers.books.events import BadMessageError, Numbered, Opened
from dolphin_mp.workers.books.market import Market
from dolphin_mp.workers.feeds import fetch, recorder, sockets
from dolphin_mp.workers.feeds.dialect import Leave, Refused, Subscribed
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
    Say,
    Send,
    Start,
    Stop,
    Tick,
)

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Sequence
    from random import Random

    from dolphin_mp.workers.books.venues import Venue
    from dolphin_mp.workers.feeds.clock import FeedClock
    from dolphin_mp.workers.feeds.dialect import Dialect
    from dolphin_mp.workers.feeds.rates import Window
    from dolphin_mp.workers.feeds.recorder import Recorder

REPLIES = "http.0"
"""What the recording of REST replies is called."""
RENEW_S = 300.0
"""A connection's age before which it is not made anew for the sake of a recording (chosen)."""
UNASKED_WAIT_S = {418: 300.0, 429: 60.0}
"""Granted to a server that turns requests away and doesn't say for how long (chosen)."""


class Place(NamedTuple):
    """Where a venue is spoken to."""

    venue: Venue
    dialect: Dialect
    ws_url: str
    rest_url: str


class Common(NamedTuple):
    """What the connections of a feed have in common.

    Attributes:
        place: where the venue is.
        clock: the feed's.
        connects: the venue's limit on connections.
        fetches: the venue's limit on snapshots by REST.
        recorder: what records them; None: nothing does.
        log: hears what happens to connections and books.
        random: decides the jitter.
        standing: which connections stand.
    """

    place: Place
    clock: FeedClock
    connects: Window
    fetches: Window
    recorder: Recorder | None
    log: logging.Logger
    random: Random
    standing: set[str]


class Line:
    """One connection after the other, with its session and its market.

    Args:
        symbols: whose books are kept.
        stream: what its recording is called.
        common: what it shares with the others.
        changed: hears of each change of a top, as a row of `record.UPDATE`.

    Attributes:
        market: its books.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        stream: str,
        common: Common,
        changed: Callable[[tuple[Any, ...]], None] | None = None,
    ) -> None:
        self._stream, self._common, self._log = stream, common, common.log
        self._place, self._clock = common.place, common.clock
        rules = common.place.venue.RULES
        self.market = Market(symbols, rules, report=common.log.warning, changed=changed, turned=self._turned)
        self._session = Session(symbols, common.place.dialect, common.random, common.connects, common.fetches)
        self._events: deque[Event] = deque()
        self._is_busy = False
        self._alarm: asyncio.TimerHandle | None = None
        self._socket: asyncio.Task[None] | None = None
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self._stood_s = 0.0

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Live until cancelled; tasks are started in the group, which ends them with this one."""
        self._group, self._loop = group, asyncio.get_running_loop()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._tell(Start())
        try:
            await self._end
        finally:
            self._tell(Stop())

    def renew(self) -> None:
        """Make the connection anew if the recording needs new snapshots, but not one that is young."""
        assert self._common.recorder is not None
        why = self._common.recorder.renewals.due().get(self._stream)
        if why and self._session.phase is Phase.OPEN and self._loop.time() >= self._stood_s + RENEW_S:
            self._tell(Said(self._session.number, Leave(why)))

    # the session ------------------------------------------------------------------------------------------

    def _tell(self, event: Event) -> None:
        """Tell the session, do what it says, and see to it that it is asked again in time."""
        self._events.append(event)
        if self._is_busy:
            return
        self._is_busy = True
        try:
            while self._events:
                for action in self._session.on(self._events.popleft(), self._loop.time()):
                    self._do(action)
        finally:
            self._is_busy = False
        self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        due_s = self._session.deadline_s()
        self._alarm = self._loop.call_at(due_s, self._ring) if due_s < float("inf") else None

    def _ring(self) -> None:
        try:
            self._tell(Tick())
        except Exception as error:  # noqa: BLE001 - a loop's callback would only have it logged
            if not self._end.done():
                self._end.set_exception(error)

    def _do(self, action: Action) -> None:
        match action:
            case Connect(number):
                self._outgoing = asyncio.Queue()
                self._socket = self._group.create_task(self._converse(number, self._outgoing))
            case Send(payload):
                self._send(payload)
            case Fetch(symbol):
                self._group.create_task(self._fetch(symbol, self._session.number))
            case Hangup():
                if self._socket is not None:
                    self._socket.cancel()
            case Lose(why, symbols):
                if symbols is None:
                    self._common.standing.discard(self._stream)
                self.market.begin_anew(symbols or self.market.symbols, why)
            case Say(line, warning):
                (self._log.warning if warning else self._log.info)("%s", line)

    def _turned(self, symbol: str, synced: bool) -> None:
        self._tell(InSync(symbol) if synced else Lost(symbol))

    def _send(self, payload: bytes) -> None:
        """Say something; what is subscribed to begins anew, as a replay will have it."""
        self._note(recorder.sent, self._place.ws_url, self._clock.now_ns(), payload)
        asked = self._place.venue.symbols_sent(payload)
        self.market.begin_anew(asked, "it is subscribed to anew")
        self._outgoing.put_nowait(payload)

    def _note(self, line: Callable[..., bytes], *parts: Any) -> None:
        if self._common.recorder is not None:
            stream = REPLIES if line is recorder.reply else self._stream
            self._common.recorder.note(stream, line(*parts))

    # the socket -------------------------------------------------------------------------------------------

    async def _converse(self, number: int, outgoing: asyncio.Queue[bytes]) -> None:
        """Connect, and hear and say what there is until the connection ends."""
        from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

        wait_s, speaker = 0.0, None
        try:
            socket = await sockets.connect(self._place.ws_url)
            try:
                self._stand(number)
                speaker = self._group.create_task(sockets.speak(socket, outgoing))
                while True:
                    self._hear(number, await socket.recv(decode=False))
            finally:
                if speaker is not None:
                    speaker.cancel()
                try:
                    await socket.close()
                finally:
                    socket.transport.abort()  # who is cancelled twice does not wait for manners
        except InvalidStatus as error:
            status = error.response.status_code
            wait_s = _wait_s(status, fetch.retry_after(error.response.headers.get("Retry-After")))
            why = f"HTTP {status} instead of a websocket"
        except ConnectionClosed as error:
            why = f"the venue closed it ({error})"
        except (OSError, WebSocketException) as error:
            why = str(error) or type(error).__name__
        self._tell(Closed(number, why, wait_s))

    def _stand(self, number: int) -> None:
        if not self._common.standing:
            self._clock.set()
        self._common.standing.add(self._stream)
        self._stood_s = self._loop.time()
        if self._common.recorder is not None:
            self._common.recorder.begin(self._stream, self.market.symbols)
        self._note(recorder.connected, self._place.ws_url, self._clock.now_ns())
        self._log.info("connected to %s", self._place.ws_url)
        self._tell(Connected(number))

    def _hear(self, number: int, payload: bytes) -> None:
        if number != self._session.number or self._session.phase is not Phase.OPEN:
            return  # it was given up while this was under way
        now_ns, market = self._clock.now_ns(), self.market
        self._session.heard_s = self._loop.time()
        market.heard_ns = now_ns
        self._note(recorder.received, now_ns, payload)
        try:
            events = self._place.venue.parse(payload)
        except BadMessageError as error:
            market.note_bad(error)
            return
        for event in events:
            market.take(event, now_ns)
            if event.symbol in self._session.awaited:
                self._tell(Said(number, Subscribed(event.symbol)))
        if not events or (
            len(events) == 1 and isinstance(events[0], (Numbered, Opened))
        ):  # nothing of a book
            for word in self._place.dialect.hear(payload):
                self._tell(Said(number, word))

    # snapshots by REST ------------------------------------------------------------------------------------

    async def _fetch(self, symbol: str, number: int) -> None:
        url = self._place.dialect.snapshot_url(self._place.rest_url, symbol)
        try:
            reply = await fetch.get(url, sockets.tls() if url.startswith("https:") else None)
        except (OSError, fetch.BadReplyError) as error:
            self._tell(Fetched(number, symbol, str(error) or type(error).__name__))
            return
        if number != self._session.number or self._session.phase is not Phase.OPEN:
            return
        if reply.status != 200:
            self._take_status(symbol, number, reply)
            return
        why = self._take_snapshot(symbol, url, reply.body)
        self._tell(Fetched(number, symbol, why))

    def _take_status(self, symbol: str, number: int, reply: fetch.Reply) -> None:
        words = self._place.dialect.hear(reply.body) if reply.status in {400, 404} else ()
        for word in words:
            if isinstance(word, Refused):
                self._tell(Said(number, Refused(symbol, word.reason, word.final)))
        wait_s = _wait_s(reply.status, reply.wait_s)
        self._tell(Fetched(number, symbol, f"HTTP {reply.status}", wait_s))

    def _take_snapshot(self, symbol: str, url: str, body: bytes) -> str:
        """Take up a snapshot; gives what is wrong with it."""
        now_ns, market = self._clock.now_ns(), self.market
        self._note(recorder.reply, url, now_ns, body)
        try:
            snapshot = self._place.venue.parse_reply(url, body)
        except BadMessageError as error:
            market.note_bad(error)
            return str(error)
        if snapshot is None:
            return "the reply is none"
        market.take(snapshot, now_ns)
        book = market.book(symbol)
        return "" if book.synced else f"it is no help: {book.fault}"


def _wait_s(status: int, said_s: float) -> float:
    return said_s or UNASKED_WAIT_S.get(status, 0.0)
