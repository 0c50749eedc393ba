"""A parent is killed and another launched: it takes over what lives, and starts only what does not."""

import contextlib
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dolphin_mp import Client
from dolphin_mp.client import ClientError
from dolphin_mp.crashes.shelf import crashes_folder, read_facts
from dolphin_mp.ipc import Board
from dolphin_mp.ipc.folder import FOLDER
from dolphin_mp.logs.files import files_folder
from dolphin_mp.logs.reader import Follower
from dolphin_mp.parent.spares import SPARES
from dolphin_mp.parent.spawner import Spawner
from dolphin_mp.paths import board_name
from dolphin_mp.process.assignment import Assignment
from dolphin_mp.system import find_system

LIMIT_S = 20.0

PARTS = """
    import os, signal, time
    from dataclasses import dataclass
    from dolphin_mp import Component, Done, Input, Output

    class Tick(Component):
        every = "1ms"
        out = Output("i8", keep=1024)

        @dataclass
        class Options:
            step: int = 1

        def step(self):
            last = self.out.latest()
            self.out.publish((0 if last is None else int(last.value)) + self.options.step)

    class Loud(Component):
        every = "1ms"
        out = Output("i8", shape=(64,), keep=4096)
        def step(self):
            with self.out.writing() as array:
                array[:] = self.out.version
            print("x" * 200)

    class Hang(Component):
        every = "10ms"
        def step(self):
            while os.path.exists("hang"):
                time.sleep(0.01)

    class Chatty(Component):
        every = "10ms"
        def step(self):
            if os.path.exists("say"):
                text = open("say").read()
                if text:
                    print(text)
                    os.remove("say")

    class Wide(Tick):
        out = Output("i8", keep=2048)

    class Follow(Component):
        inn = Input("tick.out")
        out = Output("i8", keep=64)
        def step(self):
            self.out.publish(int(self.inn.latest().value))

    class Vast(Component):
        every = "1h"
        out = Output("u1", shape=(1 << 44,))
        def step(self):
            pass

    class Idle(Component):
        every = "1h"
        def step(self):
            pass

    class Finish(Component):
        every = "1ms"
        def step(self):
            raise Done

    class Slow(Component):
        every = "1h"
        def step(self):
            pass
        def close(self):
            open("closing", "w").close()
            while not os.path.exists("close"):
                time.sleep(0.01)

    class Late(Component):
        every = "1h"
        out = Output("i8")
        def setup(self):
            open("setting-up", "w").close()
            while not os.path.exists("set-up"):
                time.sleep(0.01)
        def step(self):
            pass
"""


def configuration(*names, extra=""):
    parts = [f'[components.{name}]\nrun = "parts:{name.rstrip("0123456789").title()}"' for name in names]
    return "\n".join(parts) + extra


LAUNCH = """
    import json, os, signal, sys
    from dolphin_mp.parent.launch import run_system
    def say(event):
        print(json.dumps(event), flush=True)
        if event["event"] == {die_at!r}:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(run_system(sys.argv[1], listener=say, **{settings!r}))
"""


class Parent:
    """A launch in a process of its own, seen through its events."""

    def __init__(self, world, die_at, settings):
        code = LAUNCH.format(die_at=die_at, settings=settings)
        self.process = world.python(code, str(world.folder / "dolphin.toml"), stdout=subprocess.PIPE)
        self.pid = self.process.pid
        self.events = []
        self._rest = b""

    def until(self, limit_s=LIMIT_S, **facts):
        """Wait for an event with these facts, told or to come; gives it."""
        limit = time.monotonic() + limit_s
        number = 0
        while True:
            for event in self.events[number:]:
                number += 1
                if all(event.get(key) == value for key, value in facts.items()):
                    return event
            self._read(limit, facts)

    def _read(self, limit, facts):
        ready = select.select([self.process.stdout], [], [], max(0.0, limit - time.monotonic()))[0]
        assert ready, f"no {facts}: {self.events}, {self.process.err.read_text()[-2000:]}"
        text = os.read(self.process.stdout.fileno(), 1 << 16)
        assert text, f"it ended without {facts}: {self.events}, {self.process.err.read_text()[-2000:]}"
        *lines, self._rest = (self._rest + text).split(b"\n")
        self.events += map(json.loads, lines)

    def take(self):
        """Take what was told until now, without waiting."""
        while select.select([self.process.stdout], [], [], 0)[0]:
            self._read(time.monotonic() + LIMIT_S, "the end")

    def told(self, component):
        """Give the states that were told of a component until now."""
        return [event["state"] for event in self.events if event.get("component") == component]

    def kill(self):
        self.process.kill()
        self.process.wait(LIMIT_S)


