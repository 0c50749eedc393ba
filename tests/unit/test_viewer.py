"""What a launch shows: the lines at a terminal's end, other people's output above them, and the words."""

import re

import pytest

from dolphin_mp.cli import telling
from dolphin_mp.cli.screen import Lines, Region, cells, clean
from dolphin_mp.cli.viewer import component_lines


class Terminal:
    """As much of one as `Region` uses; a change of width wraps its lines anew, as most do."""

    def __init__(self, width):
        self.width = width
        self.lines = [""]
        self.at = 0

    def write(self, text):
        for part in re.split(r"(\r|\n|\x1b\[\d*[AJ])", text):
            if part == "\r":
                continue
            if part == "\n":
                self.at += 1
                self.lines += [""] * (self.at + 1 - len(self.lines))
            elif part.endswith("A") and part.startswith("\x1b"):
                self.at -= int(part[2:-1])
                assert self.at >= 0, "above the beginning"
            elif part == "\x1b[J":
                self.lines[self.at :] = [""]
            else:
                assert len(part) <= self.width or not part, "a line of the region is too long"
                self.lines[self.at] += part

    def resize(self, width):
        rows = [line[i : i + width] for line in self.lines for i in range(0, max(1, len(line)), width)]
        self.at += len(rows) - len(self.lines)
        self.width, self.lines = width, rows


def test_lines_are_replaced_and_text_scrolls_above_them():
    terminal, region = Terminal(20), Region()
    terminal.write(region.frame("hello\n", ["a 1", "b 1"], 20))
    terminal.write(region.frame("", ["a 2", "b 2"], 20))
    terminal.write(region.frame("news\n", ["a 3"], 20))
    assert terminal.lines == ["hello", "news", "a 3", ""]


def test_a_terminal_that_became_narrower_keeps_no_wrapped_rest():
    terminal, region = Terminal(20), Region()
    terminal.write(region.frame("hello\n", ["a" * 20, "b" * 11, ""], 20))
    terminal.resize(10)
    terminal.write(region.frame("", ["a" * 10, "b" * 10], 10))
    assert terminal.lines == ["hello", "a" * 10, "b" * 10, ""]


def test_an_ended_display_leaves_the_cursor_below_what_was_said():
    terminal, region = Terminal(20), Region()
    terminal.write(region.frame("", ["a 1", "b 1"], 20))
    terminal.write(region.frame("stopped\n", [], 20))
    assert terminal.lines == ["stopped", ""]


@pytest.mark.parametrize(
    ("line", "columns"), [("abc", 3), ("\x1b[31mab\x1b[0m", 2), ("漢字", 4), ("e\u0301", 1), ("", 0)]
)
def test_columns_are_counted_as_a_terminal_does(line, columns):
    assert cells(line) == columns


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain", "plain"),
        ("a\tb", "a\tb"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m\x1b[0m"),
        ("\x1b[2Jcleared\x1b[5;5Hmoved", "clearedmoved"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("10%\r50%\r100%\r", "100%"),
        ("bell\x07 back\x08 \x9b2J", "bell back 2J"),
        ("cut off \x1b[3", "cut off 3"),
    ],
)
def test_output_of_others_keeps_its_colours_and_moves_no_cursor(line, shown):
    assert clean(line, colour=True) == shown


def test_without_colour_none_stays():
    assert clean("\x1b[31mred\x1b[0m", colour=False) == "red"


def test_lines_are_put_together_from_pieces():
    lines = Lines()
    assert lines.feed(b"one\ntw") == ["one"]
    assert lines.feed(b"o\nthree \xff") == ["two"]
    assert lines.end() == ["three \\xff"]
    assert lines.end() == []
    endless = b"x" * (Lines.LONGEST + 1)
    assert lines.feed(endless) == [endless.decode()]


def component(name, state="ready", **more):
    row = {
        "pid": 5,
        "restarts": 0,
        "beats": 3,
        "last_step_age_s": 0.1,
        "cpu_percent": 1.0,
        "rss_bytes": 1 << 20,
    }
    return {"name": name, "state": state, "reason": "", **row, **more}


def test_each_component_has_a_line_within_the_width():
    status = {"components": [component("ob"), component("edge", "backoff", reason="x" * 200)]}
    for columns in (20, 40, 80, 200):
        lines = component_lines(status, columns, 24, colour=False)
        assert len(lines) == 3
        assert all(len(line) <= columns for line in lines), columns


def test_with_more_components_than_rows_trouble_comes_first():
    status = {"components": [component(f"c{n}") for n in range(50)] + [component("bad", "failed")]}
    lines = component_lines(status, 80, 10, colour=False)
    assert len(lines) == 9
    assert lines[1].startswith("bad")
    assert lines[-1] == "and 44 more"


def test_a_reason_can_not_draw():
    lines = component_lines({"components": [component("a", reason="\x1b[2Jx")]}, 80, 24, colour=True)
    assert "\x1b[2J" not in "".join(lines)


def state(state, reason="", restarts=0):
    return {
        "event": "state",
        "component": "ob",
        "state": state,
        "reason": reason,
        "restarts": restarts,
        "pid": 123,
    }


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (state("ready"), "ob ready (pid 123)"),
        (state("ready", restarts=2), "ob ready (pid 123), restart 2"),
        (state("backoff", "exit 1: ValueError: x"), "ob backoff: exit 1: ValueError: x"),
        (state("starting", "signal 9", 1), "ob starting again after signal 9"),
        (state("stopped", "shutdown"), "ob stopped"),
        (
            {"event": "settled", "system": "s", "states": {"a": "ready", "b": "done"}},
            "s is up: 1 ready, 1 done",
        ),
        (
            {"event": "shutdown", "why": "SIGINT", "forced": False},
            "stopping (SIGINT); Ctrl-C kills what does not stop",
        ),
        ({"event": "shutdown", "why": "SIGINT", "forced": True}, "killing what still runs"),
        ({"event": "lost", "count": 3}, "3 events could not be shown in time"),
        ({"event": "something new"}, ""),
    ],
)
def test_an_event_is_a_line(event, line):
    assert telling.describe(event) == line


def test_the_first_words_name_the_system_its_notes_and_the_command_for_elsewhere(monkeypatch):
    monkeypatch.setattr("dolphin_mp.client.running_systems", lambda: ["demo"])
    event = {"event": "launched", "system": "demo", "pid": 7, "components": ["a"], "notes": ["simulated"]}
    assert telling.introduction(event, "x/__main__.py") == [
        "demo: 1 component, pid 7; Ctrl-C stops it",
        "simulated",
        "in a second terminal: dolphin-mp status",
    ]
    monkeypatch.setattr("dolphin_mp.client.running_systems", lambda: ["demo", "other"])
    assert (
        telling.second_terminal("demo", "/opt/bin/dolphin-mp") == "/opt/bin/dolphin-mp status --system demo"
    )
