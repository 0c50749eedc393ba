"""A death is over when a look finds nobody of its kin, not when those of the first look are dead."""

import pytest

from dolphin_mp.parent import burial

MARK = 77


class Poller:
    def __init__(self):
        self.handlers = {}

    def add(self, fd, handler):
        self.handlers[fd] = handler

    def remove(self, fd):
        del self.handlers[fd]


@pytest.fixture
def world(monkeypatch):
    """Give (burials, poller, looks, buried): each look finds what `looks` says next."""
    looks, buried = [], []

    def kill_kin(marks):
        assert marks == {MARK}
        return looks.pop(0) if looks else {}

    monkeypatch.setattr(burial, "kill_kin", kill_kin)
    monkeypatch.setattr(burial, "bury", lambda pidfd, pid: buried.append((pidfd, pid)))
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
    assert (told, list(poller.handlers), buried) == ([], [12], [(11, 101), (10, 100)])
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