@pytest.fixture
def town(world):
    """Give a world with the components' module and `launch`; what lives in the end is shut down."""
    world.write("parts.py", PARTS)
    world.parents = []

    def launch(text=None, die_at="", **settings):
        """Launch, with this configuration or the last one; the parent may kill itself at an event."""
        if text is not None:
            world.toml(text)
        world.parents.append(Parent(world, die_at, settings))
        return world.parents[-1]

    world.launch = launch
    yield world
    for name in ("close", "set-up"):
        (world.folder / name).touch()
    world.finish(world.start([sys.executable, "-m", "dolphin_mp.cli", "shutdown", "--system", world.name]))
    for parent in world.parents:
        world.finish(parent.process)
        parent.process.stdout.close()
    world.finish(world.start([sys.executable, "-m", "dolphin_mp.cli", "clean", "--system", world.name]))


@pytest.fixture
def client(town):
    """Give a function that gives a client of the system as it is now."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(Client(town.name))


def pids_of(client):
    return {row["name"]: row["pid"] for row in client.status()["components"]}


def test_the_living_are_taken_over_as_they_are(town, client):
    pair = "".join(f'\n[components.{name}]\nrun = "parts:Idle"\nprocess = "pair"' for name in ("one", "two"))
    first = town.launch(configuration("tick", "follow", "idle") + pair)
    first.until(event="settled")
    one = client()
    before = town.rows(one)
    town.version(one, "follow.out", 50)
    epochs = {name: one.latest(name).epoch for name in ("tick.out", "follow.out")}
    first.kill()
    second = town.launch()
    adopted = second.until(event="adopted")
    assert set(adopted["components"]) == set(before) == {"tick", "follow", "idle", "one", "two"}
    second.until(event="settled")
    two = client()
    status = two.status()
    assert (status["pid"], status["supervised"]) == (second.pid, True)
    after = town.rows(two)
    for name, row in after.items():
        assert (row["state"], row["pid"]) == ("ready", before[name]["pid"])
        assert (row["incarnation"], row["restarts"]) == (1, 0)
        assert second.told(name) == ["ready"]
        assert row["state_age_s"] >= before[name]["state_age_s"]
    town.version(two, "follow.out", two.channel("follow.out").version + 50)
    assert {name: two.latest(name).epoch for name in epochs} == epochs
    assert one.latest("tick.out").version >= 50  # who read before reads on


def test_the_adopted_are_stopped_started_and_restarted_like_any(town, client):
    town.launch(configuration("tick", "idle")).until(event="settled")
    before = pids_of(client())
    town.parents[0].kill()
    town.launch().until(event="settled")
    steering = client()
    assert steering.stop("idle")["state"] == "stopped"
    town.wait_gone(before["idle"])
    assert steering.start("idle")["incarnation"] == 2
    again = steering.restart("tick")
    assert (again["incarnation"], again["restarts"]) == (2, 0)
    town.wait_gone(before["tick"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGSEGV, -11)])
def test_the_death_of_an_adopted_one_is_seen_with_its_exit_status(town, client, number, code):
    town.launch(configuration("tick", "idle")).until(event="settled")
    before = pids_of(client())
    town.parents[0].kill()
    second = town.launch()
    second.until(event="settled")
    os.kill(before["idle"], number)
    second.until(event="state", component="idle", state="ready", incarnation=2)
    row = town.rows(client())["idle"]
    assert (row["exit_code"], row["restarts"], row["incarnation"]) == (code, 1, 2)
    assert pids_of(client())["tick"] == before["tick"]


def test_only_what_died_meanwhile_is_restarted(town, client):
    town.launch(configuration("tick", "follow", "idle")).until(event="settled")
    before = pids_of(client())
    town.parents[0].kill()
    os.kill(before["tick"], signal.SIGKILL)
    town.wait_gone(before["tick"])
    second = town.launch()
    second.until(event="settled")
    after = town.rows(client())
    assert (after["tick"]["incarnation"], after["tick"]["restarts"]) == (2, 1)
    assert after["tick"]["exit_code"] == -9
    assert {name: after[name]["pid"] for name in ("follow", "idle")} == {
        name: before[name] for name in ("follow", "idle")
    }
    version = client().channel("follow.out").version
    town.version(client(), "follow.out", version + 20)


def test_what_was_answered_outlives_the_parent_and_history_is_kept(town, client):
    first = town.launch(configuration("tick", "idle", "finish", "idle2"))
    first.until(component="finish", state="done")
    first.until(event="settled")
    steering = client()
    os.kill(pids_of(steering)["tick"], signal.SIGKILL)
    first.until(event="state", component="tick", state="ready", restarts=1)
    steering.stop("idle")
    before = pids_of(steering)
    first.kill()
    second = town.launch()
    second.until(event="settled")
    after = town.rows(client())
    assert {name: row["state"] for name, row in after.items()} == {
        "tick": "ready",
        "idle": "stopped",
        "finish": "done",
        "idle2": "ready",
    }
    assert (after["tick"]["pid"], after["tick"]["restarts"], after["tick"]["incarnation"]) == (
        before["tick"],
        1,
        2,
    )
    assert after["idle"]["reason"] == "on request"
    assert client().start("idle")["state"] == "ready"


def test_a_second_launch_beside_a_living_parent_is_refused(town):
    first = town.launch(configuration("idle"))
    first.until(event="settled")
    second = town.launch()
    assert town.finish(second.process) == 1
    assert f"pid {first.pid}" in second.process.err.read_text()


# killed in the midst of something ---------------------------------------------------------------------------


def processes(town, name):
    """Give the pids of all living processes that are, or are on their way to be, that component."""
    return [pid for pid in town.strangers() if town.title(pid) == f"{name} [dolphin-mp {town.name}]"]


def test_one_that_was_starting_goes_on_to_be_ready(town, client):
    first = town.launch(configuration("late", "idle"))
    town.wait_for_path(town.folder / "setting-up")
    first.until(component="idle", state="ready")
    pid = pids_of(client())["late"]
    first.kill()
    second = town.launch()
    second.until(event="adopted")
    assert second.told("late") == ["starting"]
    (town.folder / "set-up").touch()
    second.until(component="late", state="ready", incarnation=1)
    assert processes(town, "late") == [pid]


def test_one_that_got_ready_while_no_parent_lived_is_ready(town, client):
    first = town.launch(configuration("late", "idle"))
    town.wait_for_path(town.folder / "setting-up")
    first.until(component="idle", state="ready")
    orphans = client()
    first.kill()
    (town.folder / "set-up").touch()
    board = Board.attach(board_name(town.name))
    row = board.find("late")
    until(lambda: board.read(row).component.phase == "ready")
    board.close()
    second = town.launch()
    second.until(event="settled")
    assert second.told("late") == ["ready"]
    assert town.rows(orphans)["late"]["incarnation"] == 1


def collector_of(town):
    """Give the pid of the process that writes down what is said, once it is there."""
    found = []

    def is_there():
        found[:] = [pid for pid in town.strangers() if town.title(pid).startswith("logs [")]
        return len(found) == 1

    until(is_there)
    return found[0]


def until(is_so, limit_s=LIMIT_S):
    """Wait for what shared memory says and nothing tells of."""
    limit = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < limit
        select.select([], [], [], 0.005)


def test_one_that_was_being_stopped_is_wanted_up_again(town, client):
    first = town.launch(configuration("slow", "idle"))
    first.until(event="settled")
    before = pids_of(client())
    client().request("stop", component="slow", wait=False)
    town.wait_for_path(town.folder / "closing")
    first.kill()
    second = town.launch()
    second.until(event="adopted")
    assert second.told("slow") == ["stopping"]
    (town.folder / "close").touch()
    second.until(component="slow", state="ready", incarnation=2)
    town.wait_gone(before["slow"])
    assert pids_of(client()) == {"slow": processes(town, "slow")[0], "idle": before["idle"]}


def test_one_that_was_asked_of_the_zygote_is_never_born(town, client):
    first = town.launch(configuration("idle", "idle2"))
    first.until(event="settled")
    steering = client()
    steering.stop("idle2")
    until(lambda: sum(town.title(pid).startswith("spare [") for pid in town.strangers()) == SPARES)
    named = {pid: town.title(pid) for pid in town.strangers()}
    zygotes = [pid for pid, title in named.items() if title.startswith("zygote [dolphin-mp")]
    assert zygotes
    for pid in zygotes:
        os.kill(pid, signal.SIGSTOP)
    for pid in [pid for pid, title in named.items() if title.startswith("spare [")]:
        os.kill(pid, signal.SIGKILL)
        town.wait_gone(pid)
    steering.request("start", component="idle2", wait=False)
    first.until(component="idle2", state="starting", incarnation=2)
    first.kill()
    second = town.launch()
    second.until(component="idle2", state="ready")
    for pid in zygotes:  # one of them may have been about to park a spare
        os.kill(pid, signal.SIGCONT)
    for pid in zygotes:
        town.wait_gone(pid)
    row = town.rows(client())["idle2"]
    assert (row["incarnation"], row["restarts"]) == (3, 0)
    assert processes(town, "idle2") == [row["pid"]]


def test_one_that_is_told_by_a_dead_parent_comes_too_late(town, client, parked):
    first = town.launch(configuration("idle", "tick"))
    first.until(event="settled")
    board = Board.attach(board_name(town.name))
    told = board.launched_ns
    late = parked("tick", incarnation=2)
    first.kill()
    second = town.launch()
    second.until(event="settled")
    client().stop("tick")  # its row is free
    late.tell(launched_ns=told)
    town.wait_gone(late.pid)
    assert os.waitstatus_to_exitcode(os.waitpid(late.pid, 0)[1]) == 75
    assert not board.is_alive(board.find("tick"))
    board.close()
    assert client().start("tick")["state"] == "ready"


@pytest.fixture
def parked(town):
    """Give a function that parks a process of a zygote of the test's own, to be told what to be later."""
    spawner = Spawner(dict(os.environ))
    spawner.start()
    spawner.wait_ready()

    class Parked:
        def __init__(self, name, incarnation):
            self.part = find_system(town.folder / "dolphin.toml").plan().component(name)
            self.incarnation = incarnation
            self.line = spawner.park(json.dumps(self.assignment(0).home()).encode())
            self.pid = self.line.here()

        def assignment(self, launched_ns):
            folder = str(town.runtime)
            return Assignment(
                system=town.name,
                process=self.part.process,
                incarnation=self.incarnation,
                orphan="run",
                parent=os.getpid(),
                open_files=1024,
                environment=dict(os.environ),
                cwd=str(town.folder),
                notify=f"{folder}/notify",
                logs="",
                members=(self.part,),
                launched_ns=launched_ns,
            )

        def tell(self, launched_ns):
            self.line.tell(b"run", self.assignment(launched_ns).to_json(at_home=True))
            self.line.close()

    yield Parked
    spawner.close()


