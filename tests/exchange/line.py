"""One connection's outgoing side: a queue that a task empties, a stall, a client that does not read."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from websockets.exceptions import ConnectionClosed

from exchange.meter import Limits, Meter

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

    from exchange.words import Peer


class Line:
    """A connection of a venue.

    Attributes:
        peer: what the dialect knows of it.
        held: texts by symbol that wait for the symbol's next one.
        numbers: of the last update by symbol, since its snapshot.
        messages, subscribes: what was heard, and what of it subscribed.
        spoke_at: when something was put, by the monotonic clock; heard_at: when something was heard.
    """

    def __init__(self, socket: ServerConnection, peer: Peer, limits: Limits) -> None:
        self.socket = socket
        self.peer = peer
        self.limits = limits
        self.messages, self.subscribes = Meter(limits.messages), Meter(limits.subscribes)
        self.held: dict[str, list[str]] = {}
        self.numbers: dict[str, int] = {}
        self.opened_at = self.spoke_at = self.heard_at = time.monotonic()
        self.stalled = False
        self._over = False
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._written = asyncio.Event()
        self._written.set()

    def excess(self, text: str, now: float, *, subscribes: int) -> str:
        """Count a message that subscribes to so many channels, and say which limit it exceeds, if any."""
        limits = self.limits
        allowed = self.messages.count(now)
        if subscribes and not self.subscribes.count(now):
            return f"more than {limits.subscribes.most} subscriptions in {limits.subscribes.within_s:g} s"
        if not allowed:
            return f"more than {limits.messages.most} messages in {limits.messages.within_s:g} s"
        if limits.message_bytes and len(text) > limits.message_bytes:
            return f"a message of more than {limits.message_bytes} bytes"
        if limits.channels_at_once and subscribes > limits.channels_at_once:
            return f"more than {limits.channels_at_once} channels in one message"
        return ""

    def put(self, text: str, backlog: int) -> bool:
        """Queue a message, and say whether the client keeps up; when stalled or ended it is lost."""
        if self.stalled or self._over:
            return True
        self.spoke_at = time.monotonic()
        self._waiting.put_nowait(text)
        self._written.clear()
        return self._waiting.qsize() <= backlog

    async def flow(self) -> None:
        """Send what is queued, until the connection ends."""
        try:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.socket.send(await self._waiting.get())
                    if self._waiting.empty():
                        self._written.set()
        finally:
            self._over = True
            self._written.set()

    async def drained(self) -> None:
        """Wait until all that was queued is written, or the connection ends."""
        await self._written.wait()

    def stall(self) -> None:
        """Neither read nor write from now on; the connection stays."""
        self.stalled = True
        self.socket.transport.pause_reading()

    def resume(self) -> None:
        """Read and write again; what was to be sent meanwhile is not."""
        self.stalled = False
        with contextlib.suppress(RuntimeError):
            self.socket.transport.resume_reading()

    def cut(self) -> None:
        """End the connection without a word."""
        self._over = True
        self._written.set()
        self.socket.transport.abort()

    async def hang_up(self, code: int, reason: str) -> None:
        """End the connection by a close frame."""
        await self.socket.close(code, reason)
