"""`status` and `read`: what programs and people get."""

import json
import os

import numpy as np
import pytest

from dolphin_mp.cli import main

QUOTE = np.dtype([("bid", "f8"), ("symbol", "S8")])


def test_status_is_a_table(system, capsys):
    system("alpha", "quotes", "edge")
    assert main(["status"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == [
        "NAME",
        "STATE",
        "PID",
        "RESTARTS",
        "BEATS",
        "LAST",
        "STEP",
        "CPU",
        "MEMORY",
        "REASON",
    ]
    assert [line.split()[:3] for line in lines[1:]] == [
        [n, "ready", str(os.getpid())] for n in ("quotes", "edge")
    ]
    assert err.startswith("alpha: up ")
    assert "\x1b" not in out


def test_status_of_some(system, capsys):
    system("alpha", "quotes", "edge")
    assert main(["status", "edge", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["components"]] == ["edge"]
    assert main(["status", "edgy"]) == 4
    assert 'did you mean "edge"?' in capsys.readouterr().err


def test_status_of_the_dead(crash, capsys):
    crash("alpha")
    assert main(["status"]) == 3
    out, err = capsys.readouterr()
    assert "failed" in out
    assert "dolphin-mp clean" in err


def test_a_record_is_read_as_data(system, channel, capsys):
    system("alpha", "quotes")
    ring = channel("alpha", "quotes.quote", QUOTE)
    ring.publish(bid=1.5, symbol="BTC")
    assert main(["read", "quotes.quote", "--json"]) == 0
    got = json.loads(capsys.readouterr().out)
    assert 0 <= got.pop("age_s") < 60
    assert got == {
        "channel": "quotes.quote",
        "dtype": {
            "names": ["bid", "symbol"],
            "formats": ["<f8", "|S8"],
            "offsets": [0, 8],
            "itemsize": 16,
            "aligned": False,
        },
        "shape": [],
        "version": 1,
        "epoch": 1,
        "fresh": None,
        "value": {"bid": 1.5, "symbol": "BTC"},
    }


@pytest.mark.parametrize(("stale_after", "fresh"), [("1h", True), ("0.001ns", False)])
def test_freshness_is_told_where_stale_is_said(stale_after, fresh, system, channel, capsys):
    system("alpha", "quotes")
    channel("alpha", "quotes.quote", "f8").publish(1.0)
    assert main(["read", "quotes.quote", "--json", "--stale-after", stale_after]) == 0
    assert json.loads(capsys.readouterr().out)["fresh"] is fresh


def test_a_channel_without_a_record_has_version_0(system, channel, capsys):
    system("alpha", "quotes")
    channel("alpha", "quotes.quote", QUOTE)
    assert main(["read", "quotes.quote", "--json"]) == 0
    out, err = capsys.readouterr()
    got = json.loads(out)
    assert (got["version"], got["value"], got["age_s"], got["fresh"]) == (0, None, None, None)
    assert "no record yet" in err


def test_an_unknown_channel_is_4(system, channel, capsys):
    system("alpha", "quotes")
    channel("alpha", "quotes.quote", QUOTE)
    assert main(["read", "quotes.qoute"]) == 4
    assert 'did you mean "quotes.quote"?' in capsys.readouterr().err
    assert main(["read", "board"]) == 4


def test_a_dead_systems_records_are_read(crash, capsys):
    crash("alpha")
    assert main(["read", "ob.top"]) == 0
    assert capsys.readouterr().out == "1.5\n"


@pytest.mark.parametrize(
    ("dtype", "shape", "value", "lines"),
    [
        (QUOTE, (), (1.5, b"BTC"), ["bid     1.5", "symbol  BTC"]),
        (QUOTE, 2, [(1.5, b"BTC"), (np.nan, b"X")], ["   bid  symbol", "0  1.5  BTC", "1    -  X"]),
        ("i4", 3, [10, 20, 30], ["0  10", "1  20", "2  30"]),
        ("i4", (2, 2), [[1, 2], [3, 4]], ["[0]  1  2", "[1]  3  4"]),
        ("?", (), True, ["true"]),
        (
            np.dtype([("a", [("b", "f4")]), ("c", "i1", (9,))]),
            (),
            ((2.5,), tuple(range(9))),
            ["a.b  2.5", "c    [0, 1, 2, 3, 4, 5, 6, 7, … 1 more]"],
        ),
    ],
)
def test_records_are_shown_to_people(dtype, shape, value, lines, system, channel, capsys):
    system("alpha", "quotes")
    ring = channel("alpha", "quotes.quote", dtype, shape)
    record = np.zeros(shape, dtype)
    record[...] = (
        np.array([tuple(v) if isinstance(v, range) else v for v in value], object) if False else value
    )
    ring.publish(record)
    assert main(["read", "quotes.quote"]) == 0
    assert capsys.readouterr().out.splitlines()[: len(lines)] == lines
