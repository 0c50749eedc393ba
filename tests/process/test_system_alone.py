"""Components that run without a parent, each as its own service."""

import os
import signal

import pytest

from dolphin_mp import Client
from dolphin_mp.ipc import Channel
from dolphin_mp.ipc.folder import FOLDER
from dolphin_mp.paths import segment_name

PARTS = """
    from dolphin_mp import Component, Done, Input, Output

    class Source(Component):
        every = "5ms"
        out = Output("i8", keep=64)
        def setup(self):
            print("source is there", flush=True)
        def step(self):
            self.out.publish(self.out.version + 1)

    class Sink(Component):
        inn = Input("source.out")
        out = Output("i8", keep=64)
        def step(self):
            self.out.publish(self.inn.version)
        def close(self):
            print("sink closed", flush=True)

    class Ends(Component):
        every = "5ms"
        def step(self):
            raise Done

    class Fails(Component):
        every = "5ms"
        def step(self):
            raise ValueError("no luck")
"""


@pytest.fixture
def parts(world):
    world.write("parts.py", PARTS)
    world.toml(
        "\n".join(
            f'[components.{name}]\nrun = "parts:{name.title()}"'
            for name in ("source", "sink", "ends", "fails")
        )
    )
    return world


def client_of(world, channel):
    """Give a client once there is a record in the channel."""
    name = segment_name(world.name, channel)
    world.wait_for_path(f"{FOLDER}/{name}")
    with Channel.attach(name) as first:
        world.wait_version(first)
    return Client(world.name)


def test_a_reader_waits_for_its_producer_and_the_last_removes_all(parts):
    sink = parts.run_alone("sink")
    parts.wait_for_path(f"{FOLDER}/{segment_name(parts.name, 'sink.out')}")
    source = parts.run_alone("source")
    with client_of(parts, "sink.out") as client:
        parts.version(client, "sink.out", 5)
        status = client.status()
        assert status["pid"] is None
        assert {row["name"]: row["pid"] for row in status["components"]} == {
            "sink": sink.pid,
            "source": source.pid,
        }
        assert parts.title(sink.pid) == f"sink [dolphin-mp {parts.name}]"
        sink.terminate()
        assert parts.finish(sink) == 0
        assert sink.out.read_text() == "sink closed\n"
        assert {row["name"]: row["state"] for row in client.status()["components"]} == {
            "sink": "stopped",
            "source": "ready",
        }
        parts.version(client, "source.out", client.channel("source.out").version + 5)
    assert parts.segments()
    source.terminate()
    assert parts.finish(source) == 0
    assert parts.segments() == []
    assert not parts.runtime.exists()


def test_a_restart_of_one_keeps_what_the_others_use(parts):
    source, sink = parts.run_alone("source"), parts.run_alone("sink")
    with client_of(parts, "sink.out") as client:
        parts.version(client, "sink.out", 5)
        source.kill()
        parts.finish(source)
        version = client.channel("source.out").version
        again = parts.run_alone("source")
        assert parts.record(client, "source.out", version).epoch == 2
        parts.version(client, "sink.out", client.channel("sink.out").version + 5)
    for process in (sink, again):
        process.terminate()
        assert parts.finish(process) == 0
    assert parts.segments() == []


def test_two_that_leave_at_once_leave_nothing(parts):
    for _ in range(3):
        processes = [parts.run_alone("source"), parts.run_alone("sink")]
        with client_of(parts, "sink.out") as client:
            parts.version(client, "sink.out", 3)
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        for process in processes:
            process.terminate()
        for process in processes:
            process.send_signal(signal.SIGCONT)
        assert [parts.finish(process) for process in processes] == [0, 0]
        assert parts.segments() == []