@pytest.mark.parametrize("event", ["launched", "state", "adopted"])
def test_a_parent_that_is_killed_while_it_takes_over_is_followed_by_the_next(town, client, event):
    town.launch(configuration("tick", "follow", "idle")).until(event="settled")
    before = town.rows(client())
    town.parents[0].kill()
    second = town.launch(die_at=event)
    assert town.finish(second.process) == -signal.SIGKILL
    third = town.launch()
    third.until(event="settled")
    after = town.rows(client())
    for name, row in after.items():
        assert (row["state"], row["pid"], row["restarts"]) == ("ready", before[name]["pid"], 0)
    town.version(client(), "follow.out", client().channel("follow.out").version + 20)


def test_a_parent_that_is_killed_while_it_ends_the_unfit_is_followed_by_the_next(town, client):
    text = configuration("idle", "slow") + '\nrestart = "never"'
    town.launch(text).until(event="settled")
    before = pids_of(client())
    town.parents[0].kill()
    second = town.launch(text + '\nevery = "2h"')
    town.wait_for_path(town.folder / "closing")
    second.kill()
    (town.folder / "close").touch()
    town.wait_gone(before["slow"])
    third = town.launch(text)  # by that it ran; that it was asked to end says nothing about it
    third.until(event="settled")
    after = town.rows(client())
    assert (after["slow"]["state"], after["slow"]["incarnation"]) == ("ready", 2)
    assert after["slow"]["pid"] != before["slow"]
    assert after["idle"]["pid"] == before["idle"]


