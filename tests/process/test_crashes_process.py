"""Processes that crash, the bundles that tell of it, and the command that shows them."""

import contextlib
import errno
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dolphin_mp.crashes import shelf
from dolphin_mp.crashes.coroner import Coroner, Finding
from dolphin_mp.crashes.last_words import path_of
from dolphin_mp.crashes.memory import OomWatch
from dolphin_mp.crashes.reporter import MOST_QUEUED, Reporter
from dolphin_mp.crashes.shelf import Bounds, crashes_folder
from dolphin_mp.ipc import Board, Channel, _core
from dolphin_mp.ipc.layout import describe_dtype
from dolphin_mp.logs.files import files_folder
from dolphin_mp.logs.shelf import file_name
from dolphin_mp.parent.poller import Poller
from dolphin_mp.paths import board_name, segment_name
from dolphin_mp.plan import ComponentPlan, OutputPlan, Plan
from dolphin_mp.supervision.vocabulary import ComponentStatus, Exited, State

LIMIT_S = 30.0
QUOTE = np.dtype([("bid", "f8"), ("name", "S4"), ("deep", "i4", (2,))])
CRASHING = """
import ctypes, os, signal, sys
from dolphin_mp.crashes.last_words import LastWords
words = LastWords(sys.argv[1], "ob", 1)
words.open()
words.listen()
def fall():
    match sys.argv[2]:
        case "segv":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            try:
                raise ValueError("no answer for hunter22-key")
            except ValueError as error:
                words.write("ob", error)
                sys.exit(1)
fall()
"""


class Parent:
    """As much of an orchestrator as it takes to have a crash written down."""

    def __init__(self, world, bounds=None):
        source = world.toml(
            """
            [components.ob]
            run = "parts:Ob"
            options = { api_key = "hunter22-key", size = 4 }
            """
        )
        world.write("parts.py", "class Ob: ...\n")
        self.folder = str(world.runtime)
        output = OutputPlan("out", "ob.out", describe_dtype(QUOTE), (), 8, QUOTE.itemsize)
        self.part = ComponentPlan("ob", "parts:Ob", "ob", b"pickle", outputs=(output,))
        plan = Plan(world.name, (self.part,), source=str(source), folder=str(world.folder))
        self.board = Board.create(board_name(world.name), world.name)
        self.board.add("ob")
        self.channel = Channel.create(segment_name(world.name, "ob.out"), QUOTE, keep=8)
        self.poller = Poller()
        self.events = []
        logs = Path(files_folder(world.name))
        logs.mkdir(parents=True, exist_ok=True)
        record = {"time": "2026-01-01T00:00:00.000000Z", "component": "ob", "pid": 4711, "epoch": 1}
        record |= {"level": "info", "stream": "log", "seq": 1, "message": "hunter22-key"}
        (logs / file_name("ob", 1)).write_text(json.dumps(record) + "\n")
        self.coroner = Coroner(plan, self.board, self.folder)
        self.reporter = Reporter(self.poller, crashes_folder(world.name), self.events.append, bounds)

    def publish(self, number):
        with contextlib.closing(Channel.attach(self.channel.name)) as writer:
            writer.claim()
            for n in range(number):
                writer.publish(bid=float(n), name=b"btc", deep=[n, -n])

    def crash(self, manner, meanwhile=None):
        """Have a process crash; gives what is to be kept of it.

        Args:
            meanwhile: what happens between the death and the look at what it left.
        """
        spawned_ns = _core.boottime_ns()
        process = subprocess.run(
            [sys.executable, "-c", CRASHING, self.folder, manner], timeout=LIMIT_S, check=False
        )
        seen = {"ob": ComponentStatus("ob", State.READY, "", 4, 1, 4711, 0.0)}
        event = Exited("ob", 1, process.returncode)
        died_ns = _core.boottime_ns()
        if meanwhile is not None:
            meanwhile()
        return self.coroner.examine(event, (self.part,), seen, spawned_ns=spawned_ns, died_ns=died_ns)

    def written(self, finding):
        """Have it written; gives what was told of that."""
        self.reporter.report(finding)
        return self.next_event()

    def next_event(self):
        limit = time.monotonic() + LIMIT_S
        while not self.events:
            assert time.monotonic() < limit
            self.poller.poll(limit - time.monotonic())
        return self.events.pop(0)

    def close(self):
        self.reporter.close()
        self.poller.close()
        self.channel.close()
        self.board.close(unlink=True)


