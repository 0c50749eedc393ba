"""`dolphin-mp logs`: whose records it shows, which of them, and how."""

import json
import re
import time
from argparse import ArgumentParser

import pytest

from dolphin_mp.cli import logs
from dolphin_mp.cli.errors import NO_SUCH, NOT_RUNNING, WRONG_USE, CommandError
from dolphin_mp.logs.intake import Entry
from dolphin_mp.logs.record import encode, identity
from dolphin_mp.logs.store import Store

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


@pytest.fixture
def state(monkeypatch, tmp_path):
    for name in ("DOLPHIN_SYSTEM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    time.tzset()
    yield tmp_path / "state" / "dolphin-mp"
    monkeypatch.undo()
    time.tzset()


def write(state, system="demo", names=("ob", "mc@0", "mc@1"), count=3):
    store = Store(str(state / system / "logs"))
    for n in range(count):
        for name in names:
            level = ["info", "warning", "error"][n % 3]
            line = encode(
                START + n * SECOND, identity(name, 7, 1), level, "log", f"{name} says {n}\nand more"
            )
            store.add(Entry(name, line))
    store.flush(0.0)
    store.close()


def command(*words):
    parser = ArgumentParser()
    logs.add_arguments("logs", parser)
    return logs.execute(parser.parse_args(words))


@pytest.mark.parametrize("text", ["x", "-1", ""])
def test_a_number_of_lines_that_is_none_is_refused_in_plain_words(capsys, text):
    with pytest.raises(SystemExit):
        command(f"-n={text}")
    assert f'write a number from 0 on, or "all", not "{text}"' in capsys.readouterr().err


def shown(capsys):
    return re.findall(r"(\S+ says \d+)", capsys.readouterr().out)


def test_records_are_lines_for_people(state, capsys):
    write(state, names=("ob",))
    assert command() == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "2023-11-14 22:13:20.000 ob info     ob says 0",
        "    and more",
    ]


def test_records_are_objects_for_programs(state, capsys):
    write(state, names=("ob",))
    command("--json", "-n", "1")
    (record,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert record["message"] == "ob says 2\nand more"


def test_names_levels_counts_and_times_choose(state, capsys):
    write(state)
    command("ob")
    assert shown(capsys) == ["ob says 0", "ob says 1", "ob says 2"]
    command("mc", "-n", "2")
    assert shown(capsys) == ["mc@0 says 2", "mc@1 says 2"]
    command("mc@1", "--level", "warning")
    assert shown(capsys) == ["mc@1 says 1", "mc@1 says 2"]
    command("ob", "--since", "2023-11-14T22:13:22+00:00")
    assert shown(capsys) == ["ob says 2"]
    command("ob", "--since", "5m")
    assert shown(capsys) == []
    command("ob", "-n", "0")
    assert shown(capsys) == []


def test_without_a_number_the_last_hundred_are_shown(state, capsys):
    write(state, names=("ob",), count=250)
    command()
    assert len(shown(capsys)) == 100
    command("-n", "all")
    assert len(shown(capsys)) == 250
    command("--since", "2023-01-01")
    assert len(shown(capsys)) == 250


def test_what_can_t_be_shown_is_said_in_one_line(state):
    with pytest.raises(CommandError, match="no logs yet") as caught:
        command()
    assert caught.value.code == NOT_RUNNING
    write(state)
    with pytest.raises(CommandError, match='"obb" has said nothing; did you mean "ob"') as caught:
        command("obb")
    assert caught.value.code == NO_SUCH
    with pytest.raises(CommandError, match="--since yesterday: write how long ago") as caught:
        command("--since", "yesterday")
    assert caught.value.code == WRONG_USE
    write(state, "other")
    with pytest.raises(CommandError, match="--system NAME, one of demo, other") as caught:
        command()
    assert caught.value.code == WRONG_USE
    with pytest.raises(CommandError, match=r'"third" has no logs \(there are: demo, other\)') as caught:
        command("--system", "third")
    assert caught.value.code == NOT_RUNNING


def test_the_folder_s_system_is_meant_among_several(state, capsys):
    write(state, "one", ("first",), 1)
    write(state, "two", ("second",), 1)
    (state.parents[1] / "dolphin.toml").write_text(
        '[system]\nname = "two"\n[components.a]\nrun = "dolphin_mp.workers.ob:OrderBook"\n'
    )
    command()
    assert shown(capsys) == ["second says 0"]


def test_what_would_move_a_terminal_s_cursor_is_left_out():
    record = {
        "time": "2026-01-01T00:00:00.000000Z",
        "component": "ob",
        "level": "info",
        "message": "\x1b[2Ja\rb",
    }
    assert logs.line_of(record).endswith("info     b")
    record["message"] = "a\x1b[31mred"
    assert "\x1b[31m" in logs.line_of(record, colour=True)
    assert "\x1b" not in logs.line_of(record)
