"""The bench runs: every row is there; how fast it is, is no test's business."""

import pytest

from dolphin_mp.bench import TINY, measure
from dolphin_mp.cli.bench import line_of


@pytest.mark.slow
def test_each_measurement_of_the_channel_gives_its_row() -> None:
    rows = list(measure(["channel"], TINY))
    text = "\n".join(line_of(row) for row in rows)
    for what in (
        "empty Python call",
        "publish(array), 1 KiB",
        "latest_into(array), 1 KiB",
        "latest(), 1 KiB",
    ):
        assert what in text
    assert {row.bench for row in rows} >= {"channel", "one way, 1 KiB, busy", "8 MiB until it is summed"}
    assert all(row.median_ns > 0 for row in rows)


@pytest.mark.slow
def test_a_whole_status_is_measured_beside_an_empty_python() -> None:
    rows = {row.what: row for row in measure(["cli"], TINY)}
    assert rows["dolphin-mp status"].floor == "python -c 0"


def test_an_unknown_bench_is_named() -> None:
    with pytest.raises(LookupError, match="no bench 'chanel'"):
        list(measure(["chanel"], TINY))