@pytest.fixture
def parent(world):
    """Give a `Parent`."""
    world.runtime.mkdir(mode=0o700, parents=True)
    parent = Parent(world, Bounds(3, 64 << 20))
    yield parent
    parent.close()
    reap()
    with contextlib.suppress(FileNotFoundError):
        (world.runtime / "crash").rmdir()
    world.runtime.rmdir()


def reap():
    """Do what the orchestrator's loop does with strangers."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, 0):
            pass


def bundle_of(world, event):
    assert "error" not in event, event
    return crashes_folder(world.name) / event["id"]


@pytest.mark.parametrize(
    ("manner", "how", "says"),
    [
        ("segv", "killed by SIGSEGV", "Fatal Python error: Segmentation fault"),
        ("abort", "killed by SIGABRT", "Fatal Python error: Aborted"),
        ("kill", "killed by SIGKILL", None),
        ("raise", "exit 1", None),
    ],
)
def test_every_crash_leaves_a_bundle(world, parent, manner, how, says):
    parent.publish(12)
    bundle = bundle_of(world, parent.written(parent.crash(manner)))
    facts = json.loads((bundle / "crash.json").read_text())
    assert facts["reason"] == how
    assert facts["pid"] == 4711
    assert 0 < facts["uptime_s"] < LIMIT_S
    assert facts["code"]["components"]["parts:Ob"]["path"] == str(world.folder / "parts.py")
    assert facts["host"]["cpus"]
    if says:
        stacks = (bundle / "stacks.txt").read_text()
        assert says in stacks
        assert "in fall" in stacks
    else:
        assert not (bundle / "stacks.txt").exists()
    assert not Path(path_of(parent.folder, "ob", 1)).exists()


def test_the_last_records_are_in_it_as_values_and_as_an_array(world, parent):
    parent.publish(12)
    bundle = bundle_of(world, parent.written(parent.crash("kill")))
    tail = json.loads((bundle / "records.json").read_text())["ob.out"]
    assert [record["version"] for record in tail["records"]] == [12, 11, 10, 9, 8]
    assert tail["records"][0]["value"] == {"bid": 11.0, "name": "btc", "deep": [11, -11]}
    assert 0 < tail["records"][0]["age_s"] < LIMIT_S
    array = np.load(bundle / "records" / "ob.out.npy")
    assert array["bid"].tolist() == [7.0, 8.0, 9.0, 10.0, 11.0]
    assert array.dtype == QUOTE


def test_what_a_successor_publishes_meanwhile_is_not_taken_for_the_dead_ones(world, parent):
    parent.publish(3)
    finding = parent.crash("kill", meanwhile=lambda: parent.publish(4))
    parent.publish(20)
    bundle = bundle_of(world, parent.written(finding))
    tail = json.loads((bundle / "records.json").read_text())["ob.out"]
    assert [record["value"]["bid"] for record in tail["records"]] == [2.0, 1.0, 0.0]


def test_no_secret_gets_into_any_file(world, parent):
    parent.publish(1)
    bundle = bundle_of(world, parent.written(parent.crash("raise")))
    texts = {path.name: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    assert set(texts) == {
        "crash.json", "config.json", "traceback.txt", "log.jsonl", "records.json", "ob.out.npy"
    }  # fmt: skip
    assert b"no answer for [redacted]" in texts["traceback.txt"]
    assert json.loads(texts["config.json"])["toml"]["components"]["ob"]["options"] == {
        "api_key": "[redacted]",
        "size": 4,
    }
    assert not [name for name, text in texts.items() if b"hunter22" in text]
    assert all(path.stat().st_mode & 0o077 == 0 for path in [bundle, *bundle.rglob("*")])


def test_only_the_newest_are_kept(world, parent):
    for n in range(5):
        facts = {"id": f"2024-{n}", "reason": "x", "died_ns": 0}
        parent.written(Finding("ob", facts, []))
    assert shelf.names(crashes_folder(world.name)) == ["2024-2", "2024-3", "2024-4"]


def test_a_storm_of_crashes_is_told_in_numbers(parent):
    number = MOST_QUEUED + 6
    for n in range(number):
        parent.reporter.report(Finding("ob", {"id": f"2024-{n:02}", "reason": "x", "died_ns": 0}, []))
    events = [parent.next_event()]
    while sum(1 + event.get("dropped", 0) for event in events) < number:
        events.append(parent.next_event())
    assert sum("id" in event for event in events) >= MOST_QUEUED


def test_a_full_disk_costs_the_records_but_not_the_traceback(world, parent):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    finding = parent.crash("raise")
    record = {"version": 1, "epoch": 1, "written_ns": 0, "blob": 0}
    tail = {"dtype": "|u1", "shape": [60_000], "epoch": 1, "version": 1, "record_size": 60_000}
    finding.facts["channels"] = {"ob.out": {**tail, "records": [record]}}
    finding.blobs[:] = [b"\xff" * 60_000]  # as JSON more than the writer may write, which inherits the limit
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, limits[1]))
    try:
        event = parent.written(finding)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    bundle = bundle_of(world, event)
    assert event["note"] == os.strerror(errno.EFBIG)
    assert sorted(path.name for path in bundle.iterdir()) == ["crash.json", "traceback.txt"]
    assert os.strerror(errno.EFBIG) in json.loads((bundle / "crash.json").read_text())["left_out"]
    assert shelf.names(crashes_folder(world.name)) == [bundle.name]


def test_a_place_that_can_not_be_written_is_said_and_survived(world, parent):
    crashes_folder(world.name).write_text("in the way")
    event = parent.written(Finding("ob", {"id": "x", "reason": "", "died_ns": 0}, []))
    assert event["event"] == "crash"
    assert "no crash bundle could be written" in event["error"]


def test_a_parent_that_leaves_waits_for_what_is_being_written(world, parent):
    parent.reporter.report(Finding("ob", {"id": "x", "reason": "", "died_ns": 0}, []))
    parent.reporter.close()
    assert [event["id"] for event in parent.events] == ["x"]


def test_the_command_lists_and_shows_them(world, parent):
    parent.publish(2)
    first = parent.written(parent.crash("segv"))
    second = parent.written(parent.crash("raise"))
    listed = json.loads(world.cli_crashes("--json"))
    assert [crash["id"] for crash in listed["crashes"]] == [second["id"], first["id"]]
    assert [crash["signal"] for crash in listed["crashes"]] == [None, "SIGSEGV"]
    table = world.cli_crashes().splitlines()
    assert table[0].split() == ["ID", "SYSTEM", "PROCESS", "AGO", "LIVED", "RESTARTS", "REASON"]
    assert table[1].startswith(second["id"])
    shown = world.cli_crashes("ob")
    assert "ValueError: no answer for [redacted]" in shown
    assert shown.splitlines()[-3].split() == ["version", "age", "bid", "name", "deep"]
    shown = world.cli_crashes(first["id"])
    assert "Fatal Python error: Segmentation fault" in shown
    whole = json.loads(world.cli_crashes(first["id"], "--json"))
    assert whole["records"]["ob.out"]["records"][0]["value"]["bid"] == 1.0
    assert whole["config"]["toml"]["components"]["ob"]["options"]["size"] == 4


@pytest.fixture(autouse=True)
def _command(world):
    """Give the world the command, whether the list of commands has it yet or not."""
    code = (
        "import argparse, sys\nfrom dolphin_mp.cli import crashes\np = argparse.ArgumentParser()\n"
        "crashes.add_arguments('crashes', p)\nsys.exit(crashes.execute(p.parse_args()))"
    )

    def cli_crashes(*arguments):
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True).stdout

    world.cli_crashes = cli_crashes


def test_killing_for_want_of_memory_is_counted():
    assert OomWatch().since() in {0, None}
