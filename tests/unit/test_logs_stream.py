"""A process' streams and loggers as records in its pipes; nobody need read them."""

import json
import logging
import os
import sys
import threading
from pathlib import Path

import pytest

from dolphin_mp.logs.counts import Counts, Slot
from dolphin_mp.logs.framing import Deframer, Frame, Joiner
from dolphin_mp.logs.record import STDERR, STDOUT
from dolphin_mp.logs.stream import LineStream, RecordHandler, Voice, speak_for


@pytest.fixture
def voice(tmp_path):
    voice = Voice()
    voice.open(str(tmp_path), "background", 3, ["a", "b"])
    voice.begin()
    yield voice
    voice.close()


def heard(voice, pipe="out"):
    """Take what is in a pipe; gives the records in it but for the greeting."""
    deframer, joiner = Deframer(), Joiner()
    try:
        data = os.read(voice.pipes[pipe].fd, 1 << 20)
    except BlockingIOError:
        return []
    wholes = [joiner.feed(item) for item in deframer.feed(data) if isinstance(item, Frame)]
    return [json.loads(whole.body) for whole in wholes if whole and whole.seq >= 0]


def messages(voice, pipe="out"):
    return [record["message"] for record in heard(voice, pipe)]


def test_a_print_is_a_record(voice):
    stream = LineStream(voice, STDOUT, 1)
    print("hello", 1, file=stream)
    (record,) = heard(voice)
    assert record.pop("time").endswith("Z")
    assert record == {
        "component": "background",
        "pid": os.getpid(),
        "epoch": 3,
        "level": "info",
        "stream": "stdout",
        "seq": 0,
        "message": "hello 1",
    }


def test_lines_printed_at_once_stay_together(voice):
    stream = LineStream(voice, STDOUT, 1)
    print("a\nb", file=stream)
    stream.write("c\nd\n")
    stream.writelines(["e", "f\n", "g\n"])
    assert messages(voice) == ["a\nb", "c\nd", "ef", "g"]


def test_what_has_no_end_is_held_until_it_is_flushed_or_finished(voice):
    stream = LineStream(voice, STDOUT, 1)
    print("connecting …", end="", file=stream)
    assert messages(voice) == []
    stream.flush()
    assert messages(voice) == ["connecting …"]
    print("tail", end="", file=stream)
    stream.finish()
    assert messages(voice) == ["tail"]


def test_whole_lines_before_an_open_one_go_with_the_next_write(voice):
    stream = LineStream(voice, STDOUT, 1)
    for text in ("\none", "\ntwo", "\nthree"):
        stream.write(text)
    assert messages(voice) == ["one"]
    stream.finish()
    assert messages(voice) == ["two\nthree"]


def test_a_progress_bar_is_its_last_state(voice):
    stream = LineStream(voice, STDERR, 2)
    for percent in range(101):
        stream.write(f"\r{percent}% {'#' * percent}")
        stream.flush()
    assert messages(voice, "err") == []
    stream.finish()
    assert messages(voice, "err") == ["100% " + "#" * 100]


def test_threads_do_not_mix_their_lines(voice):
    stream = LineStream(voice, STDOUT, 1)
    stream.write("main ")

    def speak():
        speak_for("b")
        stream.write("other\n")

    thread = threading.Thread(target=speak, name="worker-1")
    thread.start()
    thread.join()
    stream.write("goes on\n")
    other, main = heard(voice)
    assert (other["message"], other["component"], other["thread"]) == ("other", "b", "worker-1")
    assert (main["message"], main["component"]) == ("main goes on", "background")
    assert "thread" not in main


def test_bytes_odd_characters_and_no_text_are_taken_as_a_stream_does(voice):
    stream = LineStream(voice, STDOUT, 1)
    stream.buffer.write(b"raw \xff\n")
    stream.write("lone \udc80 surrogate\n")
    stream.write('"quotes" \x1e \x00 \u2028\n')
    assert messages(voice) == ["raw \\xff", "lone \\udc80 surrogate", '"quotes" \x1e \x00 \u2028']
    with pytest.raises(TypeError):
        stream.write(b"bytes")


