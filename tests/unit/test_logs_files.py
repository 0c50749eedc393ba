"""Records on their way to the disk and back: whole lines, rotation, order of time, following."""

import json
import os
import resource
import select

import pytest

from dolphin_mp.logs.files import look
from dolphin_mp.logs.intake import Entry
from dolphin_mp.logs.reader import Follower, at_least, history, since, tail
from dolphin_mp.logs.record import encode, identity, timestamp
from dolphin_mp.logs.shelf import Bounds
from dolphin_mp.logs.store import RETRY_S, Store

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND


def line(number, component="ob", level="info", message="m"):
    who = identity(component, 7, 1)
    return encode(START + number * SECOND, who, level, "log", message, f',"seq":{number}')


def write(folder, *entries, bounds=None):
    store = Store(str(folder), bounds)
    for component, data in entries:
        store.add(Entry(component, data))
    store.flush(0.0)
    store.close()


def numbers(records):
    return [record["seq"] for record in records]


def test_what_is_written_is_read(tmp_path):
    write(tmp_path, *(("ob", line(n)) for n in range(10)))
    files = look(str(tmp_path))
    assert numbers(history(str(tmp_path), files, 100)) == list(range(10))
    assert numbers(history(str(tmp_path), files, 3)) == [7, 8, 9]
    assert history(str(tmp_path), files, 0) == []
    assert numbers(history(str(tmp_path), files, 100, moment=timestamp(START + 8 * SECOND))) == [8, 9]


def test_tail_finds_a_system_s_component(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    write(tmp_path / "dolphin-mp" / "demo" / "logs", *(("ob", line(n)) for n in range(5)))
    assert numbers(tail("demo", "ob", 2)) == [3, 4]
    assert tail("demo", "nobody", 2) == []
    assert tail("nothing", "ob", 2) == []


def test_components_are_merged_by_time(tmp_path):
    write(tmp_path, *(("ab"[n % 2], line(n, "ab"[n % 2])) for n in (1, 0, 3, 2, 5, 4)))
    files = look(str(tmp_path))
    assert numbers(history(str(tmp_path), files, 100)) == [0, 1, 2, 3, 4, 5]
    assert numbers(since(str(tmp_path), files, timestamp(START + 2 * SECOND))) == [2, 3, 4, 5]
    assert numbers(history(str(tmp_path), look(str(tmp_path), {"a"}), 2)) == [2, 4]


def test_levels_are_chosen(tmp_path):
    write(
        tmp_path, *(("ob", line(n, level=level)) for n, level in enumerate(["debug", "error", "info", "odd"]))
    )
    found = history(str(tmp_path), look(str(tmp_path)), 100, wanted=at_least("warning"))
    assert numbers(found) == [1, 3]


def test_files_are_rotated_within_their_bound_and_read_as_one(tmp_path):
    bounds = Bounds(total=20_000, largest=4000, smallest=100, share=4)
    store = Store(str(tmp_path), bounds)
    for n in range(1000):
        store.add(Entry("loud", line(n, "loud")))
        store.flush(0.0)
        if n == 500:
            store.add(Entry("quiet", line(n, "quiet")))
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= bounds.total
    store.close()
    files = look(str(tmp_path))
    assert len(files["loud"]) > 2
    found = numbers(history(str(tmp_path), look(str(tmp_path), {"loud"}), 10_000))
    assert found == list(range(found[0], 1000))
    assert numbers(since(str(tmp_path), {"loud": files["loud"]}, "")) == found
    late = timestamp(START + 990 * SECOND)
    assert numbers(since(str(tmp_path), {"loud": files["loud"]}, late)) == list(range(990, 1000))
    assert numbers(history(str(tmp_path), look(str(tmp_path), {"quiet"}), 10)) == [500]


def test_a_line_half_written_by_a_killed_collector_is_removed(tmp_path):
    write(tmp_path, ("ob", line(0)))
    with (tmp_path / "ob.000001.jsonl").open("ab") as file:
        file.write(b'{"time":"20')
    assert numbers(history(str(tmp_path), look(str(tmp_path)), 10)) == [0]
    write(tmp_path, ("ob", line(1)))
    text = (tmp_path / "ob.000001.jsonl").read_text()
    assert [json.loads(part)["seq"] for part in text.splitlines()] == [0, 1]


def test_two_collectors_write_different_files(tmp_path):
    stores = [Store(str(tmp_path)), Store(str(tmp_path))]
    for n, store in enumerate(stores):
        store.add(Entry("ob", line(n)))
        store.flush(0.0)
    assert list(look(str(tmp_path))["ob"]) == [1, 2]
    assert numbers(history(str(tmp_path), look(str(tmp_path)), 10)) == [0, 1]
    for store in stores:
        store.close()


def test_removed_files_and_folders_are_made_again(tmp_path):
    store = Store(str(tmp_path / "logs"))
    for n in range(2):
        store.add(Entry("ob", line(n)))
        store.flush(0.0)
        for file in (tmp_path / "logs").iterdir():
            file.unlink()
        (tmp_path / "logs").rmdir()
    store.add(Entry("ob", line(2)))
    store.flush(0.0)
    assert numbers(history(str(tmp_path / "logs"), look(str(tmp_path / "logs")), 10)) == [2]
    store.close()


def test_what_can_t_be_written_is_counted_and_said_when_it_is_over(tmp_path):
    """RLIMIT_FSIZE stands in for a full disk: the write that passes it is cut, then refused."""
    store = Store(str(tmp_path))
    store.add(Entry("ob", line(0)))
    store.flush(0.0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(line(0)) + 50, before[1]))
    try:
        for n in range(1, 4):
            store.add(Entry("ob", line(n)))
            store.add(Entry("ob", line(n)))
            store.flush(float(n))
        assert store.deadline == 1.0 + RETRY_S
        assert (tmp_path / "ob.000001.jsonl").read_bytes() == line(0) + b"\n"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    store.flush(10.0)
    assert store.deadline is None
    found = history(str(tmp_path), look(str(tmp_path)), 10)
    (note,) = (record for record in found if "dropped" in record)
    assert note["dropped"] == 6
    assert "could not be written (File too large)" in note["message"]
    store.close()


