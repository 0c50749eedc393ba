"""The order-book reader: a feed's messages in, one row per symbol out."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from dolphin_mp import Component, Done, Output
from dolphin_mp.workers.books.capture import capture_files
from dolphin_mp.workers.books.market import Market, check_symbols
from dolphin_mp.workers.books.record import BOOK, UPDATE
from dolphin_mp.workers.books.replay import Replay
from dolphin_mp.workers.books.sim import Simulator
from dolphin_mp.workers.books.venues import VENUES, VenueName

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from dolphin_mp.workers.feeds.live import Feed

SIMULATED = ("BTC-USDT-PERP", "ETH-USDT-PERP", "SOL-USDT-PERP")
"""Symbols of the simulator when none are named. Its prices have nothing to do with theirs."""
INTERVAL_NS = 100_000_000
"""Of the feed's time between two records, as `OrderBook.every` has it."""
UPDATES = 16_384
"""Changes of a top that stay readable: more than a busy minute's (chosen; 2.6 MB)."""
MEGABYTE = 1 << 20
ONLY_FOR = {
    ("path",): ("replay", "record"),
    ("venue",): ("replay", "live", "record"),
    ("url", "rest_url"): ("live", "record"),
    ("file_mb", "total_mb"): ("record",),
    ("speed",): ("replay",),
    ("seed", "tick", "lot", "price"): ("sim",),
}
"""Options that not all feeds have a use for, and those that have."""
STEP_S = 0.1
"""A step publishes frames for at most this long, then lets its caller look up; a frame takes far less."""


