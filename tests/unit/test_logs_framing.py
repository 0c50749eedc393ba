"""Frames: cut, told apart from raw text, put together, and what is missing counted."""

from dolphin_mp.logs.framing import (
    LONGEST_LINE,
    PIPE_BUF,
    Deframer,
    Frame,
    Joiner,
    Tally,
    Whole,
    frames,
)


def through(*pieces):
    """What a deframer makes of bytes that come in these pieces."""
    deframer = Deframer()
    return [item for piece in pieces for item in deframer.feed(piece)] + deframer.end()


def test_a_short_record_is_one_frame():
    (frame,) = frames("3", 17, b'{"a":1}')
    assert frame == b'\x1e3 17 1/1 {"a":1}\x1f\n'
    assert through(frame) == [Frame("3", 17, 1, 1, b'{"a":1}')]


def test_a_long_record_is_several_frames_that_pipes_keep_whole():
    body = bytes(range(32, 127)) * 300
    cut = frames("12345678901234567890-1234567", 10**18, body)
    assert len(cut) > 1
    assert all(len(frame) <= PIPE_BUF for frame in cut)
    joiner = Joiner()
    wholes = [joiner.feed(item) for item in through(*cut)]
    assert wholes[:-1] == [None] * (len(cut) - 1)
    assert wholes[-1] == Whole("12345678901234567890-1234567", 10**18, body)


def test_raw_text_is_told_from_frames_and_goes_on_after_one():
    (frame,) = frames("1", 0, b"{}")
    items = through(b"one\ntw" + frame + b"o\n")
    assert items == [b"one", Frame("1", 0, 1, 1, b"{}"), b"two"]


def test_the_rest_of_a_frame_that_a_killed_collector_had_begun_to_read_is_nothing():
    (frame,) = frames("1", 0, b'{"message":"torn"}')
    for at in range(1, len(frame)):
        assert through(frame[at:] + frame)[-1] == Frame("1", 0, 1, 1, b'{"message":"torn"}')
        assert [item for item in through(frame[at:] + frame) if item != b""][1:] == []


def test_what_only_looks_like_a_frame_is_raw_text():
    assert through(b"\x1eno frame\n") == [b"\x1eno frame"]
    assert through(b"\x1e1 2 3/2 {}\n") == [b"\x1e1 2 3/2 {}"]
    assert through(b"\x1e1 2 1/1000 {}\n") == [b"\x1e1 2 1/1000 {}"]


def test_a_line_without_an_end_is_bounded():
    deframer = Deframer()
    found = deframer.feed(b"x" * (LONGEST_LINE + 1))
    assert found == [b"x" * (LONGEST_LINE + 1)]
    assert deframer.end() == []


def test_a_record_whose_next_part_never_comes_is_given_up():
    first = frames("1", 0, b"x" * 10_000)
    second = frames("1", 1, b"y" * 10_000)
    joiner = Joiner()
    items = through(*first[:1], *second)
    assert [whole.seq for item in items if (whole := joiner.feed(item))] == [1]


def test_a_part_without_its_first_is_nothing():
    joiner = Joiner()
    assert [joiner.feed(item) for item in through(*frames("1", 0, b"x" * 10_000)[1:])] == [None, None]


def test_parts_of_two_writers_do_not_mix():
    mine, theirs = frames("1", 0, b"x" * 10_000), frames("1-77", 0, b"y" * 10_000)
    mixed = [frame for pair in zip(mine, theirs, strict=True) for frame in pair]
    joiner = Joiner()
    wholes = [whole for item in through(*mixed) if (whole := joiner.feed(item))]
    assert wholes == [Whole("1", 0, b"x" * 10_000), Whole("1-77", 0, b"y" * 10_000)]


def test_gaps_tell_what_is_missing():
    tally = Tally()
    assert [tally.take("1", seq) for seq in (0, 1, 5, 6)] == [0, 0, 3, 0]
    assert tally.reach("1", 7) == 0
    assert tally.reach("1", 10) == 3
    assert tally.reach("1", 10) == 0
    assert tally.take("1", 10) == 0


def test_a_writer_that_begins_anew_is_believed():
    tally = Tally()
    tally.take("1", 100)
    assert [tally.take("1", seq) for seq in (0, 1, 3)] == [0, 0, 1]


def test_writers_without_number_cost_no_memory_without_bound():
    tally = Tally()
    for number in range(1000):
        tally.take(f"1-{number}", 0)
    assert len(tally.expected) == Tally.MOST_WRITERS
