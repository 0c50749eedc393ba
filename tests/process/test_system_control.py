"""The control socket as any program may use it, and as none should: docs/protocol.md."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
import zmq

from dolphin_mp import Component, Input, Output
from dolphin_mp.client import ClientError, NotRunningError


def ticker():
    class Tick(Component):
        every = "5ms"
        out = Output("i8", keep=64)

        def step(self):
            self.out.publish(self.out.version + 1)

    return Tick


class Raw:
    """A foreign client: JSON over a ZeroMQ socket."""

    def __init__(self, world, kind):
        self.world = world
        self.kind = kind
        self.context = zmq.Context()
        self.socket = self.connect()

    def connect(self):
        socket = self.context.socket(self.kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(f"ipc://{self.world.runtime}/control")
        return socket

    def receive(self, limit_s=20):
        assert self.socket.poll(limit_s * 1000), "no answer"
        return json.loads(self.socket.recv())

    def ask(self, command, **args):
        self.socket.send(json.dumps({"v": 1, "id": "x1", "command": command, "args": args}).encode())
        answer = self.receive()
        assert answer["id"] == "x1"
        return answer

    def say(self, text):
        self.socket.send(text)
        return self.receive()


@pytest.fixture
def raw(world):
    made = []

    def raw(kind=zmq.DEALER):
        made.append(Raw(world, kind))
        return made[-1]

    yield raw
    for client in made:
        client.context.destroy(linger=0)


@pytest.fixture
def system(up):
    return up({"tick": ticker(), "other": ticker()})[0]


def error(answer):
    assert answer["ok"] is False
    assert "\n" not in answer["error"]["message"]
    return answer["error"]["code"], answer["error"]["message"]


@pytest.mark.parametrize("kind", [zmq.DEALER, zmq.REQ])
def test_all_commands(system, world, raw, kind):
    client = raw(kind)
    assert client.ask("ping") == {
        "id": "x1",
        "ok": True,
        "result": {"system": world.name, "pid": system.status()["pid"]},
    }
    assert client.ask("status")["result"]["components"][0]["state"] == "ready"
    stopped = client.ask("stop", component="tick")["result"]
    assert stopped == {
        "component": "tick",
        "state": "stopped",
        "pid": None,
        "restarts": 0,
        "incarnation": 1,
        "reason": "on request",
    }
    assert client.ask("start", component="tick")["result"]["state"] == "ready"
    assert client.ask("start", component="tick")["result"]["incarnation"] == 2
    assert client.ask("restart", component="tick")["result"]["incarnation"] == 3
    assert client.ask("restart", component="tick", wait=False)["result"] == {"accepted": True}
    parent = system.status()["pid"]
    assert client.ask("shutdown")["result"] == {"system": world.name, "exit_code": 0}
    world.wait_gone(parent)


@pytest.mark.parametrize("kind", [zmq.DEALER, zmq.REQ])
@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "bad_request"),
        (b"\xff\xfe\x00garbage", "bad_request"),
        (b"[1, 2]", "bad_request"),
        (b"17", "bad_request"),
        (b'{"v": 1, "id": 1, "command": "status"', "bad_request"),
        (b'{"v": 1, "id": [1], "command": "status"}', "bad_request"),
        (b'{"v": 1, "id": NaN, "command": "status"}', "bad_request"),
        (b'{"v": 1, "id": 1e999, "command": "status"}', "bad_request"),
        (b'{"v": 1, "id": 1, "command": 7}', "bad_request"),
        (b'{"v": 1, "id": 1, "command": "status", "args": []}', "bad_request"),
        (b'{"v": 1, "id": 1, "command": "status", "args": {"a": 1}}', "bad_request"),
        (b'{"v": 1, "id": 1, "command": "stop"}', "bad_request"),
        (b'{"v": 1, "id": 1, "command": "stop", "args": {"component": 7}}', "bad_request"),
        (b'{"v": 1, "id": 1, "command": "stop", "args": {"component": "tick", "wait": 1}}', "bad_request"),
        (b'{"v": 1, "id": 1, "command": "stop", "args": {"component": "tick", "now": true}}', "bad_request"),
        (b'{"id": 1, "command": "status"}', "bad_version"),
        (b'{"v": 2, "id": 1, "command": "status"}', "bad_version"),
        (b'{"v": 1, "id": 1, "command": "statsu"}', "bad_command"),
        (b'{"v": 1, "id": 1, "command": "stop", "args": {"component": "tikc"}}', "no_such_component"),
        (b'{"v": 1, "id": 1, "command": "' + b"x" * 60_000 + b'"}', "bad_command"),
        (
            b'{"v": 1, "id": 1, "command": "stop", "args": {"component": "' + b"x" * 60_000 + b'"}}',
            "no_such_component",
        ),
        (b'"' + b"x" * 70_000 + b'"', "too_large"),
        (b"[" * 60_000, "bad_request"),
        (b"1" * 60_000, "bad_request"),
        (b'{"v": 1, "id": "\\ud800", "command": "\\ud800"}', "bad_request"),
    ],
)
def test_what_makes_no_sense_is_answered(system, raw, kind, text, code):
    client = raw(kind)
    found, message = error(client.say(text))
    assert found == code, message
    assert len(message) < 500
    assert client.ask("ping")["ok"]


def test_the_nearest_right_word_is_named(system, raw):
    client = raw()
    assert "did you mean 'status'?" in error(client.ask("statsu"))[1]
    assert "did you mean 'tick'?" in error(client.ask("stop", component="tikc"))[1]
    assert "other, tick" in error(client.ask("stop", component="zzz"))[1]
    with pytest.raises(ClientError, match="did you mean 'tick'") as caught:
        system.stop("tikc")
    assert caught.value.code == "no_such_component"


@pytest.mark.parametrize(
    "frames",
    [
        [b"a", b"b"],
        [b"", b"a", b"b"],
        [b""] * 2000,
        [b"x" * 900_000] * 3,
    ],
)
def test_messages_of_a_wrong_shape_are_dropped(system, world, raw, frames):
    strange = raw()
    strange.socket.send_multipart(frames)
    assert raw().ask("ping")["ok"]
    assert strange.ask("ping")["ok"]
    world.version(system, "tick.out", system.channel("tick.out").version + 3)


def test_half_a_message_holds_up_nobody(system, raw):
    half = raw()
    half.socket.send(b"x", zmq.SNDMORE)
    assert raw().ask("ping")["ok"]
    half.socket.send(json.dumps({"v": 1, "id": 1, "command": "ping"}).encode())
    assert raw().ask("ping")["ok"]
    assert half.ask("ping")["ok"]


def test_the_example_of_the_documentation(up, world):
    """It reads as its readers see it, so it runs as it stands."""
    text = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    world.name = "demo"
    up({"ob": ticker()})
    script = world.python(code)
    assert world.finish(script) == 0, script.err.read_text()
    lines = script.out.read_text().splitlines()
    assert lines[0] == "ready"
    assert "'incarnation': 2" in lines[1]
    assert lines[2].startswith("state {'event': 'state', 'component': 'ob', 'state': 'stopping'")


def test_a_huge_message_ends_its_connection_only(system, world, raw):
    client, other = raw(), raw()
    client.socket.send(b"x" * (8 << 20))
    assert other.ask("ping")["ok"]
    assert raw().ask("ping")["ok"]
    world.version(system, "tick.out", system.channel("tick.out").version + 3)


def test_bytes_that_are_no_zeromq_at_all(system, world, raw):
    import socket

    for text in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f" + os.urandom(4096),
        b"",
    ):
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(str(world.runtime / "control"))
            end.send(text) if text else None
            assert raw().ask("ping")["ok"]


def test_a_flood_without_reading_the_answers_holds_up_nobody(system, world, raw, watch):
    watcher = watch(system)
    flooder = raw()
    text = json.dumps({"v": 1, "id": 1, "command": "status", "args": {}}).encode()
    for _ in range(5000):
        try:
            flooder.socket.send(text, zmq.NOBLOCK)
        except zmq.Again:
            break
    pid = world.rows(system)["tick"]["pid"]
    os.kill(pid, signal.SIGKILL)
    watcher.until(lambda rows: rows["tick"]["restarts"] == 1 and rows["tick"]["state"] == "ready")
    assert raw().ask("ping")["ok"]


def test_requests_that_wait_for_ever_are_limited(up, world, raw):
    class Never(Component):
        every = "1h"
        out = Output("f8")

        def setup(self):
            import time

            while not self.stopping:
                time.sleep(0.01)

        def step(self):
            pass

    started = time.monotonic()
    client, _ = up({"never": (Never, {"ready_within": "2s", "restart": "never"}), "tick": ticker()})
    assert time.monotonic() - started < 20
    client.request("start", component="never", wait=False)
    flooder = raw()
    for _ in range(300):
        flooder.socket.send(
            json.dumps({"v": 1, "id": 1, "command": "start", "args": {"component": "never"}}).encode()
        )
    codes = [flooder.receive()["error"]["code"] for _ in range(300)]
    assert codes.count("busy") == 44
    assert codes.count("failed") == 256


def test_a_client_that_vanishes_while_it_waits(up, world, raw):
    class Slow(Component):
        every = "1h"

        def step(self):
            pass

        def close(self):
            import time

            time.sleep(0.3)

    client, watcher = up({"slow": Slow})
    gone = raw()
    gone.socket.send(json.dumps({"v": 1, "id": 1, "command": "stop", "args": {"component": "slow"}}).encode())
    watcher.until_state("slow", "stopping")
    gone.socket.close(0)
    watcher.until_state("slow", "stopped")
    assert client.start("slow")["state"] == "ready"


def test_who_waits_for_a_component_is_told_that_the_end_came_first(up, raw):
    class Broken(Component):
        every = "1h"
        out = Output("i8")

        def setup(self):
            raise ValueError

        def step(self):
            pass

    class Reader(Component):
        inn = Input("broken.out")

        def step(self):
            pass

    client, _ = up({"broken": (Broken, {"restart": "never"}), "reader": Reader})
    waiter = raw()
    waiter.socket.send(
        json.dumps({"v": 1, "id": 5, "command": "start", "args": {"component": "reader"}}).encode()
    )
    assert waiter.ask("ping")["ok"]  # on the same socket: what was sent before it has arrived
    client.close()
    answer = waiter.receive()
    assert answer["id"] == 5
    assert error(answer)[0] == "shutting_down"


def test_a_restart_that_fails_says_why(up, world):
    class Once(Component):
        every = "5ms"
        out = Output("i8")

        def setup(self):
            if self.out.version:
                raise ValueError("only once")
            self.out.publish(1)

        def step(self):
            pass

    client, _ = up({"once": Once})
    with pytest.raises(ClientError, match="once is backoff: exit 1: ValueError: only once") as caught:
        client.restart("once")
    assert caught.value.code == "failed"


def test_events_are_streamed(system, world):
    context = zmq.Context()
    listener = context.socket(zmq.SUB)
    listener.setsockopt(zmq.SUBSCRIBE, b"hello")
    listener.setsockopt(zmq.SUBSCRIBE, b"state")
    listener.connect(f"ipc://{world.runtime}/events")

    def receive():
        assert listener.poll(20_000)
        topic, text = listener.recv_multipart()
        event = json.loads(text)
        assert event["event"] == topic.decode()
        return event

    try:
        assert receive() == {"event": "hello", "system": world.name, "pid": system.status()["pid"]}
        system.stop("tick")
        events = [receive(), receive()]
        assert [(event["component"], event["state"]) for event in events] == [
            ("tick", "stopping"),
            ("tick", "stopped"),
        ]
        assert set(events[0]) == {"event", "component", "state", "reason", "restarts", "incarnation", "pid"}
    finally:
        context.destroy(linger=0)


def test_a_listener_that_never_reads_holds_up_nobody(system, world):
    context = zmq.Context()
    listener = context.socket(zmq.SUB)
    listener.setsockopt(zmq.RCVHWM, 1)
    listener.setsockopt(zmq.SUBSCRIBE, b"")
    listener.connect(f"ipc://{world.runtime}/events")
    try:
        assert listener.poll(20_000)
        for _ in range(20):
            system.restart("tick")
    finally:
        context.destroy(linger=0)


def test_the_clients_own_stream(system, world):
    events = system.events(20.0)
    assert next(events)["event"] == "hello"
    system.stop("tick")
    assert [next(events)["state"], next(events)["state"]] == ["stopping", "stopped"]
    events.close()


def test_sockets_and_folder_are_private(system, world):
    assert world.runtime.stat().st_mode & 0o777 == 0o700
    for name in ("control", "events", "notify"):
        assert (world.runtime / name).stat().st_mode & 0o777 == 0o600


def test_a_frozen_parent_is_told_from_a_dead_one(system, world, raw):
    parent = system.status()["pid"]
    os.kill(parent, signal.SIGSTOP)
    try:
        with pytest.raises(ClientError) as caught:
            system.request("ping", 0.2)
        assert caught.value.code == "timeout"
        assert system.status()["supervised"]
        assert system.latest("tick.out").version > 0
    finally:
        os.kill(parent, signal.SIGCONT)
    assert system.request("ping")["pid"] == parent


def test_a_parent_that_dies_ends_a_request(up, world):
    client, _ = up({"tick": ticker()}, system={"orphan": "stop"})
    parent, child = client.status()["pid"], world.rows(client)["tick"]["pid"]
    os.kill(parent, signal.SIGSTOP)
    killer = os.fork()
    if killer == 0:
        time.sleep(0.3)
        os.kill(parent, signal.SIGKILL)
        os._exit(0)
    began = time.monotonic()
    with pytest.raises(NotRunningError):
        client.request("ping", 60.0)
    assert time.monotonic() - began < 20
    os.waitpid(killer, 0)
    world.wait_gone(child)
    world.cli("shutdown", "--system", world.name)