# another configuration, another version ---------------------------------------------------------------------


def test_only_what_changed_is_restarted(town, client):
    text = configuration("tick", "follow", "idle", "finish", "idle2")
    first = town.launch(text)
    first.until(component="finish", state="done")
    first.until(event="settled")
    before = pids_of(client())
    town.parents[0].kill()
    changed = text.replace('"parts:Tick"', '"parts:Tick"\noptions = { step = 1000000 }')
    changed += "\nmax_restarts = 3"
    changed = changed.replace('"parts:Finish"', '"parts:Finish"\nevery = "5ms"')
    second = town.launch(changed.replace("components.idle]", "components.other]"))
    second.until(component="finish", state="done", incarnation=2)
    second.until(event="settled")
    after = town.rows(client())
    assert set(after) == {"tick", "follow", "other", "finish", "idle2"}
    assert {row["state"] for name, row in after.items() if name != "finish"} == {"ready"}
    assert {name: after[name]["pid"] for name in ("follow", "idle2")} == {
        name: before[name] for name in ("follow", "idle2")
    }
    assert (after["tick"]["incarnation"], after["tick"]["restarts"]) == (2, 0)
    town.wait_gone(before["tick"])
    town.wait_gone(before["idle"])
    assert processes(town, "idle") == []
    records = client().channel("tick.out").history(2)
    assert records[1].value - records[0].value == 1000000


