"""A zygote that was replaced is hung up on when the last that it owed has come, and not before."""

import pytest

from dolphin_mp.parent import retirement


class Poller:
    def __init__(self):
        self.handlers, self.wants_room = {}, {}

    def add(self, fd, handler):
        self.handlers[fd] = handler

    def want_room(self, fd, *, wanted):
        assert fd in self.handlers
        self.wants_room[fd] = wanted

    def remove(self, fd):
        self.handlers.pop(fd, None)


class Spawner:
    """Has so many orders that the zygote has no room for yet."""

    def __init__(self, pid=100, unsent=0):
        self.pid, self.fd, self.unsent = pid, 7, unsent
        self.said, self.done = [], []

    def fileno(self):
        return self.fd

    def flush(self):
        return bool(self.unsent)

    def read(self):
        return self.said.pop(0)

    def hang_up(self):
        if self.fd >= 0:
            self.done.append("hung up")
        self.fd = -1

    def lost(self):
        self.done.append("lost")

    def retire(self):
        self.done.append("retired")


class Watch:
    closed = 0

    def __init__(self, *_):
        pass

    def expect(self):
        pass

    def close(self):
        Watch.closed += 1


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(retirement, "ZygoteWatch", Watch)
    Watch.closed = 0
    poller = Poller()
    return retirement.Retirement(poller, lambda: None), poller


def test_one_that_owes_nothing_is_hung_up_on_at_once_and_reaped(world):
    retired, poller = world
    spawner = Spawner()
    retired.take(spawner, lambda: False)
    assert (spawner.done, poller.handlers) == (["hung up"], {})
    assert not retired.died(99)
    assert retired.died(100)
    assert (spawner.done[-1], Watch.closed) == ("lost", 1)
    assert not retired.died(100), "the pid may be another's now"


def test_one_that_owes_a_process_gets_the_rest_of_its_orders_first(world):
    retired, poller = world
    spawner, owes = Spawner(unsent=2), [1]
    retired.take(spawner, lambda: bool(owes))
    assert (spawner.done, poller.wants_room) == ([], {7: True})
    spawner.said, spawner.unsent = [b"none"], 0
    poller.handlers[7]()
    assert poller.wants_room == {7: False}
    retired.settle()
    assert spawner.done == []
    owes.clear()
    retired.settle()
    assert (spawner.done, poller.handlers) == (["hung up"], {})


def test_one_that_died_is_listened_to_no_more(world):
    retired, poller = world
    spawner = Spawner()
    spawner.said = [b""]
    retired.take(spawner, lambda: True)
    poller.handlers[7]()
    assert poller.handlers == {}
    assert retired.died(100)


def test_without_a_zygote_there_is_nothing_to_wait_for(world):
    retired, poller = world
    spawner = Spawner(pid=0)
    retired.take(spawner, lambda: True)
    assert (spawner.done, poller.handlers) == (["hung up"], {})


def test_at_the_end_all_are_let_go(world):
    retired, poller = world
    spawner = Spawner()
    retired.take(spawner, lambda: True)
    retired.close()
    assert (spawner.done, poller.handlers, Watch.closed) == (["hung up", "retired"], {}, 1)
