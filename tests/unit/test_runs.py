import json
import logging

from dolphin_mp.process.runs import RunBook, Runs


def book(path, log=None, rule="0 8 * * *"):
    return RunBook(str(path), rule, log or logging.getLogger("test"))


def test_what_is_noted_is_read_by_the_next(tmp_path):
    path = tmp_path / "s" / "schedules" / "mc.json"
    first = book(path)
    assert first.runs == Runs()
    first.begin(10)
    assert book(path).runs == Runs(10, None)
    first.end(20)
    first.begin(30)
    assert book(path).runs == Runs(30, 20)
    assert [entry.name for entry in path.parent.iterdir()] == ["mc.json"]


def test_another_schedules_runs_say_nothing(tmp_path):
    book(tmp_path / "mc.json").end(10)
    assert book(tmp_path / "mc.json", rule="0 9 * * *").runs == Runs()


def test_a_damaged_file_is_told_of_and_written_anew(tmp_path, caplog):
    path = tmp_path / "mc.json"
    for text in ("", "{", "[]", '{"rule": "0 8 * * *"}', json.dumps({"begun_ns": 1})):
        path.write_text(text)
        caplog.clear()
        damaged = book(path)
        assert damaged.runs == Runs()
        assert "says nothing of earlier runs" in caplog.text
    path.write_text(json.dumps({"rule": "0 8 * * *", "begun_ns": "yesterday", "ended_ns": 1.5}))
    assert book(path).runs == Runs()
    damaged.end(10)
    assert book(path).runs == Runs(10, 10)


def test_a_folder_that_can_not_be_written_is_told_of_once(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    unwritable = book(tmp_path / "file" / "mc.json")
    unwritable.begin(10)
    unwritable.end(10)
    assert unwritable.runs == Runs(10, 10)
    assert caplog.text.count("will not be known") == 1
