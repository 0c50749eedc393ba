"""One pipe's bytes as records, with what is missing said among them."""

import json

from dolphin_mp.logs.counts import Slot
from dolphin_mp.logs.framing import GREETING, frames
from dolphin_mp.logs.intake import RAW_LOST, Intake
from dolphin_mp.logs.record import encode, identity

T = 1_800_000_000_123_456_789


def body(seq, message="m", component="ob", pid=7, epoch=1, stream="log"):
    return encode(T, identity(component, pid, epoch), "info", stream, message, f',"seq":{seq}')


def sent(seq, message="m", epoch=1, **more):
    return b"".join(frames(str(epoch), seq, body(seq, message, epoch=epoch, **more)))


def greeting(epoch=1, pid=7):
    hello = encode(T, identity("ob", pid, epoch), "debug", "logs", "")
    return b"".join(frames(str(epoch), GREETING, hello))


def read(entries):
    return [json.loads(entry.line) for entry in entries]


def intake(pipe="out", slots=()):
    return Intake("ob", pipe, list(slots))


def test_a_record_passes_as_it_is():
    (entry,) = intake().feed(sent(0, "hello"), T, 0.0)
    assert entry.component == "ob"
    assert entry.line == body(0, "hello")


def test_what_is_missing_is_said_before_what_follows():
    found = read(intake().feed(sent(0) + sent(3, "later"), T, 0.0))
    assert [record["message"] for record in found] == [
        "m",
        "2 records dropped: more was said than could be taken",
        "later",
    ]
    assert found[1]["dropped"] == 2


def test_what_was_dropped_at_the_end_is_told_by_the_counts():
    pipe = intake()
    pipe.feed(sent(0), T, 0.0)
    (note,) = read(pipe.settle([Slot(1, 7, 10, 1)], T))
    assert note["dropped"] == 9
    assert pipe.settle([Slot(1, 7, 10, 1)], T) == []
    assert pipe.expected == {1: 10}


def test_a_new_collector_counts_what_the_last_one_had_taken_and_not_written():
    pipe = intake(slots=[Slot(1, 7, 0, 40)])
    note, _ = read(pipe.feed(sent(45), T, 0.0))
    assert note["dropped"] == 5


def test_what_the_last_one_had_written_but_not_noted_is_not_missing():
    pipe = Intake("ob", "out", [Slot(1, 7, 0, 40)], {(1, 7): 43, (1, 6): 99})
    note, _ = read(pipe.feed(sent(45), T, 0.0))
    assert note["dropped"] == 2


def test_a_successor_begins_at_nought():
    pipe = intake()
    found = read(pipe.feed(greeting() + sent(0) + sent(1) + greeting(2, 8) + sent(0, epoch=2, pid=8), T, 0.0))
    assert [(record["pid"], record["seq"]) for record in found] == [(7, 0), (7, 1), (8, 0)]


def test_raw_text_is_attributed_to_who_has_opened_the_pipe():
    pipe = intake("err")
    first, second = read(pipe.feed(greeting(1, 7) + b"old\n" + greeting(2, 8) + b"new\r\n", T, 0.0))
    assert (first["pid"], first["epoch"], first["message"]) == (7, 1, "old")
    assert (second["pid"], second["epoch"], second["message"]) == (8, 2, "new")
    assert first["stream"] == "stderr"
    assert first["level"] == "warning"


def test_bytes_that_are_no_text_are_shown():
    (record,) = read(intake().feed(b"a\xff\x00b\n", T, 0.0))
    assert record["message"] == "a\\xff\0b"
    assert record["level"] == "info"


def test_a_frame_that_holds_no_record_is_raw_text():
    pipe = intake()
    found = read(pipe.feed(b"".join(frames("1", 0, b"[1, 2]")) + b"".join(frames("1", 1, b"{]")), T, 0.0))
    assert [record["message"] for record in found] == ["[1, 2]", "{]"]


def test_a_component_that_is_no_file_name_is_not_used_as_one():
    (entry,) = intake().feed(sent(0, component="../../etc/passwd"), T, 0.0)
    assert entry.component == "ob"
    assert json.loads(entry.line)["component"] == "ob"


def test_a_full_pipe_with_raw_text_may_have_lost_some():
    found = read(intake().feed(b"raw\n", T, 0.0, was_full=True))
    assert found[-1]["message"] == RAW_LOST
    assert read(intake().feed(sent(0), T, 0.0, was_full=True))[-1]["message"] == "m"


def test_a_raw_traceback_is_whole_after_a_while_and_at_the_end():
    text = 'Traceback (most recent call last):\n  File "a", line 1, in <module>\nValueError: no'
    pipe = intake("err")
    assert pipe.feed(text.encode() + b"\n", T, 1.0) == []
    (record,) = read(pipe.release(pipe.deadline))
    assert record["message"] == text
    assert record["level"] == "error"
    pipe.feed(text.encode(), T, 2.0)
    assert [record["message"] for record in read(pipe.end(T, 3.0))] == [text]


def test_forked_children_are_counted_apart():
    pipe = intake()
    data = sent(0) + b"".join(frames("1-99", 0, body(0))) + sent(1) + b"".join(frames("1-99", 2, body(2)))
    found = read(pipe.feed(data, T, 0.0))
    assert sum(record.get("dropped", 0) for record in found) == 1
    assert pipe.expected == {1: 2}