class OrderBook(Component):
    """Keeps the books of a feed's symbols and publishes their best levels, features, counts and states.

    Each record of `book` is an array of rows (see `dolphin_mp.workers.books.record.BOOK`), one per symbol,
    the rest with an empty symbol. One is due after each `every` of the feed's own time: simulated, recorded,
    or that of our clock. Each record of `updates` is one change of one symbol's top.

    Attributes:
        run: of a live feed, which has no steps: it is an attribute only there, set by `setup`.
    """

    run: Callable[[], Coroutine[Any, Any, None]]

    every = "100ms"

    @dataclass
    class Options:
        """What the configuration can say; without any of it a small market is simulated.

        Attributes:
            feed: "sim", a seeded simulator; "replay", a recorded capture; "live", the venue itself; or
                "record", the same and its messages to files.
            venue: who is spoken to, or whose language a capture is in.
            path: the capture's folder, to be read or to be written.
            url: of the venue's websocket, instead of the one that is known.
            rest_url: of its REST service, likewise.
            file_mb: MiB after which a recording begins its next file.
            total_mb: MiB of all files of the venue in that folder; the oldest go.
            speed: of the replay: 1 as recorded, 0 as fast as it can.
            symbols: whose books are kept; all that the capture subscribes to, or three simulated ones.
            max_symbols: rows of a record, if fewer symbols are named.
            seed: of the simulator; the same seed gives the same records.
            tick: the simulator's smallest step of a price.
            lot: the simulator's order size.
            price: the simulator's prices at the start.
        """

        feed: Literal["sim", "replay", "live", "record"] = "sim"
        venue: VenueName = "binance-futures"
        path: str = ""
        url: str = ""
        rest_url: str = ""
        file_mb: float = 100.0
        total_mb: float = 10_000.0
        speed: float = 1.0
        symbols: list[str] = field(default_factory=list)
        max_symbols: int = 16
        seed: int = 0
        tick: float = 0.01
        lot: float = 1.0
        price: float = 100.0

        def __post_init__(self) -> None:
            """Check what a type can't say; raises ValueError with one line that says what to do."""
            _check_choice("feed", self.feed, ("sim", "replay", "live", "record"))
            _check_choice("venue", self.venue, get_args(VenueName))
            check_symbols(self.symbols)
            if not 1 <= self.max_symbols <= 4096:
                raise ValueError(f"option max_symbols is {self.max_symbols}: it must be from 1 to 4096")
            if not (math.isfinite(self.speed) and self.speed >= 0):
                raise ValueError(f"option speed is {self.speed}: 1 replays as recorded, 0 as fast as it can")
            if self.feed in {"replay", "record"}:
                if not self.path:
                    raise ValueError(f'feed = "{self.feed}" needs option path: the folder of a capture')
                # whoever opens it may stand elsewhere
                self.path = str(Path(self.path).expanduser().absolute())
            if self.feed == "replay":
                capture_files(Path(self.path), VENUES[self.venue].CAPTURE)
            elif self.feed == "sim":
                _check_market(self)
            else:
                self._check_live()
            _check_ignored(self)

        def _check_live(self) -> None:
            from dolphin_mp.workers.feeds import options  # what no other feed needs
            from dolphin_mp.workers.feeds.dialects import DIALECTS

            if not self.symbols:
                raise ValueError(f'feed = "{self.feed}" needs option symbols, in the venue\'s own names')
            dialect = DIALECTS[self.venue]
            options.check_addresses(self.url, self.rest_url, dialect)
            options.check_bounds(self.file_mb, self.total_mb)
            dialect.SYMBOL.check(self.symbols)
            if self.feed == "record":
                options.check_recording(Path(self.path), self.symbols, self.file_mb, self.total_mb, dialect)

        @property
        def rows(self) -> int:
            """Rows of a record."""
            return max(len(self.symbols), self.max_symbols)

    book = Output(BOOK, shape=lambda options: (options.rows,), keep=512)
    updates = Output(UPDATE, keep=UPDATES)

    def setup(self) -> None:
        """Open the feed."""
        every_s = self.every_s  # what the configuration says
        interval_ns = round(every_s * 1e9) if every_s else INTERVAL_NS
        options: OrderBook.Options = self.options
        self._update = np.zeros((), UPDATE)
        if options.feed == "replay":
            replay = Replay(
                Path(options.path),
                VENUES[options.venue],
                options.symbols,
                report=self.log.warning,
                changed=self._publish_update,
            )
            self._market: Market | Feed = replay.market
            pace = _Pace(options.speed).now_ns if options.speed else None
            self._frames: Iterator[int | None] = replay.frames(interval_ns, pace)
        elif options.feed == "sim":
            simulator = self._simulator(options, interval_ns)
            self._market = simulator.market
            self._frames = simulator.frames(interval_ns)
        else:
            feed = self._market = self._live_feed(options)
            self.run = partial(feed.run, interval_ns / 1e9, self._show)
        self._waits = options.feed == "sim" or options.speed > 0
        self._rows = self._market.rows(options.rows)
        self.log.info("%s: books of %s", options.feed, ", ".join(self._market.symbols))

    def step(self) -> None:
        """Publish the frames that are due, of a capture for at most `STEP_S`; Done after its last one."""
        enough = time.monotonic() + (STEP_S if self.options.feed == "replay" else math.inf)
        for frame_ns in self._frames:
            if frame_ns is not None:
                self._show(frame_ns)
            elif self._waits:
                return
            if self.stopping or time.monotonic() > enough:
                return
        self.log.info("the capture is at its end: %s", self._market.summary())
        raise Done

    def _show(self, now_ns: int) -> None:
        self._market.fill(self._rows, now_ns)
        self.book.publish(self._rows)

    def _live_feed(self, options: OrderBook.Options) -> Feed:
        """Make the live feed, with its recorder."""
        from dolphin_mp.workers.feeds.dialects import DIALECTS  # what no other feed needs
        from dolphin_mp.workers.feeds.line import Place
        from dolphin_mp.workers.feeds.live import Feed
        from dolphin_mp.workers.feeds.recorder import Recorder

        venue, dialect = VENUES[options.venue], DIALECTS[options.venue]
        place = Place(venue, dialect, options.url or dialect.WS_URL, options.rest_url or dialect.REST_URL)
        make_recorder = partial(
            Recorder,
            Path(options.path),
            venue.CAPTURE,
            file_bytes=int(options.file_mb * MEGABYTE),
            total_bytes=int(options.total_mb * MEGABYTE),
            report=self.log.warning,
        )
        return Feed(
            place,
            options.symbols,
            log=self.log,
            changed=self._publish_update,
            make_recorder=make_recorder if options.feed == "record" else None,
        )

    def _simulator(self, options: OrderBook.Options, interval_ns: int) -> Simulator:
        """Make the simulator; it goes on where a predecessor's last record stood, in time and in prices."""
        symbols = options.symbols or list(SIMULATED[: options.rows])
        start_ns, prices = 0, {}
        last = self.book.latest()
        if last is not None:
            start_ns = int(last.value["recv_ns"].max()) + interval_ns
            mids = zip(last.value["symbol"].tolist(), last.value["mid"].tolist(), strict=True)
            prices = {name.decode(): mid for name, mid in mids if math.isfinite(mid)}
        return Simulator(
            symbols,
            options.seed,
            tick=options.tick,
            lot=options.lot,
            price=options.price,
            prices=prices,
            start_ns=start_ns,
            changed=self._publish_update,
        )

    def _publish_update(self, values: tuple[Any, ...]) -> None:
        self._update[()] = values
        self.updates.publish(self._update)


class _Pace:
    """Tells which moment of a recording has come, counted from the first question."""

    def __init__(self, speed: float, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._speed = speed
        self._clock = clock
        self._begun_ns: int | None = None

    def now_ns(self, start_ns: int) -> int:
        """Give the recorded time, for a recording that starts at `start_ns`."""
        if self._begun_ns is None:
            self._begun_ns = self._clock()
        return start_ns + int((self._clock() - self._begun_ns) * self._speed)


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"option {name} is {value!r}: it must be one of {', '.join(choices)}")


def _check_market(options: OrderBook.Options) -> None:
    for name in ("tick", "lot", "price"):
        value = getattr(options, name)
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"option {name} is {value}: it must be more than 0")
    if options.price < 100 * options.tick:
        raise ValueError(f"option price is {options.price}: it must be at least 100 ticks of {options.tick}")


def _check_ignored(options: OrderBook.Options) -> None:
    """Refuse an option that says something to another feed than the one that was chosen."""
    for names, feeds in ONLY_FOR.items():
        for name in names if options.feed not in feeds else ():
            if getattr(options, name) != type(options).__dataclass_fields__[name].default:
                known = " and ".join(f'"{feed}"' for feed in feeds)
                raise ValueError(f'option {name} is for feed = {known}, not for "{options.feed}"')