def test_a_launch_that_comes_to_nothing_leaves_the_living_alone(town, client):
    text = configuration("tick", "idle")
    town.launch(text).until(event="settled")
    before = pids_of(client())
    town.parents[0].kill()
    refused = town.launch(text + '\n[components.vast]\nrun = "parts:Vast"')
    assert town.finish(refused.process) == 1
    assert "vast" in refused.process.err.read_text()
    town.version(client(), "tick.out", client().channel("tick.out").version + 20)
    town.launch(text).until(event="adopted")
    assert pids_of(client()) == before


def test_a_channel_of_another_layout_is_replaced_and_its_readers_are_restarted(town, client):
    text = configuration("tick", "follow", "idle")
    town.launch(text).until(event="settled")
    before = pids_of(client())
    town.parents[0].kill()
    second = town.launch(text.replace("parts:Tick", "parts:Wide"))
    second.until(event="settled")
    after = pids_of(client())
    assert after["idle"] == before["idle"]
    assert after["tick"] != before["tick"]
    assert after["follow"] != before["follow"]
    town.version(client(), "follow.out", client().channel("follow.out").version + 20)
    assert client().channel("tick.out").keep == 2048


@pytest.mark.parametrize("back", [False, True])
def test_a_parent_that_is_killed_in_the_midst_of_a_reload_is_followed_by_the_next(town, client, back):
    """By the new configuration, or by the one that it had before."""
    text = configuration("idle", "slow")
    town.launch(text).until(event="settled")
    before = pids_of(client())
    town.toml(text + '\nevery = "2h"')
    with pytest.raises(ClientError, match="not answered"):
        client().reload(timeout_s=0.01)
    town.wait_for_path(town.folder / "closing")
    town.parents[0].kill()
    (town.folder / "close").touch()
    second = town.launch(text if back else None)
    second.until(event="settled")
    after = town.rows(client())
    assert (after["slow"]["state"], after["slow"]["incarnation"]) == ("ready", 2)
    assert processes(town, "slow") == [after["slow"]["pid"]]
    assert after["idle"]["pid"] == before["idle"]


