"""Systems made in Python: launched from this process or a script, left, ended."""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dolphin_mp import Client, Component, Input, Output, System
from dolphin_mp.client import NotRunningError
from dolphin_mp.faults import ConfigurationError
from dolphin_mp.parent.errors import RunningError

QUOTE = np.dtype([("bid", "f8"), ("ask", "f8")])

SCRIPT = """
    import os, sys
    import numpy as np
    from dolphin_mp import Component, Output, System

    class Tick(Component):
        every = "10ms"
        out = Output("f8")
        def step(self):
            self.out.publish(1.0)

    client = System({name!r}, {{"tick": Tick}}).launch({settings})
    sys.stdin.read()
    {then}
"""


def launch_by_script(world, settings, then):
    """Give a script that has launched and will go on, a client and the parent's pid."""
    code = SCRIPT.format(name=world.name, settings=settings, then=then)
    script = world.python(code, stdin=subprocess.PIPE)
    client = world.await_launch()
    world.version(client, "tick.out", 3)
    return script, client, client.status()["pid"]


def ticker():
    class Tick(Component):
        every = "10ms"
        out = Output("i8", keep=64)

        def step(self):
            last = self.out.latest()
            self.out.publish(1 if last is None else int(last.value) + 1)

    return Tick


def test_classes_by_value_share_records_and_leaving_shuts_down(world):
    class Quotes(Component):
        every = "10ms"
        quote = Output(QUOTE, keep=16)

        def step(self):
            self.quote.publish(bid=99.5, ask=100.5)

    class Edge(Component):
        quote = Input("quotes.quote", stale_after="3s", required=True)
        edge = Output("f8")

        def step(self):
            now = self.quote.latest()
            assert now.fresh
            self.edge.publish(float(now.value["ask"] - now.value["bid"]))

    with System(world.name, {"quotes": Quotes, "edge": Edge}).launch() as client:
        record = world.record(client, "edge.edge", 3)
        assert float(record.value) == 1.0
        pids = [row["pid"] for row in client.status()["components"]] + [client.status()["pid"]]
        assert {row["state"] for row in client.status()["components"]} == {"ready"}
    for pid in pids:
        assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(NotRunningError):
        Client(world.name)


def test_classes_by_name_come_from_their_module(world, monkeypatch):
    world.write(
        "ticking.py",
        """
        from dolphin_mp import Component, Output
        class Tick(Component):
            every = "10ms"
            out = Output("f8")
            def step(self):
                self.out.publish(2.0)
        """,
    )
    monkeypatch.syspath_prepend(str(world.folder))
    import ticking

    with System(world.name, {"a": ticking.Tick, "b": "ticking:Tick"}).launch() as client:
        assert float(world.record(client, "a.out").value) == 2.0
        assert float(world.record(client, "b.out").value) == 2.0


def test_hanging_up_leaves_the_system_running(world):
    with System(world.name, {"tick": ticker()}).launch() as owner:
        with Client(world.name) as client:
            seen = world.version(client, "tick.out")
        assert owner.status()["supervised"]
        world.version(owner, "tick.out", seen)
        with Client() as only:
            assert only.system == world.name


@pytest.mark.parametrize("then", ["pass", "os._exit(3)", "os.kill(os.getpid(), 9)", "raise ValueError"])
def test_a_script_that_ends_without_closing_ends_its_system(world, then):
    script, client, parent = launch_by_script(world, "", then)
    script.stdin.close()
    world.finish(script)
    world.wait_gone(parent)
    client.close()


def test_a_fork_of_the_launcher_does_not_keep_its_system(world):
    then = "os.fork() or (os.setsid(), __import__('time').sleep(600))"
    script, client, parent = launch_by_script(world, "", then)
    script.stdin.close()
    world.finish(script)
    world.wait_gone(parent)
    client.close()
    for pid in world.strangers():
        os.kill(pid, signal.SIGKILL)


def test_a_detached_system_outlives_its_script(world):
    script, client, parent = launch_by_script(world, "detach=True", "client.close()")
    script.stdin.close()
    assert world.finish(script) == 0
    with client:
        world.version(client, "tick.out", world.version(client, "tick.out") + 3)
        assert client.shutdown() == {"system": world.name, "exit_code": 0}
    world.wait_gone(parent)


@pytest.mark.parametrize("settings", ["", "detach=True"])
def test_an_interrupted_launch_leaves_nothing(world, settings):
    code = SCRIPT.replace(
        "def step", "def setup(self):\n            while not self.stopping: pass\n        def step"
    )
    script = world.python(code.format(name=world.name, settings=settings, then="pass"))
    with world.await_launch() as client:
        parent = client.status()["pid"]
        script.send_signal(signal.SIGINT)
        assert world.finish(script) != 0
        world.wait_gone(parent)
    assert "KeyboardInterrupt" in script.err.read_text()


def test_faults_are_reported_before_anything_starts(world):
    class Reader(Component):
        inn = Input("nobody.out")

        def step(self):
            pass

    with pytest.raises(ConfigurationError) as caught:
        System(world.name, {"reader": Reader}).launch()
    assert "nobody" in str(caught.value)


def test_a_second_launch_of_the_name_is_refused_and_names_the_first(world):
    with System(world.name, {"tick": ticker()}).launch() as client:
        with pytest.raises(RunningError, match=rf"running already \(pid {client.status()['pid']}\)"):
            System(world.name, {"other": ticker()}).launch()
        world.version(client, "tick.out", world.version(client, "tick.out") + 3)


def test_options_reach_the_component_and_shape_its_output(up, world):
    class Tuned(Component):
        every = "10ms"

        @dataclass
        class Options:
            size: int = 2
            factor: float = 1.5

        out = Output("f8", shape=lambda options: (options.size,))

        def step(self):
            self.out.publish(np.full(self.options.size, self.options.factor))

    client, _ = up(
        {"a": (Tuned, {"options": {"size": 3}}), "b": (Tuned, {"options": Tuned.Options(factor=4.0)})}
    )
    assert world.record(client, "a.out").value.tolist() == [1.5, 1.5, 1.5]
    assert world.record(client, "b.out").value.tolist() == [4.0, 4.0]


def test_it_ends_by_itself_after_its_time(up, world):
    class Idle(Component):
        every = "1h"

        def step(self):
            pass

    client, watcher = up({"idle": Idle}, for_s=0.5)
    parent = client.status()["pid"]
    assert watcher.until_event(event="shutdown")["why"] == "its time is over"
    world.wait_gone(parent)


def test_closing_leaves_no_zombie(up, world):
    client, _ = up({"tick": ticker()})
    parent = client.status()["pid"]
    client.close()
    assert not Path(f"/proc/{parent}").exists()


def test_a_system_whose_producer_cannot_start_is_launched_all_the_same(up, world):
    class Broken(Component):
        every = "10ms"
        out = Output("f8")

        def setup(self):
            raise ValueError("no luck")

        def step(self):
            pass

    class Reader(Component):
        inn = Input("broken.out")

        def step(self):
            pass

    _client, watcher = up({"broken": Broken, "reader": Reader})
    rows = watcher.until(lambda rows: rows["broken"]["state"] == "backoff")
    assert "ValueError: no luck" in rows["broken"]["reason"]
    assert rows["reader"]["state"] == "waiting"
    assert "broken" in rows["reader"]["reason"]
