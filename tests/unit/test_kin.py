"""The mark of a process and its descendants."""

import os

import pytest

from dolphin_mp.process.kin import kin_of, mark_for, mark_of


def test_who_has_not_marked_itself_has_no_mark():
    assert mark_of(os.getpid()) == 0
    assert mark_of(1 << 30) == 0


@pytest.mark.parametrize("marks", [[], [0], [-1, 0], [mark_for(1 << 21, 1 << 40)]])
def test_nobody_is_kin_of_nobody(marks):
    assert kin_of(marks) == []


def test_a_mark_tells_pids_used_twice_apart():
    assert mark_for(7, 100) != mark_for(7, 101)
    assert mark_for(7, 100) != mark_for(8, 100)
    assert 0 < mark_for((1 << 22) - 1, 1 << 40) < 1 << 63
