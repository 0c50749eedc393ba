"""What a board is read as, with a parent, beside a death, and without one."""

import os
import secrets

import pytest

from dolphin_mp.ipc.board import Board, ComponentPart, ParentPart, pack_component, pack_parent
from dolphin_mp.status import ALL_WELL, NOTHING_LIVES, TROUBLED, exit_code, status_of

SECOND = 1_000_000_000
NOW = 1000 * SECOND


class Scene:
    """A board with a writing handle, and a second one as a command has it."""

    def __init__(self, *, parent=True):
        name = f"dolphin-mp-test-{os.getpid()}-{secrets.token_hex(4)}.board"
        self.board = Board.create(name, "scene")
        self.reader = Board.attach(name)
        if parent:
            self.board.take_parent()

    def row(self, name, state=None, phase=None, *, alive=False, **facts):
        """Add a row: what the parent says, what the component says, whether it lives."""
        index = self.board.add(name)
        mine = {key: facts.pop(key) for key in list(facts) if key in ParentPart._fields}
        reason = mine.pop("reason", "")
        if state is not None:
            mine = {"incarnation": 1, "since_ns": NOW - SECOND, **mine}
            part = ParentPart(state=state, reason=reason, **mine)
            self.board.parent_cell(index).write(pack_parent(part))
        if phase is not None:
            part = ComponentPart(phase=phase, **{"incarnation": 1, **facts})
            self.board.component_cell(index).write(pack_component(part))
        if alive:
            self.board.take_row(index)
        return index

    def status(self):
        return status_of(self.reader, NOW)

    def one(self):
        [component] = self.status()["components"]
        return component

    def close(self):
        self.reader.close()
        self.board.close(unlink=True)


@pytest.fixture
def scene():
    """Give a function that gives a `Scene`, removed afterwards."""
    scenes = []

    def make(**settings):
        scenes.append(Scene(**settings))
        return scenes[-1]

    yield make
    for made in scenes:
        made.close()


def test_a_ready_component_is_told_whole(scene):
    it = scene()
    sample = {"cpu_percent": 12.34, "rss_bytes": 5 << 20, "sampled_ns": NOW, "missed": 3}
    index = it.row("ob", "ready", "ready", alive=True, restarts=2, **sample)
    it.board.words(index)[0] = 77
    it.board.words(index)[1] = NOW - 2 * SECOND
    status = it.status()
    assert (status["system"], status["pid"], status["supervised"]) == ("scene", os.getpid(), True)
    assert status["components"] == [
        {
            "name": "ob",
            "state": "ready",
            "pid": os.getpid(),
            "restarts": 2,
            "beats": 77,
            "last_step_age_s": 2.0,
            "cpu_percent": 12.3,
            "rss_bytes": 5 << 20,
            "reason": "",
            "incarnation": 1,
            "missed": 3,
            "dealt": 0,
            "redealt": 0,
            "lost": 0,
            "state_age_s": 1.0,
            "step_age_s": None,
            "exit_code": None,
        }
    ]
    assert exit_code(status) == ALL_WELL


def test_before_the_first_step_and_sample_there_is_null(scene):
    it = scene()
    it.row("ob", "starting", "starting", alive=True)
    row = it.one()
    assert (row["last_step_age_s"], row["cpu_percent"], row["rss_bytes"]) == (None, None, None)


def test_a_step_that_goes_on_has_an_age(scene):
    it = scene()
    index = it.row("ob", "ready", "ready", alive=True)
    it.board.words(index)[2] = NOW - 5 * SECOND
    assert it.one()["step_age_s"] == 5.0


@pytest.mark.parametrize("state", ["waiting", "starting", "stopping", "stopped", "done", "failed", "backoff"])
def test_a_living_parents_word_counts(scene, state):
    it = scene()
    it.row("ob", state, reason="because")
    assert (it.one()["state"], it.one()["pid"], it.one()["reason"]) == (state, None, "because")


def test_a_death_that_the_parent_has_not_heard_of_is_seen(scene):
    it = scene()
    it.row("ob", "ready", "ready")
    assert (it.one()["state"], it.one()["reason"]) == ("backoff", "died a moment ago")
    assert exit_code(it.status()) == TROUBLED


def test_a_row_without_a_word_is_waiting(scene):
    it = scene()
    it.row("ob")
    assert it.one()["state"] == "waiting"


@pytest.mark.parametrize("phase", ["starting", "ready", "stopping"])
def test_without_a_parent_a_living_components_own_word_counts(scene, phase):
    it = scene(parent=False)
    it.row("ob", "ready", phase, alive=True)
    assert (it.one()["state"], it.one()["pid"]) == (phase, os.getpid())
    status = it.status()
    assert (status["pid"], status["supervised"]) == (None, False)
    assert exit_code(status) == ALL_WELL


@pytest.mark.parametrize("state", ["stopped", "done", "failed"])
def test_without_a_parent_a_recorded_end_stays(scene, state):
    it = scene(parent=False)
    it.row("ob", state, "ready", reason="so be it")
    assert (it.one()["state"], it.one()["reason"]) == (state, "so be it")


@pytest.mark.parametrize("phase", ["done", "failed"])
def test_without_a_parent_a_component_has_the_last_word_on_its_end(scene, phase):
    it = scene(parent=False)
    it.row("ob", "ready", phase)
    assert it.one()["state"] == phase


def test_the_word_of_an_incarnation_before_does_not_count(scene):
    it = scene(parent=False)
    it.row("ob", "starting", "done", incarnation=2)
    assert it.one()["state"] == "failed"


def test_a_death_without_a_parent_is_a_failure(scene):
    it = scene(parent=False)
    it.row("ob", "ready", "ready")
    it.row("other", "ready", "ready", alive=True)
    rows = {row["name"]: row for row in it.status()["components"]}
    assert (rows["ob"]["state"], rows["ob"]["reason"]) == ("failed", "died while no parent lived")
    assert exit_code(it.status()) == TROUBLED


def test_nothing_lives_when_no_parent_and_no_component_does(scene):
    it = scene(parent=False)
    it.row("ob", "ready", "ready")
    assert exit_code(it.status()) == NOTHING_LIVES
    assert it.status()["uptime_s"] is None


def test_a_parent_alone_is_something_that_lives(scene):
    it = scene()
    it.row("ob", "stopped")
    assert exit_code(it.status()) == ALL_WELL


def test_an_exit_code_is_told_after_the_first_death_only(scene):
    it = scene()
    it.row("a", "ready", alive=True)
    it.row("b", "ready", alive=True, incarnation=2, exit_code=-9)
    it.row("c", "failed", exit_code=1)
    assert [row["exit_code"] for row in it.status()["components"]] == [None, -9, 1]
