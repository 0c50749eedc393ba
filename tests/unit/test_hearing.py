"""What the parent hears, and what the board says where words may have been lost."""

import os
import secrets
from pathlib import Path

import pytest

from dolphin_mp.ipc import Board
from dolphin_mp.ipc.board import ComponentPart, ParentPart, pack_component, pack_parent
from dolphin_mp.ipc.folder import FOLDER
from dolphin_mp.parent.hearing import Hearing
from dolphin_mp.process.notify import Notifier, Word


@pytest.fixture
def board():
    name = f"dolphin-mp-test-{os.getpid()}-{secrets.token_hex(4)}.board"
    board = Board.create(name, "s")
    yield board
    board.close(unlink=True)
    assert not Path(FOLDER, name).exists()


@pytest.fixture
def hearing(board, tmp_path):
    hearing = Hearing(str(tmp_path / "notify"), board, {name: board.add(name) for name in ("a", "b")})
    yield hearing
    hearing.close()


def write(board, name, state, phase, incarnation=3):
    row = board.add(name)
    board.parent_cell(row).write(pack_parent(ParentPart(state, 3)))
    board.component_cell(row).write(pack_component(ComponentPart(phase, incarnation)))


def spoil(path):
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    os.write(fd, b"rubbish\n")
    os.close(fd)


def test_words_of_strangers_are_left_out(hearing, tmp_path):
    notifier = Notifier(str(tmp_path / "notify"))
    notifier.say("c", 1, "ready")
    notifier.say("a", 1, "ready")
    assert hearing.words() == [Word("a", 1, "ready", "")]


@pytest.mark.parametrize(
    ("state", "phase", "told"),
    [
        ("starting", "ready", True),
        ("starting", "starting", False),
        ("ready", "ready", False),
        ("stopping", "ready", False),
        ("ready", "done", True),
        ("done", "done", False),
        ("backoff", "failed", False),
    ],
)
def test_a_lost_word_is_read_from_the_board_if_it_is_news(hearing, board, tmp_path, state, phase, told):
    write(board, "a", state, phase)
    assert hearing.words() == []
    spoil(tmp_path / "notify")
    assert hearing.words() == ([Word("a", 3, phase, "")] if told else [])
    assert hearing.words() == []


def test_what_a_predecessor_wrote_is_no_word_of_its_successor(hearing, board, tmp_path):
    write(board, "a", "starting", "ready", incarnation=2)
    spoil(tmp_path / "notify")
    assert hearing.words() == []
