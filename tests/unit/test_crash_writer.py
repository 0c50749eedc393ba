"""A bundle waits for what its component said last, but not where nobody writes it down."""

import threading
from pathlib import Path

import pytest

from dolphin_mp.crashes import writer
from dolphin_mp.logs.files import files_folder
from dolphin_mp.logs.intake import Entry
from dolphin_mp.logs.record import encode, identity
from dolphin_mp.logs.store import Store
from dolphin_mp.paths import runtime_folder

START = 1_700_000_000_000_000_000
DIED_AT = "2023-11-14T22:13:20.500Z"


@pytest.fixture
def say(monkeypatch, tmp_path):
    """Give a function by which a component speaks, so many ms after START."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(writer, "LAST_WORDS_S", 60.0)
    store = Store(files_folder("demo"))

    def say(component, after_ms):
        time_ns = START + after_ms * 1_000_000
        store.add(
            Entry(component, encode(time_ns, identity(component, 7, 1), "info", "log", f"at {after_ms}"))
        )
        store.flush(0.0)

    yield say
    store.close()


def begin_waiting(*components):
    arguments = ("demo", components, DIED_AT)
    waiting = threading.Thread(target=writer._await_last_words, args=arguments, daemon=True)
    waiting.start()
    return waiting


def test_it_waits_until_all_of_a_process_have_said_their_last(say):
    pipes = Path(runtime_folder("demo"), "logs")
    pipes.mkdir(parents=True)
    (pipes / "collector").touch()
    say("ob", 499)
    waiting = begin_waiting("ob", "edge")
    say("edge", 501)
    waiting.join(0.2)
    assert waiting.is_alive()
    say("ob", 500)
    say("ob", 501)
    waiting.join(20.0)
    assert not waiting.is_alive()
    said = [record["message"] for record in writer._last_lines("demo", ["ob"])]
    assert said == ["at 499", "at 500", "at 501"]


def test_without_a_collector_it_does_not_wait(say):
    say("ob", 499)
    waiting = begin_waiting("ob")
    waiting.join(20.0)
    assert not waiting.is_alive()


def test_where_there_are_no_files_it_does_not_wait(say):
    pipes = Path(runtime_folder("demo"), "logs")
    pipes.mkdir(parents=True)
    (pipes / "collector").touch()
    Path(files_folder("demo")).rmdir()
    waiting = begin_waiting("ob")
    waiting.join(20.0)
    assert not waiting.is_alive()
