"""The pool of parked processes, without processes: their ends of the lines are this test's own."""

import os
import socket

import pytest

from dolphin_mp.parent import spares as module
from dolphin_mp.parent.poller import Poller
from dolphin_mp.parent.spares import Spares
from dolphin_mp.parent.spawner import Line, SpawnError


class FakeSpawner:
    """Makes lines whose other ends it keeps."""

    def __init__(self):
        self.generation = 1
        self.others = []
        self.is_broken = False

    def park(self, home):
        assert home == b"home"
        if self.is_broken:
            raise SpawnError("no more")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.others.append(theirs)
        return Line(ours)

    def report(self):
        for other in self.others:
            other.send(b"here")

    def close(self):
        for other in self.others:
            other.close()


@pytest.fixture
def spawner():
    spawner = FakeSpawner()
    yield spawner
    spawner.close()


@pytest.fixture
def poller():
    poller = Poller()
    yield poller
    poller.close()


@pytest.fixture
def spares(spawner, poller):
    spares = Spares(spawner, poller, lambda _is_there: None, b"home", wanted=2)
    yield spares
    spares.close()


def test_they_are_ready_once_they_have_reported(spares, spawner, poller):
    spares.refill()
    assert (len(spares), spares.is_full, spares.take(b"run", b"x")) == (0, False, None)
    spawner.report()
    poller.poll(0)
    assert (len(spares), spares.is_full) == (2, True)


@pytest.mark.parametrize(("word", "held"), [(b"here", False), (b"held", True)])
def test_a_report_says_whether_the_line_ends_with_the_process_alone(spares, spawner, poller, word, held):
    spares.refill()
    for other in spawner.others:
        other.send(word)
    poller.poll(0)
    spare = spares.take(b"run", b"be it")
    assert spare.line.held is held
    os.close(spare.pidfd)
    spare.line.close()


def test_one_that_is_taken_is_told_and_another_is_made(spares, spawner, poller):
    spares.refill()
    spawner.report()
    poller.poll(0)
    spare = spares.take(b"run", b"be it")
    assert spare.pid == os.getpid()  # who reported
    os.close(spare.pidfd)
    assert spawner.others[1].recv(100) == b"run\nbe it"
    spare.line.close()
    assert spawner.others[1].recv(100) == b""
    spares.refill()
    assert len(spawner.others) == 3


def test_what_is_too_long_for_a_datagram_comes_as_a_file(spares, spawner, poller):
    spares.refill()
    spawner.report()
    poller.poll(0)
    content = b"x" * (1 << 20)
    spare = spares.take(b"run", content)
    os.close(spare.pidfd)
    spare.line.close()
    order, descriptors, _, _ = socket.recv_fds(spawner.others[1], 100, 1)
    assert order == b"run"
    with open(descriptors[0], "rb") as file:  # noqa: PTH123 - a descriptor
        assert file.read() == content


def test_a_dead_one_is_passed_over(spares, spawner, poller):
    spares.refill()
    spawner.report()
    poller.poll(0)
    spawner.others[1].close()
    spare = spares.take(b"run", b"be it")
    os.close(spare.pidfd)
    spare.line.close()
    assert spawner.others[0].recv(100) == b"run\nbe it"
    assert len(spares) == 0


def test_one_that_dies_is_replaced_at_once_if_it_was_old(spares, spawner, poller, monkeypatch):
    monkeypatch.setattr(module, "AGE_S", 0.0)
    spares.refill()
    spawner.report()
    poller.poll(0)
    for made in (3, 4):
        spawner.others[made - 3].close()
        poller.poll(0)
        assert len(spawner.others) == made


def test_of_those_that_die_young_only_the_first_is_replaced_at_once(spares, spawner, poller):
    spares.refill()
    spawner.report()
    poller.poll(0)
    spawner.others[0].close()
    poller.poll(0)
    assert (len(spares), len(spawner.others)) == (1, 3)
    spawner.others[1].close()
    poller.poll(0)
    assert (len(spares), len(spawner.others)) == (0, 3)
    spares.refill()
    assert len(spawner.others) == 4


def test_one_that_dies_unborn_is_not_replaced_at_once(spares, spawner, poller, monkeypatch):
    monkeypatch.setattr(module, "AGE_S", 0.0)
    spares.refill()
    spawner.others[0].close()
    poller.poll(0)
    assert len(spawner.others) == 2


def test_those_without_the_present_modules_are_not_taken_and_are_replaced(spares, spawner, poller):
    spares.refill()
    spawner.report()
    poller.poll(0)
    spawner.generation += 1
    assert spares.take(b"run", b"be it") is None
    spares.refill()
    assert spawner.others[0].recv(100) == b""  # hung up: it ends
    assert len(spawner.others) == 4


def test_where_none_can_be_made_there_are_fewer(spares, spawner):
    spawner.is_broken = True
    spares.refill()
    assert spares.take(b"run", b"be it") is None
