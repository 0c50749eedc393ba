"""Heirs: a spare that has prepared is the one that is used, for what it has prepared and nothing else."""

import os
import socket
from dataclasses import replace

import pytest

from dolphin_mp.parent.heirs import Heirs
from dolphin_mp.parent.spares import Spare
from dolphin_mp.parent.spawner import Line
from dolphin_mp.plan import ComponentPlan
from dolphin_mp.process.assignment import Assignment

TIMER = 1


def assignment(process="a", incarnation=2):
    member = ComponentPlan(process, "x:X", process, b"")
    return Assignment("test", process, incarnation, "run", 1, 1024, {"A": "b"}, "/", "/n", "/l", (member,))


class FakeSpares:
    """Gives spares, all of them this process, whose other ends it keeps."""

    def __init__(self):
        self.others = []
        self.spares = []
        self.told = []
        self.is_empty = False

    def take(self, order, content):
        if self.is_empty:
            return None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        self.others.append(theirs)
        self.told.append((order, content))
        spare = Spare(Line(ours), 1, 0.0, os.getpid(), os.pidfd_open(os.getpid()))
        self.spares.append(spare)
        return spare


@pytest.fixture
def spares():
    spares = FakeSpares()
    yield spares
    for other in spares.others:
        other.close()


@pytest.fixture
def heirs(spares):
    heirs = Heirs(spares)
    yield heirs
    heirs.close()


def let_go(spare):
    spare.line.close()
    os.close(spare.pidfd)


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_one_that_has_prepared_is_told_to_go_with_its_timer(heirs, spares):
    assert heirs.prepare(assignment()) == os.getpid()
    assert spares.told == [(b"prepare", assignment().to_json(at_home=True))]
    spare = heirs.take(assignment(), TIMER)
    assert spare is spares.spares[0]
    word, descriptors, _, _ = socket.recv_fds(spares.others[0], 100, 1)
    assert word == b"go"
    assert os.fstat(descriptors[0]).st_ino == os.fstat(TIMER).st_ino
    os.close(descriptors[0])
    assert heirs.take(assignment(), TIMER) is None  # once
    let_go(spare)


@pytest.mark.parametrize(
    "other",
    [
        assignment(incarnation=3),
        assignment("b"),
        replace(assignment(), orphan="stop"),
        replace(assignment(), rows=(1,)),
    ],
)
def test_one_that_has_prepared_for_something_else_is_not_used(heirs, spares, other):
    heirs.prepare(assignment())
    assert heirs.take(other, TIMER) is None
    with pytest.raises(BlockingIOError):
        spares.others[0].recv(10)


def test_one_that_is_not_needed_is_hung_up_on_and_its_descriptors_closed(heirs, spares):
    heirs.prepare(assignment())
    pidfd = spares.spares[0].pidfd
    heirs.dismiss("a")
    assert spares.others[0].recv(10) == b""
    assert not is_open(pidfd)
    heirs.dismiss("a")
    assert heirs.take(assignment(), TIMER) is None


def test_one_that_dies_before_it_is_needed_is_no_successor(heirs, spares):
    heirs.prepare(assignment())
    spares.others[0].close()
    assert heirs.take(assignment(), TIMER) is None


def test_without_spares_there_is_none(heirs, spares):
    spares.is_empty = True
    assert heirs.prepare(assignment()) == 0
    assert heirs.take(assignment(), TIMER) is None


def test_another_takes_the_place_of_one_that_waits(heirs, spares):
    heirs.prepare(assignment())
    heirs.prepare(assignment(incarnation=3))
    assert spares.others[0].recv(10) == b""
    spare = heirs.take(assignment(incarnation=3), TIMER)
    assert spare is spares.spares[1]
    let_go(spare)
