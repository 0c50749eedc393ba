"""The venue's side of the network: one server for websockets and REST, on its own event loop.

Everything here runs on that loop; `exchange.venue` is what a test holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections import deque
from typing import TYPE_CHECKING

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from exchange.door import Door
from exchange.line import Line
from exchange.meter import Meter
from exchange.rest import Rest
from exchange.truth import Told, Truth
from exchange.words import Message, Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.http11 import Request, Response

    from exchange.faults import Fault
    from exchange.words import Words

_QUIET = logging.getLogger("exchange")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False
_SENT_AHEAD = 256 * 1024
"""Bytes that the kernel keeps for a client, so that one that does not read is noticed soon."""
_LOOK_S = 0.05
"""How often beats and time-outs are looked at, by the venue's clock in seconds."""


class Exchange:
    """A venue's connections, and what is done to them.

    Attributes:
        hurry: how much faster than the real one the venue's beats and time-outs are.
        lines: the open connections; all_lines: those that ever were.
        heard: what clients said: (connection, text).
        excesses: limits that were exceeded, in words.
        ended: (connection, reason) of those that the venue ended.
        faults: by symbol, for its next updates; snapshot_faults: for its next snapshots on the socket.
        stalls_newcomers: whether connections that are opened are stalled from the beginning.
        backlog: messages that may wait for a client before the venue leaves it.
    """

    def __init__(self, words: Words, hurry: float, changed: Callable[[], None]) -> None:
        self.words, self.hurry, self.changed = words, hurry, changed
        self.truth = Truth()
        self.door = Door(words)
        self.rest = Rest(words, self.truth, changed)
        self.lines: list[Line] = []
        self.all_lines: list[Line] = []
        self.heard: list[tuple[int, str]] = []
        self.excesses: list[str] = []
        self.ended: list[tuple[int, str]] = []
        self.faults: dict[str, deque[Fault]] = {symbol: deque() for symbol in words.markets}
        self.snapshot_faults: dict[str, deque[Fault]] = {symbol: deque() for symbol in words.markets}
        self.stalls_newcomers = False
        self.backlog = 100_000
        self.spoken = Meter(words.limits.messages_by_address)
        self._server: Server | None = None

    async def open(self) -> int:
        """Listen, and give the port."""
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            process_request=self._receive,
            compression=None,
            open_timeout=None,
            close_timeout=0.2,
            ping_interval=self.words.PINGS_S / self.hurry or None,
            logger=_QUIET,
        )
        listener = next(iter(self._server.sockets))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SENT_AHEAD)
        return int(listener.getsockname()[1])

    async def close(self) -> None:
        """End all connections and the server."""
        self.rest.release()
        for line in list(self.lines):
            line.cut()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def tell(self, symbol: str, now_ms: int) -> None:
        """Let a symbol's market tell what happened, and pass it on to whoever subscribed."""
        market = self.words.markets[symbol]
        self.words.now_ms = now_ms
        update = market.tell(now_ms)
        self.truth.note(symbol, update.last_id, update.event_ms, update.top)
        self.truth.trades.setdefault(symbol, []).extend(update.trades)
        waiting = self.faults[symbol]
        fault = waiting.popleft() if waiting else None
        message = Message(update, market.told_bids, market.told_asks)
        for line in list(self.lines):
            for text in self.words.trades(line.peer, update):
                self.put(line, text)
            self._say(line, fault.change(message) if fault else message, fault)

    def put(self, line: Line, text: str) -> None:
        """Send a message, unless the client is too slow."""
        if not line.put(text, self.backlog):
            self._end(line, "slow consumer")

    def _say(self, line: Line, message: Message, fault: Fault | None) -> None:
        update = message.update
        texts = self.words.update(line.peer, message)
        if not texts:
            return
        number = line.numbers[update.symbol] = line.numbers.get(update.symbol, 0) + 1
        as_of = (update.last_id, update.event_ms, update.top, fault.name if fault else "")
        self.truth.told.append(Told(line.peer.number, update.symbol, "update", number, *as_of))
        if fault:
            texts = [each for text in texts for each in fault.carry(text)]
        if fault and fault.hold:
            line.held.setdefault(update.symbol, []).extend(texts)
            return
        for text in (*texts, *line.held.pop(update.symbol, ())):
            self.put(line, text)

    async def _receive(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a REST request, turn a connection away, or let it become a websocket."""
        self.words.now_ms = max(self.words.now_ms, int(time.time() * 1000))
        if "Upgrade" not in request.headers:
            return await self.rest.answer(request.path)
        decision = self.door.decide(request.path, len(self.lines))
        self.changed()
        if decision == 0:
            connection.transport.abort()
            await asyncio.sleep(0)  # the server notices that there is nobody to answer
            return None
        return decision  # type: ignore[return-value]

    async def _serve(self, connection: ServerConnection) -> None:
        """Hear one client until it goes."""
        assert connection.request is not None
        peer = Peer(len(self.all_lines) + 1, connection.request.path)
        line = Line(connection, peer, self.words.limits)
        self.lines.append(line)
        self.all_lines.append(line)
        if self.stalls_newcomers:
            line.stall()
        for text in self.words.greet(peer):
            self.put(line, text)
        self.changed()
        tasks = [asyncio.create_task(line.flow()), asyncio.create_task(self._watch(line))]
        try:
            with contextlib.suppress(ConnectionClosed):
                async for heard in connection:
                    self._hear(line, heard if isinstance(heard, str) else heard.decode(errors="replace"))
                    if peer.farewell:
                        await line.drained()
                        self._end(line, peer.farewell)
        finally:
            self.lines.remove(line)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.changed()

    def _hear(self, line: Line, text: str) -> None:
        """Answer a message, if it is within the limits."""
        now, peer = time.monotonic(), line.peer
        line.heard_at = now
        self.heard.append((peer.number, text))
        excess = line.excess(text, now, subscribes=self.words.subscribes(text))
        if not self.spoken.count(now):
            excess = excess or "messages of all connections"
        if excess:
            self.excesses.append(f"connection {peer.number}: {excess}")
            answers = self.words.too_many(peer)
        else:
            answers = self.words.hear(peer, text)
        limits = self.words.limits
        if limits.channels and len(peer.channels) > limits.channels:
            self.excesses.append(f"connection {peer.number}: more than {limits.channels} channels")
            peer.farewell = "too many channels"
        for text in self._opened(line, answers):
            self.put(line, text)
        self.changed()

    def _opened(self, line: Line, answers: list[str]) -> list[str]:
        """Note the snapshots among answers, and give the answers as faults leave them."""
        peer = line.peer
        carried = {text: [text] for text in answers}
        for symbol, text in peer.opened.items():
            line.numbers[symbol] = 0
            market, waiting = self.words.markets[symbol], self.snapshot_faults[symbol]
            fault = waiting.popleft() if waiting else None
            top = market.top(market.told_bids, market.told_asks)
            as_of = (market.told_id, market.told_ms, top, fault.name if fault else "")
            self.truth.told.append(Told(peer.number, symbol, "snapshot", 0, *as_of))
            if fault:
                carried[text] = fault.carry(text)
        peer.opened.clear()
        return [each for text in answers for each in carried[text]]

    async def _watch(self, line: Line) -> None:
        """Say the venue's beats, and leave a client that is silent for too long."""
        words, peer = self.words, line.peer
        beat_at = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_S / self.hurry)
            now = time.monotonic()
            every_s = (peer.beat_s or words.BEAT_S) / self.hurry
            if every_s and now - beat_at >= every_s:
                beat_at = now
                for text in words.beat(peer, (now - line.spoke_at) * self.hurry):
                    self.put(line, text)
            late_s = words.SUBSCRIBE_WITHIN_S / self.hurry
            if late_s and not peer.channels and now - line.opened_at > late_s:
                peer.farewell = "nothing subscribed"
            silent_s = words.PING_WITHIN_S / self.hurry
            if silent_s and now - line.heard_at > silent_s:
                peer.farewell = "no ping"
            if peer.farewell:
                self._end(line, peer.farewell)
                return

    def _end(self, line: Line, reason: str) -> None:
        self.ended.append((line.peer.number, reason))
        line.cut()
        self.changed()
