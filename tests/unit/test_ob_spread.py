from __future__ import annotations

from math import isnan, nan
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from dolphin_mp.component import create_component
from dolphin_mp.workers.books.record import empty_rows
from dolphin_mp.workers.spread import Spread

if TYPE_CHECKING:
    import numpy as np


class Source:
    """What a component needs of an input: records that it has not seen, and how many it missed."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.lost = 0

    def put(self, recv_ns: int, **spreads: float) -> None:
        rows = empty_rows(4)
        for row, (symbol, spread_bps) in zip(rows, spreads.items(), strict=False):
            row["symbol"], row["spread_bps"], row["recv_ns"] = symbol.encode(), spread_bps, recv_ns
        self.waiting.append(SimpleNamespace(value=rows))

    def new(self) -> tuple[list[Any], int]:
        records, self.waiting = self.waiting, []
        return records, self.lost


class Sink:
    def __init__(self) -> None:
        self.records: list[np.ndarray[Any, Any]] = []

    def publish(self, rows: np.ndarray[Any, Any]) -> int:
        self.records.append(rows.copy())
        return len(self.records)


def started(**options: Any) -> tuple[Spread, Source, Sink]:
    source, sink = Source(), Sink()
    spread = create_component(
        Spread, name="spread", options=Spread.Options(**options), channels={"book": source, "spread": sink}
    )
    spread.setup()
    return spread, source, sink


def test_statistics_follow_every_record() -> None:
    spread, source, sink = started(weight=0.5)
    source.put(1, A=4.0, B=1.0)
    source.put(2, A=8.0, B=1.0)
    spread.step()
    assert len(sink.records) == 1
    first, second, third = sink.records[0][:3]
    assert (first["symbol"], first["last_bps"], first["ewma_bps"]) == (b"A", 8.0, 6.0)
    assert (first["min_bps"], first["max_bps"], first["n"], first["recv_ns"]) == (4.0, 8.0, 2, 2)
    assert (second["symbol"], second["ewma_bps"]) == (b"B", 1.0)
    assert (third["symbol"], third["n"]) == (b"", 0)
    assert isnan(third["last_bps"])


def test_an_unknown_spread_leaves_the_statistics_alone() -> None:
    spread, source, sink = started()
    source.put(1, A=4.0)
    source.put(2, A=nan)
    spread.step()
    row = sink.records[0][0]
    assert isnan(row["last_bps"])
    assert (row["ewma_bps"], row["max_bps"], row["n"], row["n_unknown"], row["recv_ns"]) == (
        4.0,
        4.0,
        1,
        1,
        1,
    )


def test_nothing_new_publishes_nothing() -> None:
    spread, _, sink = started()
    spread.step()
    assert sink.records == []


def test_lost_records_and_symbols_without_a_row_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    spread, source, sink = started(max_symbols=1)
    source.lost = 3
    source.put(1, A=4.0, B=1.0)
    spread.step()
    source.lost = 0
    source.put(2, A=4.0, B=1.0)
    spread.step()
    assert sink.records[-1]["symbol"].tolist() == [b"A"]
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "3 records of the order book were lost: fell behind",
        "no row for B: raise the option max_symbols",
    ]


@pytest.mark.parametrize("options", [{"weight": 0.0}, {"weight": 1.5}, {"weight": nan}, {"max_symbols": 0}])
def test_wrong_options_are_one_clear_line(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"option (weight|max_symbols) is"):
        Spread.Options(**options)


def test_it_steps_on_new_records() -> None:
    assert Spread.every is None
    assert Spread.inputs()["book"].channel == "ob.book"