def test_a_text_too_long_for_a_record_becomes_several_and_a_line_too_long_is_cut(voice):
    stream = LineStream(voice, STDOUT, 1)
    lines = [f"{number} {'x' * 90}" for number in range(400)]
    stream.write("\n".join(lines) + "\n")
    found = messages(voice)
    assert len(found) > 1
    assert "\n".join(found) == "\n".join(lines)
    stream.write("\x00" * 100_000 + "end\n")
    (record,) = heard(voice)
    assert record["message"].endswith("end")
    assert record["cut"] == 100_003 - record["message"].count("\0") - len("end")


def test_loggers_say_whose_they_are_and_grave_words_have_a_pipe_of_their_own(voice):
    handler = RecordHandler(voice)
    for name, level in (("a", 20), ("a.feed", 10), ("urllib3", 25), ("b", 30), ("b", 99)):
        handler.handle(logging.LogRecord(name, level, "f.py", 1, "%s it is", (name,), None))
    found = [(r["component"], r.get("logger"), r["level"], r["stream"]) for r in heard(voice)]
    assert found == [
        ("a", None, "info", "log"),
        ("a", "a.feed", "debug", "log"),
        ("background", "urllib3", "info", "log"),
    ]
    assert [(r["component"], r["level"]) for r in heard(voice, "err")] == [
        ("b", "warning"),
        ("b", "critical"),
    ]


def test_a_logged_exception_is_one_record_with_its_traceback(voice):
    handler = RecordHandler(voice)
    try:
        int("no luck")
    except ValueError:
        handler.handle(logging.LogRecord("a", 40, "f.py", 1, "it failed", (), sys.exc_info()))
    (message,) = messages(voice, "err")
    assert message.startswith("it failed\nTraceback (most recent call last):")
    assert message.endswith("'no luck'")


def test_arguments_that_can_t_be_shown_raise_nothing(voice):
    RecordHandler(voice).handle(logging.LogRecord("a", 20, "f.py", 1, "%d", ("x",), None))
    (message,) = messages(voice)
    assert message.startswith("'%d' with arguments that can't be shown")


def test_a_full_pipe_holds_up_nobody_and_is_counted(voice, tmp_path):
    stream = LineStream(voice, STDOUT, 1)
    for number in range(1000):
        print(number, "x" * 1000, file=stream)
    dropped = voice.pipes["out"].dropped
    found = heard(voice)
    assert dropped > 0
    assert len(found) + dropped == 1000
    assert [record["seq"] for record in found] == list(range(len(found)))
    assert Counts(str(tmp_path / "background.counts")).read("out") == [Slot(3, os.getpid(), 1000, 0)]
    print("again", file=stream)
    assert [record["seq"] for record in heard(voice)] == [1000]


def test_a_flood_of_prints_leaves_room_for_what_is_grave(voice):
    stream = LineStream(voice, STDOUT, 1)
    for _ in range(1000):
        print("x" * 1000, file=stream)
    LineStream(voice, STDERR, 2).write("a traceback\n")
    assert messages(voice, "err") == ["a traceback"]


def test_a_forked_child_is_a_writer_of_its_own(voice):
    pid = os.fork()
    if pid == 0:
        voice.forked()
        voice.say("info", "log", "child")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    voice.say("info", "log", "parent")
    child, parent = heard(voice)
    assert (child["pid"], child["seq"]) == (pid, 0)
    assert (parent["pid"], parent["seq"]) == (os.getpid(), 0)


def test_a_voice_that_finds_no_pipes_keeps_no_descriptor(tmp_path):
    (tmp_path / "a.err").mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(OSError, match="directory"):
            Voice().open(str(tmp_path), "a", 1, ["a"])
    assert len(list(Path("/proc/self/fd").iterdir())) == before
