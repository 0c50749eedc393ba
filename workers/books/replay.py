"""A capture played into a market, as fast as it can or in its own time.

Frames are cut by the capture's clock, not by ours: one after each interval of recorded time. So two replays
give the same rows in the same order, at any speed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dolphin_mp.workers.books.capture import (
    CaptureError,
    Kind,
    Line,
    capture_files,
    connection_of,
    holds_replies,
    read_capture,
    read_sent,
    read_stream,
    streams_of,
    symbols_configured,
)
from dolphin_mp.workers.books.events import BadMessageError, Snapshot
from dolphin_mp.workers.books.market import Market, check_symbols

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from dolphin_mp.workers.books.venues import Venue

BREATH = 4096
"""Lines after which a frame without an end gives its caller a chance to do something else (chosen)."""


class Replay:
    """One pass over a capture.

    A book begins anew where its symbol is subscribed to, and where its connection is made anew. Where the
    subscription is in the address, as in older recordings, the first snapshot of each symbol is taken up
    before anything else, although it was received among the messages; what it makes obsolete is dropped by
    id. All other snapshots come in their turn.

    Args:
        folder: of the capture.
        venue: the module that reads its messages.
        symbols: whose books are kept; all that the capture subscribes to if empty.
        report: hears one line when a book loses its sync or finds it again.
        changed: hears of each change of a top, as a row of `record.UPDATE`.

    Raises:
        CaptureError: no capture there, or it names no symbol.
    """

    def __init__(
        self,
        folder: Path,
        venue: Venue,
        symbols: Sequence[str] = (),
        *,
        report: Callable[[str], None] = lambda line: None,  # noqa: ARG005 - nobody listens
        changed: Callable[[tuple[Any, ...]], None] | None = None,
    ) -> None:
        self._files = capture_files(folder, venue.CAPTURE)
        self._venue = venue
        self._first: dict[str, tuple[Line, Snapshot]] = {}
        self._carried: dict[str, dict[str, None]] = {}  # symbols by connection
        self._begun: set[str] = set()  # connections
        subscribed = self._survey()
        if not (symbols or subscribed):
            raise CaptureError(f"the capture at {folder} names no symbol: give the option symbols")
        self.symbols = tuple(symbols) or subscribed
        check_symbols(self.symbols)
        self.market = Market(self.symbols, venue.RULES, others=subscribed, report=report, changed=changed)

    def frames(self, interval_ns: int, now_ns: Callable[[int], int] | None = None) -> Iterator[int | None]:
        """Play the capture; after each yield the market is as of that time in the capture's clock.

        Args:
            interval_ns: of recorded time between two frames.
            now_ns: given the time of the first message, tells which recorded time has come; None for as fast
                as it can.

        Yields:
            The time of a frame, or None where there is nothing to show yet and the caller should go on later.
        """
        for line, snapshot in self._first.values():
            self.market.take(snapshot, line.recv_ns)
        start = frame = 0
        for count, line in enumerate(read_capture(self._files), 1):
            if not start and line.kind is not Kind.BAD:
                start, frame = line.recv_ns, line.recv_ns + interval_ns
            while start and line.recv_ns >= frame:
                while now_ns is not None and now_ns(start) < frame:
                    yield None
                yield frame
                frame += interval_ns
            self._take(line)
            if count % BREATH == 0:
                yield None
        yield frame

    def _take(self, line: Line) -> None:
        market = self.market
        try:
            if line.kind is Kind.RECEIVED:
                market.heard_ns = line.recv_ns
                for event in self._venue.parse(line.payload):
                    market.take(event, line.recv_ns)
            elif line.kind is Kind.REPLY:
                self._take_reply(line)
            elif line.kind is Kind.SENT:
                market.begin_anew(self._venue.symbols_sent(line.payload), "it is subscribed to anew")
            elif line.kind is Kind.CONNECTED:
                self._connect(line.connection)
            elif line.kind is Kind.BAD:
                market.note_bad(self._venue.broken(line.payload, "no record"))
        except BadMessageError as error:
            market.note_bad(error)

    def _connect(self, connection: str) -> None:
        if connection in self._begun:
            self.market.begin_anew(self._carried[connection], "the connection was made anew")
        self._begun.add(connection)

    def _take_reply(self, line: Line) -> None:
        snapshot = self._venue.parse_reply(line.url, line.payload)
        self.market.heard_ns = line.recv_ns
        if snapshot is not None and self._first.get(snapshot.symbol, (None,))[0] != line:
            self.market.take(snapshot, line.recv_ns)

    def _survey(self) -> tuple[str, ...]:
        """Look for symbols, in the order of their subscription, and for the first snapshot of each."""
        asked: list[str] = []  # in messages
        addressed: list[str] = []  # in addresses
        streams = streams_of(self._files)
        for paths in sorted(streams, key=holds_replies):  # connections first
            carried = self._carried.setdefault(connection_of(paths[0]), {})
            for line in read_stream(paths) if holds_replies(paths) else read_sent(paths):
                in_address = self._venue.symbols_in(line.url)
                in_message = self._asked_in(line)
                addressed += in_address
                asked += in_message
                carried.update(dict.fromkeys([*in_address, *in_message]))
                if line.kind is Kind.REPLY and not set(in_address) <= set(asked):
                    self._keep_first(line)
        return tuple(dict.fromkeys([*asked, *addressed]))

    def _asked_in(self, line: Line) -> list[str]:
        if line.kind is Kind.CONFIGURED:
            return symbols_configured(line.payload)
        return self._venue.symbols_sent(line.payload) if line.kind is Kind.SENT else []

    def _keep_first(self, line: Line) -> None:
        try:
            snapshot = self._venue.parse_reply(line.url, line.payload)
        except BadMessageError:
            return  # counted when its turn comes
        if snapshot is not None:
            self._first.setdefault(snapshot.symbol, (line, snapshot))
