"""A plain client of a venue, for tests: it reconnects to nothing and retries nothing."""

from __future__ import annotations

import json
import time
import urllib.request
from contextlib import ExitStack
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from exchange.reading import READINGS, Book, Heard, pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exchange.venue import Venue

WITHIN_S = 10.0


class Reader:
    """A client of one venue.

    Attributes: books (by symbol), trades (by symbol: price, size, taken by a buyer), others (messages about
    no book and no trade), unreadable (texts), counters (of messages, where they are numbered).
    """

    def __init__(self, venue: Venue, symbols: Sequence[str], *, depth: int = 10_000) -> None:
        self.venue, self.symbols, self.depth = venue, symbols, depth
        self.hear, self.ask, self.formula = READINGS[venue.words.NAME]
        self.books = {symbol: Book() for symbol in symbols}
        self.trades: dict[str, list[tuple[Decimal, Decimal, bool]]] = {symbol: [] for symbol in symbols}
        self.others: list[Any] = []
        self.unreadable: list[str] = []
        self.counters: list[int] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        client = connect(
            self.venue.url, compression=None, max_size=None, max_queue=1 << 20, close_timeout=0.2
        )
        self.socket = self._open.enter_context(client)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def subscribe(self) -> None:
        """Ask for books and trades, and wait until the venue has heard it."""
        self.say(*self.ask(self.symbols, self.depth))
        self.venue.wait_for_book(*self.symbols)

    def say(self, *messages: object) -> None:
        """Send messages, and wait until the venue has heard them."""
        heard = len(self.venue.heard) + len(messages)
        for message in messages:
            self.socket.send(json.dumps(message))
        self.venue.wait_until(lambda: len(self.venue.heard) >= heard, what="what was said is heard")

    def fetch(self, symbol: str) -> tuple[int, bytes]:
        """Ask for a snapshot by REST, and give status and body."""
        key = "symbol" if "binance" in self.venue.words.NAME else "instId"
        url = f"{self.venue.rest_url}{self.venue.words.REST}?{key}={symbol}&limit=1000&sz=400"
        with urllib.request.urlopen(url, timeout=WITHIN_S) as reply:
            return reply.status, reply.read()

    def take_up(self, symbol: str) -> None:
        """Begin a book with a snapshot by REST."""
        data = json.loads(self.fetch(symbol)[1])
        data = data["data"][0] if "data" in data else data
        book = self.books[symbol]
        sides = (pairs(data["bids"]), pairs(data["asks"]))
        book.apply(Heard(symbol, True, 0, *sides), self.depth, None)
        book.last_id = data.get("lastUpdateId", data.get("seqId"))

    def read(self) -> bool:
        """Read all that the venue has said until now, and say whether the connection is still there.

        Raises:
            AssertionError: the venue does not even answer a ping.
        """
        self.venue.settle()
        deadline = time.monotonic() + WITHIN_S
        try:
            pong = self.socket.ping()  # its answer comes after all that was said before
            while time.monotonic() < deadline:
                answered = pong.is_set()
                try:
                    self._take(str(self.socket.recv(timeout=0.01)))
                except TimeoutError:
                    if answered:
                        return True
        except ConnectionClosed:
            return False
        raise AssertionError("no answer to a ping")

    def read_for(self, seconds: float) -> bool:
        """Read what comes in that time, if anything does, and say whether the connection is still there."""
        deadline = time.monotonic() + seconds
        try:
            while (left := deadline - time.monotonic()) > 0:
                self._take(str(self.socket.recv(timeout=left)))
        except TimeoutError:
            pass
        except ConnectionClosed:
            return False
        return True

    def _take(self, text: str) -> None:
        try:
            message = json.loads(text, parse_float=str, parse_int=str, parse_constant=_no_number)
        except ValueError:
            self.unreadable.append(text)
            return
        if isinstance(message, dict) and "sequence_num" in message:
            self.counters.append(int(message["sequence_num"]))
        try:
            found = self.hear(message)
        except (KeyError, TypeError, IndexError):
            found = []
        for each in found:
            if isinstance(each, Heard):
                self._take_up(each)
            else:
                self.trades[each[0]].append((Decimal(each[1]), Decimal(each[2]), each[3]))
        if not found:
            self.others.append(message)

    def _take_up(self, heard: Heard) -> None:
        """Apply what is not older than the book, once there is one."""
        book = self.books[heard.symbol]
        book.times.append(heard.at)
        fresh = heard.last_id > book.last_id or not heard.last_id
        if heard.snapshot or (book.path and fresh):
            book.apply(heard, self.depth, self.formula)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")