def ready(follower):
    return bool(select.select([follower], [], [], 0)[0])


def test_a_follower_sees_what_is_added_through_rotation_and_nothing_twice(tmp_path):
    bounds = Bounds(total=20_000, largest=500, smallest=100, share=4)
    store = Store(str(tmp_path), bounds)
    store.add(Entry("ob", line(0)))
    store.flush(0.0)
    follower = Follower(str(tmp_path))
    assert not ready(follower)
    assert numbers(history(str(tmp_path), follower.files, 10)) == [0]
    seen = []
    for n in range(1, 30):
        store.add(Entry("ob" if n % 3 else "new", line(n)))
        store.flush(0.0)
        if n % 5 == 0:
            assert ready(follower)
            seen += numbers(follower.read())
    seen += numbers(follower.read())
    assert seen == list(range(1, 30))
    assert not ready(follower)
    follower.close()
    store.close()


def test_a_follower_of_some_hears_nothing_of_others(tmp_path):
    store = Store(str(tmp_path))
    follower = Follower(str(tmp_path), ["a"])
    for component in "ab":
        store.add(Entry(component, line(1, component)))
    store.flush(0.0)
    assert [record["component"] for record in follower.read()] == ["a"]
    follower.close()
    store.close()


def test_a_line_that_is_still_being_written_waits_for_its_end(tmp_path):
    path = tmp_path / "ob.000001.jsonl"
    path.write_bytes(line(0) + b"\n" + line(1)[:20])
    follower = Follower(str(tmp_path))
    assert numbers(history(str(tmp_path), follower.files, 10)) == [0]
    with path.open("ab") as file:
        file.write(line(1)[20:])
    assert follower.read() == []
    with path.open("ab") as file:
        file.write(b"\n")
    assert numbers(follower.read()) == [1]
    follower.close()


def test_a_folder_that_is_not_there_can_t_be_followed(tmp_path):
    with pytest.raises(FileNotFoundError):
        Follower(str(tmp_path / "none"))
    assert look(str(tmp_path / "none")) == {}
    assert os.listdir(tmp_path) == []  # noqa: PTH208
