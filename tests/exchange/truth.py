"""What was true and what was told, for a test to compare with what a client made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exchange.market import Top, Trade

Numbers = tuple[float, float, float, float]
"""A top as floats: bid, its size, ask, its size."""


class Told(NamedTuple):
    """A message about a book that a venue sent, or would have.

    Attributes:
        connection: its number, from 1; nought: by REST.
        kind: "snapshot" or "update".
        number: of the updates since the last snapshot on this connection, from 1; a snapshot's is nought.
        last_id: the venue's, whether or not its messages carry it.
        event_ms: the venue's time, another one in each update of a symbol.
        top: the true one after it.
        fault: what was done to it; empty: nothing.
    """

    connection: int
    symbol: str
    kind: str
    number: int
    last_id: int
    event_ms: int
    top: Top
    fault: str


class Truth:
    """Tops and trades of each symbol in their order, and what was told of them.

    Attributes: tops (by symbol: id, time, top), trades (by symbol), told.
    """

    def __init__(self) -> None:
        self.tops: dict[str, list[tuple[int, int, Top]]] = {}
        self.trades: dict[str, list[Trade]] = {}
        self.told: list[Told] = []

    def note(self, symbol: str, last_id: int, event_ms: int, top: Top) -> None:
        """Note the top as of an id."""
        self.tops.setdefault(symbol, []).append((last_id, event_ms, top))

    def at_id(self, symbol: str, last_id: int) -> Top:
        """Give the top as of an id that the venue has sent."""
        return next(top for each, _, top in reversed(self.tops[symbol]) if each == last_id)

    def at_ms(self, symbol: str, event_ms: int) -> Top:
        """Give the top as of the time in an update."""
        return next(top for _, each, top in reversed(self.tops[symbol]) if each == event_ms)

    def sent(self, symbol: str, connection: int | None = None) -> list[Told]:
        """Give what was told of a symbol, on one connection or on all."""
        return [
            told
            for told in self.told
            if told.symbol == symbol and (connection is None or told.connection == connection)
        ]

    def strangers(self, symbol: str, seen: Iterable[Numbers]) -> list[Numbers]:
        """Give those tops that a client saw and that were not true, or not in this order."""
        true = [numbers(top) for _, _, top in self.tops[symbol]]
        at, strange = 0, []
        for top in seen:
            try:
                at = true.index(top, at)
            except ValueError:
                strange.append(top)
        return strange


def numbers(top: Top) -> Numbers:
    """Give a top as floats, NaN for what is empty."""
    return tuple(float("nan") if each is None else float(each) for each in top)  # type: ignore[return-value]