def test_one_that_was_changing_when_its_parent_died_is_started_anew(town, client):
    town.launch(configuration("tick", "idle")).until(event="settled")
    before = pids_of(client())
    town.parents[0].kill()
    # as `remember` writes it while tick is changed
    file = town.runtime / "plan.json"
    data = json.loads(file.read_text())
    data["plan"]["components"] = [c for c in data["plan"]["components"] if c["name"] != "tick"]
    file.write_text(json.dumps(data))
    town.launch().until(event="settled")
    after = town.rows(client())
    assert (after["tick"]["state"], after["tick"]["incarnation"]) == ("ready", 2)
    assert after["idle"]["pid"] == before["idle"]


@pytest.mark.parametrize("damage", ["version", "missing", "layout"])
def test_what_another_version_has_started_is_ended_in_order_and_started_anew(town, client, damage):
    town.launch(configuration("tick", "follow")).until(event="settled")
    before = pids_of(client())
    town.parents[0].kill()
    plan = town.runtime / "plan.json"
    assert plan.stat().st_mode & 0o777 == 0o600
    if damage == "version":
        plan.write_text(json.dumps({**json.loads(plan.read_text()), "version": "0.0.1"}))
    elif damage == "missing":
        plan.unlink()
    else:
        with Path(FOLDER, board_name(town.name)).open("r+b") as board:
            board.seek(8)
            board.write(struct.pack("<I", 99))
    town.launch().until(event="settled")
    for pid in before.values():
        town.wait_gone(pid)
    after = town.rows(client())
    assert {name: (row["state"], row["incarnation"]) for name, row in after.items()} == {
        "tick": ("ready", 1),
        "follow": ("ready", 1),
    }


def test_one_whose_row_names_another_is_found_by_its_lock_ended_and_started_anew(town, client):
    town.launch(configuration("tick", "idle") + '\nstop_within = "1s"').until(event="settled")
    before = pids_of(client())
    town.parents[0].kill()
    os.kill(before["idle"], signal.SIGSTOP)  # to ask it is not enough
    board = Board.attach(board_name(town.name))
    at = board._at(board.find("idle"))
    board._memory[at : at + 16] = struct.pack("<IIQ", os.getpid(), os.getpid(), 1)
    board.close()
    second = town.launch()
    second.until(event="settled")
    town.wait_gone(before["idle"])
    after = town.rows(client())
    assert (after["idle"]["state"], after["idle"]["incarnation"]) == ("ready", 2)
    assert after["tick"]["pid"] == before["tick"]
    assert processes(town, "idle") == [after["idle"]["pid"]]


# with the market open ---------------------------------------------------------------------------------------


class Reader:
    """Reads every record of a channel and finds whether any is lost, torn or of another writer."""

    def __init__(self, channel):
        self.channel = channel
        self.version = channel.latest().version
        self.epochs = set()
        self.faults = []

    def read(self):
        """Take what is new; give the newest version."""
        found = self.channel.since(self.version)
        if found.lost:
            self.faults.append(f"{found.lost} lost after {self.version}")
        for record in found.records:
            if record.version != self.version + 1 or len(set(record.value.tolist())) != 1:
                self.faults.append(f"{record.version} after {self.version}: {record.value}")
            self.version = record.version
            self.epochs.add(record.epoch)
        return self.version


