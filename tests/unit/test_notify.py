"""Components' words to their parent, through a FIFO."""

import json
import os
from pathlib import Path

import pytest

from dolphin_mp.process.notify import MAX_LINE, Listener, Notifier, Word, parse_word


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "notify")


@pytest.fixture
def listener(path):
    listener = Listener(path)
    yield listener
    listener.close()


def test_words_arrive_in_order(listener, path):
    one, other = Notifier(path), Notifier(path)
    one.say("ob", 1, "ready")
    other.say("mc@2", 7, "failed", "ValueError: no luck")
    one.say("ob", 1, "done")
    assert listener.words() == [
        Word("ob", 1, "ready", ""),
        Word("mc@2", 7, "failed", "ValueError: no luck"),
        Word("ob", 1, "done", ""),
    ]
    assert listener.words() == []


def test_a_long_reason_is_cut_not_broken(listener, path):
    Notifier(path).say("ob", 1, "failed", "\u2603" * 5000)
    (word,) = listener.words()
    assert word.reason == "\u2603" * 200


def test_no_word_is_longer_than_a_write_that_stays_whole():
    assert os.pathconf("/", "PC_PIPE_BUF") > MAX_LINE
    longest = {"component": "\u2603" * 31, "incarnation": 10**18, "fact": "failed", "reason": "\u2603" * 200}
    assert len(json.dumps(longest)) < MAX_LINE


def test_nobody_listens_and_nothing_happens(path):
    Notifier(path).say("ob", 1, "ready")


def test_a_full_pipe_loses_words_and_never_waits(path):
    first = Listener(path)
    notifier = Notifier(path)
    for number in range(20_000):
        notifier.say("ob", number, "ready")
    found = first.words()
    assert [word.incarnation for word in found] == list(range(len(found)))
    assert 100 < len(found) < 20_000
    notifier.say("ob", 1, "done")
    assert [word.fact for word in first.words()] == ["done"]
    first.close()


def test_a_word_outlives_its_listener_while_a_component_holds_the_pipe(path):
    Listener(path).close()
    notifier = Notifier(path)
    notifier.say("ob", 3, "ready")
    second = Listener(path)
    assert second.words() == [Word("ob", 3, "ready", "")]
    second.close()


def test_garbage_is_counted_and_what_follows_is_heard(listener, path):
    with Path(path).open("wb", buffering=0) as pipe:
        pipe.write(b'\xff\x00 garbage\n{"component": 1}\n[1]\n')
        Notifier(path).say("ob", 1, "ready")
    assert listener.words() == [Word("ob", 1, "ready", "")]
    assert listener.garbage == 3


def test_a_line_may_come_in_pieces(listener, path):
    line = json.dumps({"component": "ob", "incarnation": 1, "fact": "ready", "reason": ""}).encode() + b"\n"
    with Path(path).open("wb", buffering=0) as pipe:
        pipe.write(line[:20])
        assert listener.words() == []
        pipe.write(line[20:])
    assert listener.words() == [Word("ob", 1, "ready", "")]


def test_a_line_without_end_does_not_grow_for_ever(listener, path):
    with Path(path).open("wb", buffering=0) as pipe:
        for _ in range(100):
            pipe.write(b"x" * 10_000)
            assert listener.words() == []
        assert len(listener._rest) <= 1 << 18
        pipe.write(b"\n")
    Notifier(path).say("ob", 1, "ready")
    assert listener.words() == [Word("ob", 1, "ready", "")]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"null",
        b'{"component": "a", "incarnation": "1", "fact": "ready", "reason": ""}',
        b'{"component": "a", "incarnation": 1, "fact": "alive", "reason": ""}',
        b'{"component": "a", "incarnation": 1, "fact": "ready"}',
        b'{"component": "a", "incarnation": 1, "fact": ["ready"], "reason": ""}',
        b'{"component": "a", "incarnation": 1, "fact": "ready", "reason": 7}',
    ],
)
def test_what_is_no_word(text):
    assert parse_word(text) is None


def test_what_has_no_end_spoils_no_word_behind_it(listener, path):
    put(path, b"half a wo")
    Notifier(path).say("ob", 1, "ready")
    assert listener.words() == [Word("ob", 1, "ready", "")]


def test_words_may_be_lost_where_there_was_garbage_or_no_room(listener, path):
    notifier = Notifier(path)
    for number in range(100):
        notifier.say("ob", number, "ready")
    listener.words()
    assert not listener.take_doubt()
    put(path, b"rubbish\n")
    listener.words()
    assert listener.take_doubt()
    assert not listener.take_doubt()
    for number in range(100_000):
        notifier.say("ob", number, "ready")
    listener.words()
    assert listener.take_doubt()


def put(path, text):
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    os.write(fd, text)
    os.close(fd)
