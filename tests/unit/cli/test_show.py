"""Tables that fit, ages and sizes."""

import pytest

from dolphin_mp.cli.show import GREEN, Column, age, size, table

COLUMNS = (Column("NAME"), Column("STATE"), Column("PID", right=True, rank=1), Column("REASON"))
ROWS = [["quotes", "ready", "7", ""], ["edge", "backoff", "1234", "died of something long to tell"]]


def lines(width, colours=None):
    return list(table(COLUMNS, ROWS, width, colours or {}))


def test_without_a_terminal_nothing_is_cut():
    assert lines(None) == [
        "NAME    STATE     PID  REASON",
        "quotes  ready       7",
        "edge    backoff  1234  died of something long to tell",
    ]


def test_the_last_column_is_cut_to_what_room_is_left():
    assert lines(36)[2] == "edge    backoff  1234  died of some…"
    assert all(len(line) <= 36 for line in lines(36))


def test_a_narrow_terminal_loses_columns_by_their_rank():
    assert lines(30)[2] == "edge    backoff  died of some…"


def test_colours_go_by_a_cells_text():
    assert "\x1b[32mready  \x1b[0m" in lines(None, {"ready": GREEN})[1]
    assert "\x1b" not in "".join(lines(None))


def test_a_table_without_rows_is_its_titles():
    assert list(table(COLUMNS, [], 80, {})) == ["NAME  STATE  PID  REASON"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0ms"),
        (0.0123, "12ms"),
        (3.21, "3.2s"),
        (59.9, "59s"),
        (60, "1m"),
        (3599, "59m"),
        (3600, "1h"),
        (86399, "23h"),
        (1e6, "11d"),
    ],
)
def test_ages(seconds, text):
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5 << 20, "5.0 MiB"),
        (3 << 40, "3.0 TiB"),
    ],
)
def test_sizes(nbytes, text):
    assert size(nbytes) == text
