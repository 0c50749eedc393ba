"""The bench runs: every row is there; how fast it is, is no test's business."""

import pytest

from dolphin_mp.bench import TINY, measure
from dolphin_mp.bench.harness import CORES


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
    assert all(row.median_ns > 0 for row in rows if row.floor or row.reach)  # a tiny one may read nothing


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


@pytest.mark.slow
def test_the_time_from_a_death_to_its_successor_is_measured_beside_a_fork() -> None:
    rows = {row.what: row for row in measure(["mttr"], TINY)}
    ours = rows["dolphin-mp, in setup()"]
    assert ours.floor == "bare fork"
    assert ours.limit_ns == 1.5e6
    assert all(row.least_ns > 0 for row in rows.values())


@pytest.mark.slow
def test_starts_are_measured_beside_so_many_forks() -> None:
    rows = [row for row in measure(["start"], TINY) if row.floor == "bare fork"]
    assert [row.reach for row in rows] == [2.0, None, None]
    assert all(row.ratio is not None for row in rows)


@pytest.mark.slow
def test_wake_ups_and_memory_of_an_idle_system_are_measured() -> None:
    rows = {row.what: row for row in measure(["idle"], TINY)}
    assert rows["wake-ups of the parent"].limit_ns == 0
    assert 1 < rows["of the components"].median_ns < 1000
    assert rows["of the components"].unit == "MiB"


@pytest.mark.slow
def test_status_of_many_is_measured() -> None:
    rows = {row.what: row for row in measure(["scale"], TINY)}
    assert rows["status of 3"].floor == "an empty question"
    assert rows["dolphin-mp status"].limit_ns == 150e6


@pytest.mark.slow
def test_a_pool_of_two_is_measured_beside_one() -> None:
    rows = {row.what: row for row in measure(["pool"], TINY)}
    assert rows["1 instance"].median_ns > 0
    if len(CORES) > 1:
        assert rows["2 instances"].floor == "1 instance"
        assert rows["2 instances"].note == "ideal 0.50"