def test_ten_that_publish_at_a_kilohertz_notice_nothing(town, client):
    """Not even that the collector of what they print dies too, and every pipe gets full."""
    names = [f"loud{number}" for number in range(10)]
    first = town.launch(configuration(*names))
    first.until(event="settled")
    orphans = client()
    for name in names:
        town.version(orphans, f"{name}.out", 1)
    readers = [Reader(orphans.channel(f"{name}.out")) for name in names]

    def go_on(count):
        """Read on until each has published so many more."""
        ends = [reader.read() + count for reader in readers]
        limit = time.monotonic() + LIMIT_S
        while any(reader.read() < end for reader, end in zip(readers, ends, strict=True)):
            assert time.monotonic() < limit, "one stands still"
            select.select([], [], [], 0.02)

    before = pids_of(orphans)
    go_on(50)
    collector = collector_of(town)
    os.kill(collector, signal.SIGKILL)
    first.kill()
    fifo = os.open(town.runtime / "notify", os.O_RDWR | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while os.write(fifo, b"x" * 4095 + b"\n"):
            pass
    go_on(400)
    second = town.launch()
    while not any(event["event"] == "settled" for event in second.events):
        go_on(10)
        second.take()
    go_on(200)
    os.close(fifo)
    assert [reader.faults for reader in readers] == [[]] * 10
    assert [reader.epochs for reader in readers] == [{1}] * 10
    assert pids_of(orphans) == before
    assert client().restart("loud0")["state"] == "ready"


# what comes with a process: its logs, its timer, its end ----------------------------------------------------


def test_an_adopted_one_that_hangs_is_found_killed_and_told_of(town, client):
    began_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    text = configuration("hang", "idle").replace('Hang"', 'Hang"\nhang_after = "300ms"')
    first = town.launch(text)
    first.until(event="settled")
    before = pids_of(client())
    first.kill()
    second = town.launch()
    second.until(event="settled")
    assert pids_of(client())["hang"] == before["hang"]
    (town.folder / "hang").touch()
    assert "hung" in second.until(component="hang", state="stopping")["reason"]
    (town.folder / "hang").unlink()
    assert second.until(component="hang", state="ready", incarnation=2)["restarts"] == 1
    told = second.until(event="crash", process="hang")
    bundle = crashes_folder(town.name) / told["id"]
    facts = read_facts(bundle)
    assert "hung" in facts["reason"]
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - began_s
    assert 0 < facts["uptime_s"] < age_s + 0.01  # a clock tick
    assert "in step" in (bundle / "stacks.txt").read_text()


def test_what_an_adopted_one_says_is_still_written_down(town):
    """The collector of an earlier parent is taken over; after its death another takes up the pipes."""
    first = town.launch(configuration("chatty", "idle"))
    first.until(event="settled")
    collector = collector_of(town)
    follower = Follower(files_folder(town.name), ["chatty"])
    first.kill()
    say(town, follower, "alone")
    town.launch().until(event="settled")
    say(town, follower, "with another parent")
    assert collector_of(town) == collector
    town.parents[1].kill()
    os.kill(collector, signal.SIGKILL)
    (town.folder / "say").write_text("to nobody")
    until(lambda: not (town.folder / "say").exists())
    town.launch().until(event="settled")
    wait_said(follower, "to nobody")
    follower.close()


def say(town, follower, text):
    (town.folder / "say").write_text(text)
    wait_said(follower, text)
    until(lambda: not (town.folder / "say").exists())


def wait_said(follower, text):
    """Wait until it is written down."""
    limit = time.monotonic() + LIMIT_S
    while not any(record["message"] == text for record in follower.read()):
        ready = select.select([follower], [], [], max(0.0, limit - time.monotonic()))[0]
        assert ready, f"not written down: {text}"
