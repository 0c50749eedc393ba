"""A death is over when a look finds nobody of its kin, not when those of the first look are dead."""

import pytest

from dolphin_mp.parent import burial
from dolphin_mp.parent.poller import Poller as RealPoller

MARK = 77


class Poller:
    def __init__(self):
        self.handlers = {}
        self.alarms = 0

    def add(self, fd, handler):
        self.handlers[fd] = handler

    def remove(self, fd):
        del self.handlers[fd]


class Alarm:
    """Goes off when a test says so: it stands among the poller's handlers under a name of its own."""

    def __init__(self, poller, ring):
        self.poller, self.name = poller, f"alarm {poller.alarms}"
        poller.alarms += 1
        poller.add(self.name, ring)

    def close(self):
        self.poller.remove(self.name)


@pytest.fixture
def world(monkeypatch):
    """Give (burials, poller, looks, buried): each look finds what `looks` says next."""
    looks, buried = [], []

    def kill_kin(marks):
        assert marks == {MARK}
        return looks.pop(0) if looks else {}

    monkeypatch.setattr(burial, "kill_kin", kill_kin)
    monkeypatch.setattr(burial, "bury", lambda pidfd, pid: buried.append((pidfd, pid)))
    monkeypatch.setattr(burial, "Alarm", Alarm)
    poller = Poller()
    return burial.Burials(poller), poller, looks, buried


def test_without_kin_it_is_over_at_once(world):
    told = []
    world[0].begin(MARK, lambda: told.append(1))
    assert told == [1]


def test_what_the_dying_have_begotten_is_waited_for_too(world):
    burials, poller, looks, buried = world
    looks += [{10: 100, 11: 101}, {12: 102}]
    told = []
    burials.begin(MARK, lambda: told.append(1))
    poller.handlers[11]()
    poller.handlers[10]()
    assert (told, list(poller.handlers), buried) == ([], ["alarm 0", 12], [(11, 101), (10, 100)])
    poller.handlers[12]()
    assert (told, list(poller.handlers)) == ([1], [])


def test_two_deaths_at_once_do_not_wait_for_each_other(world):
    burials, poller, looks, _ = world
    looks += [{10: 100}, {11: 101}]
    told = []
    burials.begin(MARK, lambda: told.append("a"))
    burials.begin(MARK, lambda: told.append("b"))
    poller.handlers[11]()
    assert told == ["b"]
    poller.handlers[10]()
    assert told == ["b", "a"]


def test_closing_waits_for_nobody(world):
    burials, poller, looks, buried = world
    looks += [{10: 100}]
    burials.begin(MARK, lambda: pytest.fail("it is not over"))
    burials.close()
    assert (poller.handlers, buried) == ({}, [(10, 100)])


def test_what_can_not_die_is_not_waited_for_without_end(world):
    burials, poller, looks, buried = world
    looks += [{10: 100, 11: 101}]
    told = []
    burials.begin(MARK, lambda: told.append(1))
    poller.handlers[11]()
    poller.handlers["alarm 0"]()
    assert (told, list(poller.handlers)) == ([1], [10])
    poller.handlers[10]()
    assert (told, poller.handlers, buried) == ([1], {}, [(11, 101), (10, 100)])


def test_the_alarm_goes_off_by_a_timer_of_the_kernel(monkeypatch):
    monkeypatch.setattr(burial, "LIMIT_NS", 1)
    rung = []
    poller = RealPoller()
    alarm = burial.Alarm(poller, lambda: rung.append(1))
    poller.poll(20.0)
    alarm.close()
    poller.close()
    assert rung == [1]
