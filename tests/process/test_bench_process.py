"""The bench runs: every row is there; how fast it is, is no test's business."""

import pytest

from dolphin_mp.bench import TINY, measure


@pytest.mark.slow
def test_each_measurement_of_the_channel_gives_its_row() -> None:
    rows = list(measure(["channel"], TINY))
    measured = {row.what for row in rows}
    for what in (
        "empty Python call",
        "publish(array), 1 KiB",
        "latest_into(array), 1 KiB",
        "latest(), 1 KiB",
    ):
        assert what in measured
    assert {row.bench for row in rows} >= {
        "in process",
        "one way between two processes, 1 KiB, both busy",
        "8 MiB until the reader has summed it",
    }
    assert all(row.median_ns > 0 for row in rows)


@pytest.mark.slow
def test_a_whole_status_is_measured_beside_an_empty_python() -> None:
    rows = {row.what: row for row in measure(["cli"], TINY)}
    assert rows["dolphin-mp status"].floor == "python -c 0"


@pytest.mark.slow
def test_order_books_are_measured_on_the_simulators_market_where_nothing_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("DOLPHIN_MP_CAPTURES", str(tmp_path))
    rows = {row.what: row for row in measure(["ob"], TINY)}
    ours = rows["Book.apply, all checks"]
    assert "the simulator's market" in ours.bench
    assert (ours.floor, ours.reach) == ("unchecked dict, best kept", 1.25)
    assert "messages/s" in ours.note
    assert rows["JSON bytes to published records: tops at once, books each 100 ms"].reached is not None


def test_an_unknown_bench_is_named() -> None:
    with pytest.raises(LookupError, match="no bench 'chanel'"):
        list(measure(["chanel"], TINY))
