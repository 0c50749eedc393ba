"""A live feed as a test holds it: the real loop in a thread of its own, and what it published."""

from __future__ import annotations

import asyncio
import logging
import threading
from random import Random
from typing import TYPE_CHECKING, Any, Self

from dolphin_mp.workers.books.venues import VENUES
from dolphin_mp.workers.feeds.dialects import DIALECTS
from dolphin_mp.workers.feeds.line import Place
from dolphin_mp.workers.feeds.live import Feed
from dolphin_mp.workers.feeds.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from exchange import Venue

    from dolphin_mp.workers.books.venues import VenueName

WITHIN_S = 30.0
SYMBOLS: dict[VenueName, list[str]] = {
    "binance-futures": ["BTCUSDT", "ETHUSDT"],
    "binance-delivery": ["BTCUSD_PERP", "ETHUSD_PERP"],
    "coinbase": ["BTC-USD", "ETH-USD"],
    "kraken": ["BTC/USD", "ETH/USD"],
    "bitget": ["usdt:BTCUSDT", "spot:ETHUSDT"],
    "okx": ["BTC-USDT-SWAP", "ETH-USDT"],
    "deribit": ["BTC-PERPETUAL", "ETH-PERPETUAL"],
}
"""Two of each venue, as a configuration names them."""


def at_venue(symbol: str) -> str:
    """Give what the local venue calls a symbol."""
    return symbol.replace("usdt:", "USDT-FUTURES:").replace("spot:", "SPOT:")


class Client:
    """A feed that lives while the context is open.

    Attributes:
        updates: each change of a top, as a row of `record.UPDATE`.
        lines: what it told the log.
        rows: the latest record.
    """

    def __init__(
        self,
        name: VenueName,
        venue: Venue,
        symbols: Sequence[str] = (),
        *,
        folder: Path | None = None,
        file_bytes: int = 1 << 30,
        total_bytes: int = 1 << 40,
        dialect: Any = None,
    ) -> None:
        dialect = dialect or DIALECTS[name]
        self.venue = venue
        self.updates: list[tuple[Any, ...]] = []
        self.lines: list[str] = []
        place = Place(VENUES[name], dialect, venue.url, venue.rest_url if dialect.REST_URL else "")
        log = logging.Logger(f"live {name}")  # noqa: LOG001 - of this test alone
        log.addHandler(_Keeper(self.lines))

        def make_recorder(streams: list[str]) -> Recorder:
            assert folder is not None
            return Recorder(
                folder,
                VENUES[name].CAPTURE,
                streams,
                file_bytes=file_bytes,
                total_bytes=total_bytes,
                report=log.warning,
            )

        self.symbols = list(symbols or SYMBOLS[name])
        self.feed = Feed(
            place,
            self.symbols,
            log=log,
            changed=self.updates.append,
            make_recorder=make_recorder if folder else None,
            random=Random(1),
        )
        self.rows = self.feed.rows(len(self.symbols))
        self._shown = threading.Condition()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._live, name=f"live {name}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait_until(lambda: hasattr(self, "_task"))
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(WITHIN_S)
        assert not self._thread.is_alive()
        if self._failure is not None and error is None:
            raise self._failure

    def row(self, symbol: str) -> Any:
        """Give a symbol's latest row."""
        return self.rows[self.symbols.index(symbol)]

    def told(self, symbol: str) -> list[tuple[Any, ...]]:
        """Give the changes of a symbol's top."""
        return [each for each in list(self.updates) if each[0] == symbol.encode()]

    def is_true(self, symbol: str) -> bool:
        """Tell whether a book is in sync and its top is the venue's."""
        row, true = self.row(symbol), self.venue.truth.tops[at_venue(symbol)][-1][2]
        tops = zip((true.bid, true.bid_size, true.ask, true.ask_size), row_top(row), strict=True)
        return bool(row["synced"]) and all(
            (here != here) if there is None else float(there) == here for there, here in tops
        )

    def wait_until(self, fact: Callable[[], bool], within_s: float = WITHIN_S) -> None:
        """Wait until something is so; looked at after each record."""
        with self._shown:
            met = self._shown.wait_for(lambda: self._failure is not None or fact(), within_s)
        if self._failure is not None:
            raise self._failure
        assert met, f"{self.rows[['symbol', 'synced', 'bid', 'ask', 'n_bad']]} {self.lines[-8:]}"

    def wait_for_truth(self, *symbols: str) -> None:
        """Wait until books, of all symbols if none is named, are the venue's."""
        self.wait_until(lambda: all(map(self.is_true, symbols or self.symbols)))

    def _live(self) -> None:
        with asyncio.Runner() as runner:
            try:
                runner.run(self._run())
            except BaseException as error:  # noqa: BLE001 - it is the test's
                self._failure = error

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.ensure_future(self.feed.run(0.02, self._show))
        try:
            await self._task
        except asyncio.CancelledError:
            return

    def _show(self, now_ns: int) -> None:
        rows = self.feed.rows(len(self.symbols))
        self.feed.fill(rows, now_ns)
        with self._shown:
            self.rows = rows
            self._shown.notify_all()


def row_top(row: Any) -> tuple[float, float, float, float]:
    """Give a row's top in the order of the local venue's."""
    return (float(row["bid"]), float(row["bid_size"]), float(row["ask"]), float(row["ask_size"]))


class _Keeper(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())
