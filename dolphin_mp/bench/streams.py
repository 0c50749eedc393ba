"""What order books are measured with: recorded sessions where there are any, else the simulator's market."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from dolphin_mp.workers.books.capture import CaptureError, Kind, capture_files, read_capture
from dolphin_mp.workers.books.events import BadMessageError, Delta, Snapshot
from dolphin_mp.workers.books.sim import Simulator
from dolphin_mp.workers.books.venues import VENUES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolphin_mp.workers.books.venues import Venue, VenueName

CAPTURES = Path(__file__).resolve().parents[2].parent / "shared" / "data"
"""Where captures are looked for, one folder a venue; the variable DOLPHIN_MP_CAPTURES says otherwise."""
NAMES: tuple[VenueName, ...] = ("binance-futures", "coinbase", "kraken", "bitget", "deribit")
INTERVAL_NS = 100_000_000
_SYMBOLS = ("AAUSDT", "BBUSDT", "CCUSDT", "DDUSDT")
_FRAMES = 250


@dataclass(frozen=True)
class Stream:
    """A session of one venue: its snapshots, then each depth message as bytes and as an event."""

    name: str
    venue: Venue
    snapshots: list[Snapshot]
    messages: list[tuple[int, bytes]]
    deltas: list[Delta]

    @property
    def changes(self) -> int:
        """Levels that the messages change."""
        return sum(len(delta.bids) + len(delta.asks) for delta in self.deltas)


def streams(names: tuple[VenueName, ...] = NAMES) -> Iterator[Stream]:
    """Give the captures that are there; if there are none, one simulated session in Binance's language."""
    folder = Path(os.environ.get("DOLPHIN_MP_CAPTURES", CAPTURES))
    found = False
    for name in names:
        try:
            stream = _recorded(folder / VENUES[name].CAPTURE, VENUES[name])
        except CaptureError:
            continue
        found = True
        yield stream
    if not found:
        yield _simulated()


def _recorded(folder: Path, venue: Venue) -> Stream:
    """Give a capture; its first snapshots come first, and only messages that can follow them are kept."""
    snapshots: dict[str, Snapshot] = {}
    messages: list[tuple[int, bytes]] = []
    deltas: list[Delta] = []
    for line in read_capture(capture_files(folder, venue.CAPTURE)):
        if line.kind is Kind.REPLY:
            snapshot = venue.parse_reply(line.url, line.payload)
            if snapshot is not None:
                snapshots.setdefault(snapshot.symbol, snapshot)
        elif line.kind is Kind.RECEIVED:
            for event in _events(venue, line.payload):
                if isinstance(event, Snapshot):
                    snapshots.setdefault(event.symbol, event)
                elif isinstance(event, Delta):
                    messages.append((line.recv_ns, line.payload))
                    deltas.append(event)
    return Stream(venue.CAPTURE, venue, list(snapshots.values()), messages, deltas)


def _events(venue: Venue, payload: bytes) -> tuple[Any, ...]:
    try:
        return venue.parse(payload)
    except BadMessageError:
        return ()


def _simulated() -> Stream:
    simulator = Simulator(_SYMBOLS, seed=1)
    snapshots: list[Snapshot] = []
    deltas: list[Delta] = []
    messages: list[tuple[int, bytes]] = []

    def take(event: Any, recv_ns: int) -> bool:
        if isinstance(event, Snapshot):
            snapshots.append(event._replace(last_id=1))
        elif isinstance(event, Delta):
            told = event._replace(first_id=event.first_id + 1, last_id=event.last_id + 1)
            deltas.append(told._replace(previous_id=event.previous_id + 1, first_id=event.previous_id + 1))
            messages.append((recv_ns, _as_binance(deltas[-1])))
        return True

    simulator.market.take = take  # type: ignore[method-assign]
    for _ in islice(simulator.frames(INTERVAL_NS), 2 * _FRAMES):
        pass
    return Stream("the simulator's market", VENUES["binance-futures"], snapshots, messages, deltas)


def _as_binance(delta: Delta) -> bytes:
    sides = {
        key: [[f"{price:.2f}", f"{size:g}"] for price, size in levels]
        for key, levels in (("b", delta.bids), ("a", delta.asks))
    }
    ids = {"U": delta.first_id, "u": delta.last_id, "pu": delta.previous_id}
    data = {"e": "depthUpdate", "E": delta.event_ns // 1_000_000, "s": delta.symbol} | ids | sides
    return orjson.dumps({"stream": f"{delta.symbol.lower()}@depth@100ms", "data": data})
