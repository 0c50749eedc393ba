"""What is a crash, what is kept of it, what is hidden, and what has to go: facts as data, no process."""

import errno
import json
import os
import signal
from pathlib import Path

import pytest

from dolphin_mp.crashes import shelf
from dolphin_mp.crashes.death import Death, facts_of, id_of, is_crash, signal_name
from dolphin_mp.crashes.last_words import LastWords, path_of, split, take, unread
from dolphin_mp.crashes.parcel import ParcelError, pack, unpack
from dolphin_mp.crashes.redaction import MASK, Redactor, is_secret
from dolphin_mp.crashes.shelf import Bounds, Held, surplus
from dolphin_mp.crashes.tail import read_tail
from dolphin_mp.ipc import Channel
from dolphin_mp.ipc.board import ComponentPart, Row
from dolphin_mp.plan import ComponentPlan
from dolphin_mp.supervision.vocabulary import State

MIB = 1 << 20


# ------------------------------------------------------------------ what is a crash


@pytest.mark.parametrize("code", [1, 75, 143, -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGTERM])
@pytest.mark.parametrize("state", [State.STARTING, State.READY, State.DONE])
def test_whoever_was_not_told_to_end_and_did_not_end_well_has_crashed(state, code):
    assert is_crash([state], code)
    assert not is_crash([state], 0)


@pytest.mark.parametrize(
    ("code", "crashed"),
    [(0, False), (143, False), (-signal.SIGTERM, False), (1, True), (-signal.SIGSEGV, True), (-9, True)],
)
def test_one_that_was_told_to_end_crashes_if_it_does_so_badly_or_must_be_killed(code, crashed):
    assert is_crash([State.DONE, State.STOPPING], code) is crashed


def test_lost_patience_is_no_crash():
    assert not is_crash([State.STOPPING], -signal.SIGKILL, forced=True)


def test_signals_go_by_name():
    assert [signal_name(code) for code in (-11, -40, 1, 0, None)] == [
        "SIGSEGV",
        "signal 40",
        None,
        None,
        None,
    ]


# ------------------------------------------------------------------ what is known


def death(**changes):
    member = ComponentPlan("ob", "parts:Ob", "ob", b"secret pickle")
    known = {
        "system": "dolphin",
        "process": "ob",
        "members": (member,),
        "pid": 7,
        "incarnation": 3,
        "restarts": 2,
        "code": -11,
        "reason": "killed by SIGSEGV",
        "spawned_ns": 90_000_000_000,
        "died_ns": 100_000_000_000,
        "died_at": 1_700_000_000.25,
    }
    return Death(**(known | changes))


def row(**changes):
    part = ComponentPart("ready", 3, 12.5, 4096, 99_000_000_000, 4, 91_000_000_000)
    return Row(0, "ob", 7, 7, 1, False, 41, 98_000_000_000, 99_500_000_000, None, part)._replace(**changes)


def test_ids_sort_by_time_and_make_good_file_names():
    assert id_of(death()) == "20231114-221320-250-ob-3"
    assert id_of(death(process="mc@ü/x")) == "20231114-221320-250-mc@__x-3"


def test_the_facts_tell_how_it_ended_and_what_it_was_at():
    facts = facts_of(death(), [row()])
    assert (facts["signal"], facts["exit_code"], facts["uptime_s"]) == ("SIGSEGV", None, 10.0)
    assert facts["died_at"] == "2023-11-14T22:13:20.250Z"
    assert facts["started_at"] == "2023-11-14T22:13:10.250Z"
    assert facts["steps"]["ob"]["in_progress"]
    assert facts["steps"]["ob"]["begun_ago_s"] == 0.5
    assert facts["steps"]["ob"]["beats"] == 41
    assert facts_of(death(code=3), [])["exit_code"] == 3


