"""Whatever is said through whatever pipe: nothing torn, nothing silent, never more disk than allowed."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dolphin_mp.logs.framing import PIPE_BUF, Deframer, Frame, Joiner, Tally, frames
from dolphin_mp.logs.intake import Intake
from dolphin_mp.logs.record import decode, dump, encode, identity
from dolphin_mp.logs.shelf import Bounds, Shelf
from dolphin_mp.logs.stream import pieces

BODIES = st.binary(max_size=9000).map(lambda data: data.translate(None, b"\n\x1e\x1f"))
WRITERS = st.sampled_from(["1", "2", "1-33"])
LINES = st.binary(min_size=1, max_size=50).map(lambda data: data.translate(None, b"\n\x1e\x1f"))


def cut_at(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(st.lists(st.tuples(WRITERS, BODIES), max_size=12), st.lists(st.integers(0, 1 << 20), max_size=8))
def test_records_come_whole_and_in_order_however_the_bytes_come(said, places):
    cut = [frames(writer, seq, body) for seq, (writer, body) in enumerate(said)]
    assert all(len(frame) <= PIPE_BUF for parts in cut for frame in parts)
    deframer, joiner = Deframer(), Joiner()
    data = b"".join(frame for parts in cut for frame in parts)
    items = [item for piece in cut_at(data, places) for item in deframer.feed(piece)]
    wholes = [whole for item in items if isinstance(item, Frame) and (whole := joiner.feed(item))]
    assert [(whole.writer, whole.body) for whole in wholes] == said
    assert deframer.end() == []


@given(st.lists(st.one_of(LINES, BODIES.map(lambda body: frames("1", 0, body))), max_size=12))
def test_raw_lines_survive_frames_in_their_midst(said):
    """Each raw line is written in two halves, with whatever frames come next between them."""
    data, texts, pending = b"", [], b""
    for item in said:
        if isinstance(item, bytes):
            data += pending + item[: len(item) // 2]
            pending = item[len(item) // 2 :] + b"\n"
            texts.append(item)
        else:
            data += b"".join(item)
    deframer = Deframer()
    items = deframer.feed(data + pending) + deframer.end()
    assert [item for item in items if isinstance(item, bytes)] == texts


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 10))
def test_received_and_missing_are_all_that_was_sent(arrives, tail):
    tally = Tally()
    missing = sum(tally.take("1", seq) for seq, came in enumerate(arrives) if came)
    missing += tally.reach("1", len(arrives) + tail)
    assert missing + sum(arrives) == len(arrives) + tail


@given(st.lists(st.one_of(st.binary(max_size=200), BODIES.map(lambda b: b"".join(frames("1", 0, b))))))
def test_garbage_becomes_records_and_stops_nothing(noise):
    intake = Intake("ob", "err", [])
    entries = [entry for data in noise for entry in intake.feed(data, 1, 0.0)]
    for entry in entries + intake.end(1, 1.0):
        assert decode(entry.line) is not None
        assert b"\n" not in entry.line


@given(st.text(st.characters()), st.text(max_size=20), st.integers(0, 1 << 31))
def test_any_text_is_one_line_of_json(message, component, pid):
    line = encode(1_700_000_000_000_000_000, identity(component, pid, 1), "info", "log", message)
    assert b"\n" not in line
    assert b"\x1e" not in line
    record = json.loads(line)
    assert record["pid"] == pid
    expected = message.encode(errors="backslashreplace").decode()
    assert record["message"] == expected
    assert decode(dump(record)) == record


@given(st.text(st.sampled_from("ab\n"), min_size=1), st.integers(1, 20))
def test_a_long_text_in_pieces_is_the_same_text(text, most):
    assert "\n".join(pieces(text, most)) == text


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 300)), max_size=80),
    st.integers(300, 5000),
    st.integers(1, 9),
)
def test_the_disk_s_bound_holds(writes, total, share):
    shelf = Shelf(Bounds(total=total, largest=1000, smallest=50, share=share))
    for component, nbytes in writes:
        for name, number in shelf.victims(nbytes):
            assert number not in shelf.sizes.get(name, {})
        shelf.grew(component, shelf.place(component, nbytes), nbytes)
        assert shelf.total <= total