def test_one_that_leaves_lets_its_outputs_go_before_another_may_remove_all(parts):
    """Else that one would leave out the segments that are owned still."""
    code = """
        import sys
        from pathlib import Path
        from dolphin_mp.ipc import Board
        from dolphin_mp.ipc.segment import Segment
        from dolphin_mp.parent.alone import run_alone
        from dolphin_mp.paths import board_name
        close = Segment.close
        def looking(segment, **how):
            if segment.name.endswith(".ends.out") and how:
                board = Board.attach(board_name(sys.argv[1]))
                print("last" if board.last_user() else "used", flush=True)
                board.close()
            close(segment, **how)
        Segment.close = looking
        sys.exit(run_alone("ends", Path("dolphin.toml")))
    """
    parts.write(
        "parts.py",
        PARTS.replace("class Ends(Component):", "class Ends(Component):\n        out = Output('i8')"),
    )
    process = parts.python(code, parts.name)
    assert parts.finish(process) == 0, process.err.read_text()
    assert set(process.out.read_text().split()) == {"used"}
    assert parts.segments() == []


def test_never_two_of_one(parts):
    first = parts.run_alone("source")
    with client_of(parts, "source.out") as client:
        parts.version(client, "source.out", 3)
        second = parts.run_alone("source")
        assert parts.finish(second) == 1
        assert f"'source' is running already (pid {first.pid})" in second.err.read_text()
        assert parts.rows(client)["source"]["pid"] == first.pid
        parts.version(client, "source.out", client.channel("source.out").version + 5)
        assert client.latest("source.out").epoch == 1
    first.terminate()
    assert parts.finish(first) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_stop_it_in_order(parts, number):
    source = parts.run_alone("source")
    with client_of(parts, "source.out") as client:
        parts.version(client, "source.out", 3)
    source.send_signal(number)
    assert parts.finish(source) == 0
    assert source.err.read_text() == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_its_waiting(parts, number):
    sink = parts.run_alone("sink")
    parts.wait_for_path(f"{FOLDER}/{segment_name(parts.name, 'sink.out')}")
    sink.send_signal(number)
    assert parts.finish(sink) == 0
    assert sink.err.read_text() == ""
    assert parts.segments() == []


def test_its_exit_code_tells_how_it_ended(parts):
    assert parts.finish(parts.run_alone("ends")) == 0
    fails = parts.run_alone("fails")
    assert parts.finish(fails) == 1
    assert "Traceback" in fails.err.read_text()
    assert "fails: ValueError: no luck" in fails.err.read_text()
    unknown = parts.run_alone("sunk")
    assert parts.finish(unknown) == 1
    assert "no component 'sunk'" in unknown.err.read_text()
    assert parts.segments() == []


def test_a_component_of_a_parent_is_not_run_beside_it(parts):
    parts.toml('[components.source]\nrun = "parts:Source"')
    parent = parts.run_system()
    with parts.await_launch() as client:
        parts.version(client, "source.out", 3)
        second = parts.run_alone("source")
        assert parts.finish(second) == 1
        pid = parts.rows(client)["source"]["pid"]
        assert f"'source' is running already (pid {pid})" in second.err.read_text()
        assert client.latest("source.out").epoch == 1
        os.kill(pid, 0)
        client.shutdown()
    assert parts.finish(parent) == 0


def test_a_launch_beside_one_alone_is_refused(parts):
    source = parts.run_alone("source")
    with client_of(parts, "source.out") as client:
        parts.version(client, "source.out", 3)
        launch = parts.run_system()
        assert parts.finish(launch) == 1
        assert f"source (pid {source.pid})" in launch.err.read_text()
        parts.version(client, "source.out", client.channel("source.out").version + 5)
    source.terminate()
    assert parts.finish(source) == 0


def test_a_launch_beside_one_that_waits_is_refused_too(parts):
    """It would find another of itself when its producer is there."""
    sink = parts.run_alone("sink")
    parts.wait_for_path(f"{FOLDER}/{segment_name(parts.name, 'sink.out')}")
    second = parts.run_alone("sink")
    assert parts.finish(second) == 1
    assert f"'sink' is running already (pid {sink.pid})" in second.err.read_text()
    launch = parts.run_system()
    assert parts.finish(launch) == 1
    assert f"sink (pid {sink.pid})" in launch.err.read_text()
    with Client(parts.name) as client:
        row = parts.rows(client)["sink"]
        assert (row["state"], row["pid"]) == ("starting", sink.pid)
        assert "waits" in row["reason"]
    source = parts.run_alone("source")
    with client_of(parts, "sink.out") as client:
        parts.version(client, "sink.out", 5)
    for process in (sink, source):
        process.terminate()
        assert parts.finish(process) == 0
    assert parts.segments() == []
