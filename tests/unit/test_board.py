"""The process table: rows, locks that end with their handle, parts that are read as they were written."""

import os
import secrets
from pathlib import Path

import pytest

from dolphin_mp.ipc import folder
from dolphin_mp.ipc.board import ROWS, Board, ComponentPart, ParentPart, pack_component, pack_parent
from dolphin_mp.ipc.errors import (
    ClaimedError,
    SegmentExistsError,
    SegmentInvalidError,
    SegmentMissingError,
)
from dolphin_mp.ipc.folder import FOLDER


@pytest.fixture
def name():
    """Give a board's name that nothing has, removed afterwards."""
    name = f"dolphin-mp-test-{os.getpid()}-{secrets.token_hex(4)}.board"
    yield name
    Path(FOLDER, name).unlink(missing_ok=True)


@pytest.fixture
def two(name):
    """Give two handles of one board, as two processes have them."""
    one, other = Board.create(name, "scene"), Board.attach(name)
    yield one, other
    one.close()
    other.close()


def test_creating_it_twice_opens_the_same(name):
    one = Board.create(name, "scene")
    one.add("a")
    other = Board.create(name, "scene")
    assert (other.system, other.names()) == ("scene", ["a"])
    one.close()
    other.close()


def test_one_that_is_there_needs_no_room(name, monkeypatch):
    """So that the next parent takes over what lives though /dev/shm is full."""
    first = Board.create(name, "demo")
    monkeypatch.setattr(folder, "_reserve", None)
    second = Board.create(name, "demo")
    assert second.system == "demo"
    second.close()
    first.close(unlink=True)


def test_what_is_no_board_is_refused(name):
    with pytest.raises(SegmentMissingError):
        Board.attach(name)
    with open(f"{FOLDER}/{name}", "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(b"no board" * 1000)
    with pytest.raises(SegmentInvalidError, match="not a dolphin-mp board"):
        Board.attach(name)


def test_a_row_is_one_handles_until_it_is_released(two):
    one, other = two
    index = one.add("a")
    one.take_row(index)
    assert other.is_alive(index)
    assert other.read(index).pid == os.getpid()
    with pytest.raises(ClaimedError, match=f"pid {os.getpid()}"):
        other.take_row(index)
    one.release_row(index)
    assert not other.is_alive(index)
    other.take_row(index)


def test_closing_a_handle_lets_its_locks_go(two):
    one, other = two
    index = one.add("a")
    one.take_row(index)
    one.take_parent()
    words, bell = one.words(index), one.doorbell(index)
    one.close()
    assert not other.is_alive(index)
    assert not other.parent_alive
    words[0] = 1  # what was mapped stays so
    bell.ring()
    assert other.read(index).beats == 1


def test_there_is_one_parent(two):
    one, other = two
    one.take_parent()
    assert other.parent_alive
    assert other.parent_pid == os.getpid()
    with pytest.raises(SegmentExistsError, match=f"pid {os.getpid()}"):
        other.take_parent()


def test_parts_are_read_as_they_were_written(two):
    one, other = two
    index = one.add("a")
    assert (other.read(index).parent, other.read(index).component) == (None, None)
    mine = ParentPart("backoff", 3, 2, 1 << 50, 77, -11, "died of ünïcode")
    its = ComponentPart("ready", 3, 12.5, 1 << 33, 1 << 51, 9, 1 << 49, "")
    one.parent_cell(index).write(pack_parent(mine))
    one.component_cell(index).write(pack_component(its))
    row = other.read(index)
    assert (row.parent, row.component) == (mine, its)
    one.parent_cell(index).write(pack_parent(mine._replace(state="ready")))
    assert other.read(index).parent.state == "ready"


def test_a_long_reason_is_cut_even_inside_a_letter(two):
    one, other = two
    index = one.add("a")
    one.parent_cell(index).write(pack_parent(ParentPart("failed", reason="ü" * 100)))
    one.component_cell(index).write(pack_component(ComponentPart("failed", reason="x" + "ü" * 100)))
    row = other.read(index)
    assert row.parent.reason == "ü" * 56
    assert row.component.reason == "x" + "ü" * 47 + "\ufffd"


def test_rows_are_found_and_limited(two):
    one, other = two
    assert [one.add(f"c{number}") for number in range(3)] == [0, 1, 2]
    assert other.find("c1") == 1
    assert other.find("nothing") is None
    assert one.add("c2") == 2
    with pytest.raises(ValueError, match="48 bytes"):
        one.add("x" * 49)
    with pytest.raises(IndexError):
        one.read(ROWS)
