from __future__ import annotations

from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import pytest

from dolphin_mp.workers.books.record import Status
from dolphin_mp.workers.books.sim import Flow, Simulator

INTERVAL_NS = 100_000_000
SYMBOLS = ("AA", "BB")


def records(simulator: Simulator, count: int, interval_ns: int = INTERVAL_NS) -> np.ndarray[Any, Any]:
    """Rows of the first frames, (count, symbols)."""
    rows = simulator.market.rows(len(simulator.market.symbols))
    taken = []
    for frame in islice((frame for frame in simulator.frames(interval_ns) if frame is not None), count):
        simulator.market.fill(rows, frame)
        taken.append(rows.copy())
    return np.array(taken)


@cache
def two_minutes() -> np.ndarray[Any, Any]:
    return records(Simulator(SYMBOLS, seed=7), 1200)


def test_the_same_seed_gives_the_same_bits() -> None:
    first, second = (records(Simulator(SYMBOLS, seed=3), 50) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert records(Simulator(SYMBOLS, seed=4), 50).tobytes() != first.tobytes()


def test_a_symbols_market_does_not_depend_on_the_others() -> None:
    assert (
        records(Simulator(["BB"], seed=3), 20)[:, 0].tobytes()
        == records(Simulator(SYMBOLS, seed=3), 20)[:, 1].tobytes()
    )


def test_the_market_does_not_depend_on_how_often_it_is_looked_at() -> None:
    often, rarely = (
        records(Simulator(SYMBOLS, seed=3), 41),
        records(Simulator(SYMBOLS, seed=3), 5, 10 * INTERVAL_NS),
    )
    for name in ("bid", "ask", "bid_size", "ask_size", "imb20", "n_bids", "recv_ns"):
        assert often[::10][name].tolist() == rarely[name].tolist()


def test_its_clock_is_its_own() -> None:
    rows = records(Simulator(SYMBOLS, start_ns=5_000), 4)
    assert rows["recv_ns"][:, 0].tolist() == [5_000 + n * INTERVAL_NS for n in range(4)]
    assert rows["recv_ns"].tolist() == rows["event_ns"].tolist()


def test_it_is_never_crossed_empty_or_out_of_sync() -> None:
    rows = two_minutes()
    assert (rows["bid"] < rows["ask"]).all()
    assert (rows["status"] == Status.OK).all()
    assert rows["n_bad"].max() == rows["n_gaps"].max() == rows["n_dropped"].max() == 0
    assert (rows["n_applied"][:, 0] == np.arange(1200)).all()
    for name in ("mid", "microprice", "imb1", "imb5", "imb20"):
        assert np.isfinite(rows[name]).all()


def test_prices_lie_on_ticks() -> None:
    for tick, digits in ((0.01, 2), (0.5, 1), (0.00001, 5)):
        rows = records(Simulator(["AA"], tick=tick, price=1000 * tick), 30)
        for price in [*rows["bid"][:, 0].tolist(), *rows["ask"][:, 0].tolist()]:
            assert price == round(price, digits)
            assert price / tick == pytest.approx(round(price / tick), abs=1e-6)


def test_spread_and_depth_are_those_of_the_documentation() -> None:
    rows = two_minutes()
    spread = np.round((rows["ask"] - rows["bid"]) / 0.01)
    assert 1.9 <= spread.mean() <= 2.8
    assert spread.min() == 1
    assert 0.20 <= (spread == 1).mean() <= 0.50
    assert (spread > 6).mean() <= 0.03
    assert 33 <= rows["n_bids"].mean() <= 45
    assert 33 <= rows["n_asks"].mean() <= 45
    assert 0.18 <= rows["imb5"].std() <= 0.32
    assert abs(rows["imb5"].mean()) <= 0.1


def test_the_price_wanders_but_does_not_run_away() -> None:
    mids = two_minutes()["mid"]
    step = (mids[10:] - mids[:-10]) / 0.01
    assert 1.0 <= step.std() <= 2.5  # ticks in a second
    assert np.abs(mids - 100.0).max() < 1.0


def test_a_side_keeps_its_last_lot_and_prices_stay_positive() -> None:
    flow = Flow("x", 2)
    for second in range(1, 200):
        flow.advance(float(second))
        for side in (flow.bids, flow.asks):
            assert side.lots == sum(side.levels.values()) >= 1
            assert min(side.levels.values()) >= 1
        assert min(flow.bids.levels) >= 1
        assert max(flow.bids.levels) == flow.bids.best < flow.asks.best == min(flow.asks.levels)


def test_it_can_start_where_another_stood() -> None:
    rows = records(Simulator(SYMBOLS, prices={"BB": 250.0}), 1)
    assert rows["mid"][0].tolist() == pytest.approx([100.0, 250.0], abs=0.5)


def test_a_symbol_must_fit_the_record() -> None:
    with pytest.raises(ValueError, match="24 ASCII"):
        Simulator(["X" * 25])
    with pytest.raises(ValueError, match="twice"):
        Simulator(["X", "X"])
    with pytest.raises(ValueError, match="at least one"):
        Simulator([])
