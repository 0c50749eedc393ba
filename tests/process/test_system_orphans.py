"""A parent that is killed: its components go on or end, and what is left can be ended and launched again."""

import contextlib
import os
import signal

import pytest

from dolphin_mp import Client, Component, Output, System
from dolphin_mp.client import NotRunningError


def ticker(every_="5ms"):
    class Tick(Component):
        every = every_
        out = Output("i8", keep=64)

        def step(self):
            self.out.publish(self.out.version + 1)

    return Tick


@pytest.fixture
def orphaned(world):
    """Give a function that launches, kills the parent and gives (client, components' pids)."""
    with contextlib.ExitStack() as stack:

        def orphaned(components, orphan, record_of=None, **settings):
            System(world.name, components, orphan=orphan).launch(detach=True, **settings).close()
            client = stack.enter_context(Client(world.name))
            if record_of:
                world.version(client, record_of)
            pids = {name: row["pid"] for name, row in world.rows(client).items()}
            for name in pids:
                world.version(client, f"{name}.out")
            parent = client.status()["pid"]
            os.kill(parent, signal.SIGKILL)
            world.wait_gone(parent)
            return client, pids

        yield orphaned


def test_components_go_on_and_status_tells(world, orphaned):
    client, pids = orphaned({"tick": ticker(), "other": ticker()}, "run")
    world.version(client, "tick.out", client.channel("tick.out").version + 20)
    world.version(client, "other.out", client.channel("other.out").version + 20)
    status = client.status()
    assert status["pid"] is None
    assert status["supervised"] is False
    assert {row["name"]: row["pid"] for row in status["components"]} == pids
    assert {row["state"] for row in status["components"]} == {"ready"}
    with pytest.raises(NotRunningError, match=r"parent of .* is dead"):
        client.stop("tick")
    with Client(world.name) as another:
        assert another.latest("tick.out").version > 0
    world.cli("shutdown", "--system", world.name)
    for pid in pids.values():
        world.wait_gone(pid)


def test_they_end_where_that_was_wanted(world, orphaned):
    client, pids = orphaned({"tick": ticker(), "slow": ticker("1h")}, "stop")
    for pid in pids.values():
        world.wait_gone(pid)
    assert client.status()["supervised"] is False
    assert {row["state"] for row in client.status()["components"]} == {"stopped"}
    world.cli("shutdown", "--system", world.name)


def test_for_so_long_ends_with_its_parent(world, orphaned):
    _, pids = orphaned({"tick": ticker()}, "run", for_s=600.0)
    world.wait_gone(pids["tick"])
    world.cli("shutdown", "--system", world.name)


def test_one_that_does_not_heed_its_parents_death_is_killed_with_its_group(world, orphaned):
    class Deaf(Component):
        every = "1ms"
        child = Output("i8")

        def step(self):
            import subprocess
            import time

            self.child.publish(subprocess.Popen(["sleep", "600"]).pid)
            while True:
                with contextlib.suppress(SystemExit):
                    time.sleep(600)

    class Polite(Component):
        every = "1h"
        child = Output("i8")

        def setup(self):
            import subprocess

            self.process = subprocess.Popen(["sleep", "600"])
            self.child.publish(self.process.pid)

        def step(self):
            pass

    System(world.name, {"deaf": (Deaf, {"stop_within": "1s"}), "polite": Polite}, orphan="stop").launch(
        detach=True
    ).close()
    with Client(world.name) as client:
        grandchildren = [int(world.record(client, f"{name}.child").value) for name in ("deaf", "polite")]
        pids = [row["pid"] for row in client.status()["components"]]
        os.kill(client.status()["pid"], signal.SIGKILL)
        for pid in pids + grandchildren:
            world.wait_gone(pid)
    world.cli("shutdown", "--system", world.name)


def test_the_next_launch_takes_up_what_the_dead_have_left(world, orphaned):
    client, pids = orphaned({"tick": ticker()}, "stop", record_of="tick.out")
    world.wait_gone(pids["tick"])
    last = client.latest("tick.out")
    with System(world.name, {"tick": ticker()}).launch() as again:
        record = world.record(again, "tick.out", last.version)
        assert record.epoch == last.epoch + 1
        assert again.status()["supervised"]
        assert world.rows(again)["tick"]["restarts"] == 0


def test_another_layout_replaces_what_the_dead_have_left(world, orphaned):
    class Other(Component):
        every = "5ms"
        out = Output("f4", shape=3)
        more = Output("f8")

        def step(self):
            self.out.publish(
                self.out.latest().value if self.out.version else __import__("numpy").zeros(3, "f4")
            )

    _, pids = orphaned({"tick": ticker(), "gone": ticker()}, "stop")
    for pid in pids.values():
        world.wait_gone(pid)
    with System(world.name, {"tick": Other}).launch() as again:
        assert world.record(again, "tick.out").value.shape == (3,)
        assert [row["name"] for row in again.status()["components"]] == ["tick"]
        assert not any("gone" in name for name in world.segments())


def test_zygote_and_the_unborn_end_with_the_parent(world):
    with System(world.name, {"tick": ticker()}, orphan="stop").launch(detach=True) as client:
        parent = client.status()["pid"]
        pids = world.strangers()
        os.kill(parent, signal.SIGKILL)
        for pid in pids:
            world.wait_gone(pid)
    world.cli("shutdown", "--system", world.name)
