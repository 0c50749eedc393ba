"""Tracebacks printed line by line become one record; nothing else is held."""

import contextlib
import io
import traceback

import pytest

from dolphin_mp.logs.blocks import HOLD_S, Blocks


def told(text, stream="stderr"):
    return {"component": "ob", "stream": stream, "level": "warning", "message": text}


def join(lines, blocks=None):
    """What comes out of lines that are printed at once, and then nothing more."""
    blocks = blocks or Blocks()
    found = [record for line in lines for record in blocks.feed("ob", told(line), 0.0)]
    return [(r["level"], r["message"]) for r in found + blocks.end()]


def failing(kind):
    first, second = ValueError("first"), KeyError("second")
    with contextlib.suppress(ValueError):
        raise first  # so that it has a traceback of its own
    if kind == "cause":
        second.__cause__ = first
    elif kind == "context":
        second.__context__ = first
    elif kind == "group":
        second = ExceptionGroup("several", [first, TypeError("b")])
    text = io.StringIO()
    try:
        raise second
    except (KeyError, ExceptionGroup):
        traceback.print_exc(file=text)
    return text.getvalue()


@pytest.mark.parametrize("kind", ["simple", "cause", "context", "group"])
def test_a_traceback_is_one_record(kind):
    text = failing(kind).rstrip("\n")
    assert join(text.split("\n")) == [("error", text)]


def test_what_stands_around_it_stays_apart():
    text = failing("simple").rstrip("\n")
    assert join(["before", *text.split("\n"), "after", "more"]) == [
        ("warning", "before"),
        ("error", text),
        ("warning", "after"),
        ("warning", "more"),
    ]


def test_two_tracebacks_in_a_row_lose_nothing():
    text = failing("simple").rstrip("\n")
    found = join([*text.split("\n"), *text.split("\n")])
    assert "\n".join(message for _, message in found) == f"{text}\n{text}"


def test_a_report_of_faulthandler_is_one_record():
    text = (
        "Fatal Python error: Segmentation fault\n\nThread 0x00007f (most recent call first):\n"
        '  File "a.py", line 1 in wait\n\nCurrent thread 0x00007e (most recent call first):\n'
        '  File "a.py", line 2 in <module>\n\nExtension modules: numpy (total: 1)'
    )
    assert join(text.split("\n")) == [("error", text)]


def test_a_block_is_released_after_a_while_and_not_before():
    blocks = Blocks()
    assert blocks.deadline is None
    for line in failing("simple").split("\n"):
        assert blocks.feed("ob", told(line), 5.0) == []
    assert blocks.deadline == 5.0 + HOLD_S
    assert blocks.release(5.0) == []
    assert len(blocks.release(5.0 + HOLD_S)) == 1
    assert blocks.deadline is None


def test_speakers_do_not_mix():
    blocks = Blocks()
    text = failing("simple").rstrip("\n")
    for line in text.split("\n"):
        for key in ("a", "b"):
            assert blocks.feed(key, told(line), 0.0) == []
    assert [record["message"] for record in blocks.end()] == [text, text]


def test_other_streams_pass_and_empty_lines_go():
    blocks = Blocks()
    record = told("Traceback (most recent call last):", "log")
    assert blocks.feed("ob", record, 0.0) == [record]
    assert blocks.feed("ob", told("  "), 0.0) == []
    assert not blocks
