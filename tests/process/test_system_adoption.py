"""A parent is killed and another launched: it takes over what lives, and starts only what does not."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time

import pytest

from dolphin_mp import Client

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

    class Wide(Tick):
        out = Output("i8", keep=2048)

    class Follow(Component):
        inn = Input("tick.out")
        out = Output("i8", keep=64)
        def step(self):
            self.out.publish(int(self.inn.latest().value))

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
    import json, sys
    from dolphin_mp.parent.launch import run_system
    def say(event):
        print(json.dumps(event), flush=True)
    sys.exit(run_system(sys.argv[1], listener=say, **{settings!r}))
"""


class Parent:
    """A launch in a process of its own, seen through its events."""

    def __init__(self, world, settings):
        code = LAUNCH.format(settings=settings)
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

    def launch(text=None, **settings):
        """Launch, with this configuration or the last one."""
        if text is not None:
            world.toml(text)
        world.parents.append(Parent(world, settings))
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
    first = town.launch(configuration("tick", "follow", "idle"))
    first.until(event="settled")
    one = client()
    before = town.rows(one)
    town.version(one, "follow.out", 50)
    epochs = {name: one.latest(name).epoch for name in ("tick.out", "follow.out")}
    first.kill()
    second = town.launch()
    adopted = second.until(event="adopted")
    assert set(adopted["components"]) == {"tick", "follow", "idle"}
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
    first.until(event="state", component="finish", state="done")
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
