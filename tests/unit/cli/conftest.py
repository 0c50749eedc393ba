"""A machine of a test's own, with systems on it that live or are dead, all in this process."""

import secrets
import shutil
from pathlib import Path

import pytest

from dolphin_mp import Channel
from dolphin_mp.ipc._core import boottime_ns
from dolphin_mp.ipc.board import Board, ComponentPart, ParentPart, pack_component, pack_parent
from dolphin_mp.ipc.folder import FOLDER, segments
from dolphin_mp.paths import board_name, make_runtime_folder, segment_name, segment_prefix


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Give the current folder on a machine where no other's system is seen; ours are removed afterwards."""
    base = Path(f"/tmp/dm-{secrets.token_hex(4)}")
    base.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("DOLPHIN_SYSTEM", "DOLPHIN_DEBUG", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    for name in segments(segment_prefix("")[:-1]):
        Path(FOLDER, name).unlink()
    shutil.rmtree(base)


@pytest.fixture
def system(machine):
    """Give a function that makes a system's board, which lives in this process."""
    boards = []

    def make(name, *components, parent=True):
        board = Board.create(board_name(name), name)
        boards.append(board)
        if parent:
            board.take_parent()
        for component in components:
            index = board.add(component)
            board.parent_cell(index).write(pack_parent(ParentPart("ready", 1, since_ns=boottime_ns())))
            board.component_cell(index).write(pack_component(ComponentPart("ready", 1)))
            board.take_row(index)
        return board

    yield make
    for board in boards:
        board.close(unlink=True)


@pytest.fixture
def channel(machine):
    """Give a function that makes a channel of a system and claims it."""
    made = []

    def make(system, name, dtype="f8", shape=()):
        made.append(Channel.create(segment_name(system, name), dtype, shape))
        made[-1].claim()
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def crash(system, channel):
    """Give a function that leaves what a system of that name leaves when all of it is killed."""

    def crash(name):
        board = system(name, "ob")
        make_runtime_folder(name)
        top = channel(name, "ob.top")
        top.publish(1.5)
        top.close(unlink=False)
        board.close()

    return crash
