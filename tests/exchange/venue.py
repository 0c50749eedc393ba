"""A venue as a test holds it: the server in a thread of its own, orders to it, and what it knows.

with Venue("kraken", ["BTC/USD", "ETH/USD"], seed=7) as venue:
    ...  # a client connects to venue.url, and to venue.rest_url
    venue.wait_for_book("BTC/USD")
    venue.move(100)
    venue.lose("BTC/USD")
    venue.move(1)
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Self

from exchange.faults import FAULTS
from exchange.market import Market
from exchange.rest import RestFault
from exchange.server import Exchange
from exchange.thread import WITHIN_S, LoopThread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from exchange.meter import Limits
    from exchange.truth import Truth
    from exchange.words import Words


class Venue:
    """A local venue; leaving the context ends all of it.

    Attributes:
        url, rest_url: addresses without and with no path of REST: as the dialect's own begin.
        symbols: those that it trades.
        truth: tops, trades, and what was told of them.
        words: its dialect, with the markets.
    """

    def __init__(
        self,
        words: type[Words],
        symbols: Sequence[str],
        *,
        seed: int = 0,
        limits: Limits | None = None,
        hurry: float = 1.0,
    ) -> None:
        markets = {each: Market(each, seed, words.TICK, words.LOT, words.PRICE) for each in symbols}
        self.words = words(markets)
        self.words.limits = limits or words.LIMITS
        self.symbols = list(symbols)
        self._hurry = hurry
        self._changed = threading.Condition()
        self._last_ms = int(time.time() * 1000)
        self._running: asyncio.Task[None] | None = None
        for market in markets.values():
            market.told_ms = self._last_ms

    def __enter__(self) -> Self:
        self._thread = LoopThread(f"{self.words.NAME} venue")
        try:
            self.exchange = self._thread.do(lambda: Exchange(self.words, self._hurry, self._tell_changed))
            port = self._thread.wait_for(self.exchange.open())
        except BaseException:
            self._thread.end()
            raise
        self.truth: Truth = self.exchange.truth
        self.url = f"ws://127.0.0.1:{port}{self.words.PATH}"
        self.rest_url = f"http://127.0.0.1:{port}"
        for symbol, market in self.words.markets.items():
            self.truth.note(symbol, market.told_id, market.told_ms, market.top())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.pause()
            self._thread.wait_for(self.exchange.close())
        finally:
            self._thread.end()

    # The market

    def move(self, times: int = 1, symbol: str | None = None) -> None:
        """Have each symbol, or one, tell so many updates; they are written, if not read, on return."""

        def tell() -> None:
            for _ in range(times):
                self._tell([symbol] if symbol else self.symbols)

        self._thread.do(tell)
        self.settle()

    def run(self, per_s: float) -> None:
        """Have each symbol tell so many updates a second, until `pause`."""

        async def tell() -> None:
            while True:
                await asyncio.sleep(1 / per_s)
                self._tell(self.symbols)

        def start() -> None:
            self._running = self._thread.begin(tell())

        self.pause()
        self._thread.do(start)

    def pause(self) -> None:
        """Stop what `run` began."""

        def stop() -> None:
            if self._running is not None:
                self._running.cancel()
                self._running = None

        self._thread.do(stop)

    def settle(self) -> None:
        """Wait until all that was said is written, but to clients that are stalled or do not read."""

        async def drain() -> None:
            lines = [line.drained() for line in self.exchange.lines if not line.stalled]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(*lines), WITHIN_S / 2)

        self._thread.wait_for(drain())

    # Faults

    def spoil(self, symbol: str, *faults: str) -> None:
        """Have the next updates of a symbol suffer faults, one each; names are keys of `FAULTS`."""
        self._thread.do(lambda: self.exchange.faults[symbol].extend(FAULTS[each] for each in faults))

    def spoil_snapshot(self, symbol: str, *faults: str) -> None:
        """Have the next snapshots of a symbol on the socket suffer faults of texts, one each."""
        named = [FAULTS[each] for each in faults]
        self._thread.do(lambda: self.exchange.snapshot_faults[symbol].extend(named))

    def spoil_rest(
        self, symbol: str, kind: str, *, status: int = 0, retry_after_s: int = 0, times: int = 1
    ) -> None:
        """Have the next REST replies about a symbol suffer a fault; `RestFault` says which there are."""
        fault = RestFault(kind, status, retry_after_s)
        self._thread.do(lambda: self.exchange.rest.order(symbol, fault, times))

    def release_rest(self) -> None:
        """Let go of the replies that are late."""
        self._thread.do(self.exchange.rest.release)

    def drop(self) -> int:
        """End all connections without a word, and give their number."""
        return self._each(lambda line: line.cut())

    def hang_up(self, code: int = 1001, reason: str = "") -> int:
        """End all connections by a close frame, and give their number."""
        return self._each(lambda line: self._thread.begin(line.hang_up(code, reason)))

    def refuse(self, times: int | None = None, status: int = 0) -> None:
        """Turn the next connections away, or all until `admit`: by an HTTP status, or (nought) by a reset."""
        self._thread.do(lambda: self.exchange.door.refuse(times, status))

    def admit(self) -> None:
        """Let connections in again."""
        self._thread.do(lambda: self.exchange.door.refuse(0, 0))

    def stall(self, *, newcomers: bool = False) -> int:
        """Neither read from nor write to the connections of now, which stay; give their number.

        `newcomers`: nor to those that will be opened, until `resume`.
        """
        self.exchange.stalls_newcomers = newcomers
        return self._each(lambda line: line.stall())

    def resume(self) -> int:
        """End a stall; what was to be sent meanwhile is lost."""
        self.exchange.stalls_newcomers = False
        return self._each(lambda line: line.resume())

    def notice(self) -> int:
        """Announce the end of the service, and give the number of connections that were told."""

        def tell() -> int:
            told = [(line, text) for line in self.exchange.lines for text in self.words.notice(line.peer)]
            for line, text in told:
                self.exchange.put(line, text)
            return len(told)

        return self._thread.do(tell)

    def limit_backlog(self, messages: int) -> None:
        """Leave a client as soon as more messages than that wait for it."""
        self.exchange.backlog = messages

    # What it knows

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self.exchange.lines)

    @property
    def opened(self) -> int:
        """How many were ever open: the latest one's number."""
        return len(self.exchange.all_lines)

    @property
    def heard(self) -> list[tuple[int, str]]:
        """What clients said: (connection, text)."""
        return list(self.exchange.heard)

    @property
    def asked(self) -> list[str]:
        """What was asked for by REST."""
        return list(self.exchange.rest.asked)

    @property
    def excesses(self) -> list[str]:
        """The limits that clients exceeded, in words; a good client leaves it empty."""
        exchange = self.exchange
        return [*exchange.excesses, *exchange.door.excesses, *exchange.rest.excesses]

    @property
    def ended(self) -> list[tuple[int, str]]:
        """The connections that the venue ended on its own, and why."""
        return list(self.exchange.ended)

    def subscribers(self, symbol: str) -> int:
        """Give the number of open connections that get a symbol's book."""
        return sum(self.words.has_book(line.peer, symbol) for line in list(self.exchange.lines))

    def wait_until(self, fact: Callable[[], bool], within_s: float = WITHIN_S, what: str = "") -> None:
        """Wait until something about the venue is so.

        Raises:
            AssertionError: it was not, in that time.
        """
        with self._changed:
            if not self._changed.wait_for(fact, within_s):
                exchange = self.exchange
                raise AssertionError(
                    f"{what or 'the fact'} is not so after {within_s} s: {self.connections} of {self.opened}"
                    f" connections open, last heard {exchange.heard[-3:]}, asked {self.asked[-3:]},"
                    f" ended {exchange.ended}, excesses {self.excesses}"
                )

    def wait_for_book(self, *symbols: str, within_s: float = WITHIN_S) -> None:
        """Wait until somebody subscribed to each symbol's book (to all of them, if none is named)."""
        wanted = symbols or tuple(self.symbols)
        self.wait_until(lambda: all(map(self.subscribers, wanted)), within_s, f"the books of {wanted}")

    # The thread

    def _tell_changed(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _tell(self, symbols: Sequence[str]) -> None:
        for symbol in symbols:
            self._last_ms = max(self._last_ms + 1, int(time.time() * 1000))
            self.exchange.tell(symbol, self._last_ms)
        self._tell_changed()

    def _each(self, do: Callable[..., object]) -> int:
        def all_of_them() -> int:
            lines = list(self.exchange.lines)
            for line in lines:
                do(line)
            return len(lines)

        return self._thread.do(all_of_them)