def test_pickled_options_are_nobodys_business():
    facts = facts_of(death(), [row(step_begun_ns=0)])
    assert "blob" not in facts["plan"][0]
    assert "secret pickle" not in json.dumps(facts)
    assert not facts["steps"]["ob"]["in_progress"]


def test_what_another_incarnation_said_is_not_taken_for_the_dead_ones():
    assert facts_of(death(incarnation=2), [row(), row(component=None)])["steps"] == {}


# ------------------------------------------------------------------ secrets


@pytest.mark.parametrize(
    "key",
    ["key", "api_key", "apiKey", "API-KEY", "binance.secret", "token", "PASSWORD", "db_passwd", "passphrase",
     "Authorization", "auth", "private_key", "accessToken", "dsn", "env", "credentials", "AWS_SECRET_KEY"],
)  # fmt: skip
def test_keys_that_tell_a_secret(key):
    assert is_secret(key)


@pytest.mark.parametrize(
    "key",
    ["keep", "symbols", "monkey", "every", "author", "schedule", "passive", "compass"],
)
def test_keys_that_do_not(key):
    assert not is_secret(key)


def test_a_configuration_loses_its_secrets_and_keeps_its_shape():
    redactor = Redactor()
    found = redactor.mask(
        {
            "options": {"api_key": "k-123456", "size": 4, "nested": [{"password": "hunter22", "on": True}]},
            "env": {"HOME": "/root", "DEBUG": 1},
            "url": "wss://bob:s3cr3t-pw@example.org/ws?symbol=BTC&token=abcdef123",
            "auth": {"user": "bob", "keys": ["one-key-1", None, True]},
        }
    )
    assert found == {
        "options": {"api_key": MASK, "size": 4, "nested": [{"password": MASK, "on": True}]},
        "env": {"HOME": MASK, "DEBUG": MASK},
        "url": f"wss://{MASK}@example.org/ws?symbol=BTC&token={MASK}",
        "auth": {"user": MASK, "keys": [MASK, None, True]},
    }
    assert {"k-123456", "hunter22", "s3cr3t-pw", "abcdef123", "one-key-1"} <= redactor.found


def test_a_secret_of_the_configuration_is_hidden_in_any_text():
    redactor = Redactor()
    redactor.mask({"api_key": "k-123456"})
    assert redactor.scrub("ValueError: 401 for k-123456") == f"ValueError: 401 for {MASK}"
    assert redactor.scrub("Authorization: Bearer abc.def.ghi") == f"Authorization: Bearer {MASK}"
    key = "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----"
    assert redactor.scrub(f"a {key} b") == f"a {MASK} b"
    assert redactor.scrub_all({"message": "k-123456", "extra": [{"token": "xyzxyz"}], "n": 1}) == {
        "message": MASK,
        "extra": [{"token": MASK}],
        "n": 1,
    }


def test_a_short_secret_does_not_deface_all_texts():
    redactor = Redactor()
    redactor.mask({"pin": "1234"})
    assert redactor.scrub("port 12345") == "port 12345"


# ------------------------------------------------------------------ the parcel


def test_a_parcel_comes_back_as_it_was():
    facts, blobs = {"id": "x", "n": [1, None]}, [b"", b"abc", bytes(5000)]
    assert unpack(b"".join(pack(facts, blobs))) == (facts, blobs)


def test_a_torn_parcel_is_refused_at_every_length():
    data = b"".join(pack({"id": "x"}, [b"abc"]))
    for size in range(len(data)):
        with pytest.raises(ParcelError):
            unpack(data[:size])
    with pytest.raises(ParcelError):
        unpack(data + b"x")


# ------------------------------------------------------------------ a process' own words

FATAL = "Fatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call first):\n  File x\n"


def test_tracebacks_and_stacks_are_told_apart():
    text = f"## traceback of ob\nTraceback (most recent call last):\nValueError: no\n{FATAL}"
    words = split(text)
    assert words.traceback == "ob:\nTraceback (most recent call last):\nValueError: no\n"
    assert words.stacks == FATAL
    assert split("") == ("", "")
    assert split("Thread 0x7f (most recent call first):\n  File y\n## traceback of b\nE\n") == (
        "b:\nE\n",
        "Thread 0x7f (most recent call first):\n  File y\n",
    )


