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
    assert all(row.median_ns > 0 for row in rows)


@pytest.mark.slow
def test_a_whole_status_is_measured_beside_an_empty_python() -> None:
    rows = {row.what: row for row in measure(["cli"], TINY)}
    assert rows["dolphin-mp status"].floor == "python -c 0"


def test_an_unknown_bench_is_named() -> None:
    with pytest.raises(LookupError, match="no bench 'chanel'"):
        list(measure(["chanel"], TINY))


@pytest.mark.slow
def test_a_pool_of_two_is_measured_beside_one() -> None:
    rows = {row.what: row for row in measure(["pool"], TINY)}
    assert rows["1 instance"].median_ns > 0
    if len(CORES) > 1:
        assert rows["2 instances"].floor == "1 instance"
        assert rows["2 instances"].note == "ideal 0.50"
