"""A venue's live feed: its connections, their books as one record, and the beat in which it is published."""

from __future__ import annotations

import asyncio
import time
from itertools import accumulate, pairwise
from random import Random
from typing import TYPE_CHECKING, Any

from dolphin_mp.workers.books.record import empty_rows
from dolphin_mp.workers.feeds.asker import UNEVEN
from dolphin_mp.workers.feeds.clock import FeedClock
from dolphin_mp.workers.feeds.line import REPLIES, Common, Line, Place
from dolphin_mp.workers.feeds.rates import Window

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Sequence

    import numpy as np

    from dolphin_mp.workers.feeds.recorder import Recorder


class Feed:
    """A venue's live feed, one connection for as many symbols as the venue allows on one.

    Args:
        place: where the venue is.
        symbols: whose books are kept, in the venue's own names.
        log: hears what happens to connections and books.
        changed: hears of each change of a top, as a row of `record.UPDATE`.
        make_recorder: given the names of the streams, makes what records them; None: nothing does.
        random: decides the jitter.

    Attributes:
        symbols: whose books are kept, in the order of the rows.
    """

    def __init__(
        self,
        place: Place,
        symbols: Sequence[str],
        *,
        log: logging.Logger,
        changed: Callable[[tuple[Any, ...]], None] | None = None,
        make_recorder: Callable[[list[str]], Recorder] | None = None,
        random: Random | None = None,
    ) -> None:
        limits = place.dialect.LIMITS
        size = limits.symbols or len(symbols)
        parts = [symbols[start : start + size] for start in range(0, len(symbols), size)]
        streams = [f"ws.{number}" for number in range(1, len(parts) + 1)]
        self._clock = FeedClock()
        self._recorder = None if make_recorder is None else make_recorder([REPLIES, *streams])
        self._follow(log)
        common = Common(
            place,
            self._clock,
            Window(limits.connects, UNEVEN * limits.connects_within_s),
            Window(limits.fetches, UNEVEN * 60.0),
            self._recorder,
            log,
            random or Random(),  # noqa: S311 - jitter, not a secret
            set(),
        )
        self._lines = [
            Line(part, stream, common, changed) for part, stream in zip(parts, streams, strict=True)
        ]
        self.symbols = tuple(symbols)
        self._shown: np.ndarray[Any, Any] | None = None
        self._parts: list[np.ndarray[Any, Any]] = []  # of what is shown, by connection
        self._writing: asyncio.Task[None] | None = None

    def _follow(self, log: logging.Logger) -> None:
        """Go on in time after what was recorded before: in a recording no time runs back."""
        behind_s = self._clock.go_on_after(self._recorder.latest_ns) if self._recorder else 0.0
        if self._recorder and behind_s:
            log.warning(
                "the clock is %.3f s behind the end of the recording in %s: all times go on from there; "
                "record to another folder to have the clock's",
                behind_s,
                self._recorder.folder,
            )

    def rows(self, count: int) -> np.ndarray[Any, Any]:
        """Give `count` rows to be filled, unused ones without a symbol.

        Raises:
            ValueError: there are more symbols than that.
        """
        if len(self.symbols) > count:
            raise ValueError(f"{len(self.symbols)} symbols don't fit {count} rows")
        return empty_rows(count)

    def summary(self) -> str:
        """Give the counts of all books in a line for a log."""
        return "; ".join(line.market.summary() for line in self._lines)

    def fill(self, rows: np.ndarray[Any, Any], now_ns: int) -> None:
        """Bring the rows up to date as of then."""
        if rows is not self._shown:
            starts = accumulate((len(line.market.symbols) for line in self._lines), initial=0)
            self._shown, self._parts = rows, [rows[start:end] for start, end in pairwise(starts)]
        for line, part in zip(self._lines, self._parts, strict=True):
            line.market.fill(part, now_ns)

    async def run(self, interval_s: float, show: Callable[[int], None]) -> None:
        """Live until cancelled; `show` is called with the feed's time once each interval, on a grid."""
        try:
            async with asyncio.TaskGroup() as group:
                for line in self._lines:
                    group.create_task(line.run(group))
                await self._beat(interval_s, show)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None  # a reason that says something
        finally:
            if self._writing is not None:
                await asyncio.wait([self._writing])
            if self._recorder is not None:
                self._recorder.write(self._recorder.batch(), time.monotonic())
                self._recorder.close()

    async def _beat(self, interval_s: float, show: Callable[[int], None]) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            show(self._clock.now_ns())
            self._write()
            for line in self._lines if self._recorder else ():
                line.renew()
            due_s = max(due_s + interval_s, loop.time())  # a beat that can't be kept is left out
            await asyncio.sleep(due_s - loop.time())

    def _write(self) -> None:
        """Have what was noted written by a thread, one batch at a time."""
        if self._recorder is None or (self._writing is not None and not self._writing.done()):
            return
        batch = self._recorder.batch()
        if batch:
            work = asyncio.to_thread(self._recorder.write, batch, time.monotonic())
            self._writing = asyncio.get_running_loop().create_task(work)