def test_an_exception_is_written_down_and_taken_once(tmp_path):
    words_file = LastWords(str(tmp_path), "ob", 3)
    words_file.open()
    try:
        int("no luck")
    except ValueError as error:
        words_file.write("ob", error)
    assert unread(str(tmp_path))[0][:2] == ("ob", 3)
    words = take(path_of(str(tmp_path), "ob", 3))
    assert words.traceback.startswith("ob:\nTraceback")
    assert words.traceback.endswith("base 10: 'no luck'\n")
    assert take(path_of(str(tmp_path), "ob", 3)) == ("", "")
    assert unread(str(tmp_path)) == []


def test_an_endless_message_is_cut_in_its_midst(tmp_path):
    words_file = LastWords(str(tmp_path), "ob", 1)
    words_file.open()
    words_file.write("ob", ValueError("begin" + "x" * MIB + "end"))
    text = take(words_file.path).traceback
    assert len(text) < 100_000
    assert "begin" in text
    assert text.endswith("end\n")


def test_without_a_folder_nothing_is_written_and_nothing_fails(tmp_path):
    (tmp_path / "file").write_text("")
    words_file = LastWords(str(tmp_path / "file"), "ob", 1)
    words_file.open()
    words_file.write("ob", ValueError("x"))
    words_file.withdraw()
    assert take(words_file.path) == ("", "")


# ------------------------------------------------------------------ the shelf


def test_the_newest_are_kept_within_number_and_size():
    held = [Held(f"{n:02}", MIB) for n in range(10)]
    assert surplus(held, Bounds(50, 64 * MIB)) == []
    assert surplus(held, Bounds(7, 64 * MIB)) == ["02", "01", "00"]
    assert surplus(held, Bounds(50, 4 * MIB)) == ["05", "04", "03", "02", "01", "00"]
    assert surplus([Held("a", 1), Held("b", 99 * MIB)], Bounds(50, 64 * MIB)) == ["a"]
    assert surplus([], Bounds(0, 0)) == []


def test_a_bundle_is_there_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "dolphin" / "crashes"
    seen = []

    def fill(place):
        (place / "crash.json").write_text("{}")
        seen.append(shelf.names(folder))

    assert shelf.put(folder, "a", fill) == folder / "a"
    assert seen == [[]]
    assert shelf.put(folder, "a", fill).name == "a.2"
    assert folder.stat().st_mode & 0o777 == 0o700

    def fail(place):
        (place / "crash.json").write_text("{")
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        shelf.put(folder, "b", fail)
    assert sorted(path.name for path in folder.iterdir()) == ["a", "a.2"]


def test_what_is_too_much_goes_and_so_does_what_a_dead_writer_left(tmp_path):
    import os

    for name in ("1", "2", "3", ".new-4-77", ".new-5-78"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "crash.json").write_text("{}")
    os.utime(tmp_path / ".new-4-77", (1, 1))
    shelf.prune(tmp_path, Bounds(2, MIB))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new-5-78", "2", "3"]


def test_a_channel_that_can_not_be_mapped_costs_a_bundle_its_records_and_nothing_else(monkeypatch):
    name = f"dmp-test-tail-{os.getpid()}"
    with Channel.create(name, "f8"):
        assert read_tail(name, 0) is not None

        def refuse(*_):
            raise OSError(12, "Cannot allocate memory")

        before = len(list(Path("/proc/self/fd").iterdir()))
        with monkeypatch.context() as patch:
            patch.setattr("dolphin_mp.ipc._core.Memory", refuse)
            assert read_tail(name, 0) is None
        assert len(list(Path("/proc/self/fd").iterdir())) == before
