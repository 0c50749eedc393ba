"""Descriptors that have something to read are handled, and only those."""

import os

import pytest

from dolphin_mp.parent.poller import Poller


@pytest.fixture
def poller():
    poller = Poller()
    yield poller
    poller.close()


@pytest.fixture
def pipes():
    made = []

    def pipe():
        made.extend(os.pipe())
        return made[-2:]

    yield pipe
    for fd in made:
        os.close(fd)


def test_what_is_readable_is_handled(poller, pipes):
    (one, feed), (other, _) = pipes(), pipes()
    heard = []
    poller.add(one, lambda: heard.append(os.read(one, 9)))
    poller.add(other, lambda: heard.append("other"))
    os.write(feed, b"x")
    poller.poll(10.0)
    poller.poll(0.0)
    assert heard == [b"x"]


def test_an_end_that_hangs_up_is_handled(poller):
    reading, writing = os.pipe()
    heard = []
    poller.add(reading, lambda: heard.append(os.read(reading, 9)))
    os.close(writing)
    poller.poll(10.0)
    assert heard == [b""]
    poller.remove(reading)
    os.close(reading)


def test_room_to_write_is_told_while_it_is_wanted(poller, pipes):
    import socket

    ours, theirs = socket.socketpair()
    with ours, theirs:
        heard = []
        poller.add(ours.fileno(), lambda: heard.append("room"))
        poller.poll(0.0)
        poller.want_room(ours.fileno(), wanted=True)
        poller.poll(0.0)
        poller.want_room(ours.fileno(), wanted=False)
        poller.poll(0.0)
        assert heard == ["room"]


def test_news_of_a_removed_descriptor_reach_nobody_who_has_its_number_now(poller, pipes):
    (one, feed), (other, feed_other) = pipes(), pipes()
    fresh, _ = pipes()
    heard = []

    def replace(mine, old):
        def handler():
            heard.append(mine)
            poller.remove(mine)
            poller.remove(old)
            os.dup2(fresh, old)  # a silent one takes the number
            poller.add(old, lambda: heard.append("stale"))

        return handler

    poller.add(one, replace(one, other))
    poller.add(other, replace(other, one))
    os.write(feed, b"x")
    os.write(feed_other, b"x")
    poller.poll(10.0)
    poller.poll(0.0)
    assert len(heard) == 1
    assert "stale" not in heard


def test_removing_what_was_never_added_is_no_error(poller):
    poller.remove(7)
