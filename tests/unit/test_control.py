"""The control socket's server, without a system behind it."""

import json
import tempfile

import pytest
import zmq

from dolphin_mp.parent.control import MAX_MESSAGE, MAX_REQUEST, BadRequestError, ControlServer, Request


@pytest.fixture
def server():
    with tempfile.TemporaryDirectory(prefix="dm-", dir="/tmp") as folder:
        server = ControlServer(folder, "demo")
        server.folder = folder
        yield server
        server.close()


@pytest.fixture
def connect(server):
    context, sockets = zmq.Context(), []

    def connect(kind=zmq.DEALER, name="control"):
        sockets.append(context.socket(kind))
        sockets[-1].connect(f"ipc://{server.folder}/{name}")
        return sockets[-1]

    yield connect
    for socket in sockets:
        socket.close(0)
    context.term()


def wait_for(server, count=1):
    """Give that many requests, or what there is when one was refused."""
    found, refused = [], server.refused
    poller = zmq.Poller()
    for fd in server.filenos():
        poller.register(fd, zmq.POLLIN)
    while len(found) < count and server.refused == refused:
        found += server.requests()
        if len(found) < count and server.refused == refused and not server.more():
            assert poller.poll(10_000), "nothing came"
    return found


def text(**changes):
    return json.dumps({"v": 1, "id": 7, "command": "status", "args": {}, **changes}).encode()


def receive(socket):
    assert socket.poll(10_000)
    return socket.recv_multipart()


@pytest.mark.parametrize("kind", [zmq.DEALER, zmq.REQ])
def test_a_request_and_its_answer(server, connect, kind):
    socket = connect(kind)
    socket.send(text(command="stop", args={"component": "ob"}))
    (request,) = wait_for(server)
    assert (request.id, request.command, request.args) == (7, "stop", {"component": "ob"})
    server.answer(request, {"fine": True})
    (answer,) = receive(socket)
    assert json.loads(answer) == {"id": 7, "ok": True, "result": {"fine": True}}


def test_args_may_be_left_out(server, connect):
    connect().send(b'{"v": 1, "command": "status"}')
    (request,) = wait_for(server)
    assert (request.id, request.args) == (None, {})


def test_a_failure(server, connect):
    socket = connect()
    socket.send(text())
    (request,) = wait_for(server)
    server.fail(request, BadRequestError("failed", "no luck"))
    assert json.loads(receive(socket)[0]) == {
        "id": 7,
        "ok": False,
        "error": {"code": "failed", "message": "no luck"},
    }


@pytest.mark.parametrize("identity", ["a", 7, 0.5, None, True])
def test_the_id_comes_back(server, connect, identity):
    socket = connect()
    socket.send(text(id=identity, v=2))
    assert wait_for(server) == []
    answer = json.loads(receive(socket)[0])
    assert (answer["id"], answer["error"]["code"]) == (identity, "bad_version")


def test_each_gets_its_own_answer(server, connect):
    sockets = [connect() for _ in range(5)]
    for number, socket in enumerate(sockets):
        socket.send(text(id=number))
    for request in wait_for(server, 5):
        server.answer(request, request.id)
    assert [json.loads(receive(socket)[0])["result"] for socket in sockets] == [0, 1, 2, 3, 4]


def test_the_limit_of_a_request_is_exact(server, connect):
    socket = connect()
    socket.send(text(args={"a": "x" * (MAX_REQUEST - len(text(args={"a": ""})))}))
    assert len(wait_for(server)) == 1
    socket.send(text(args={"a": "x" * (MAX_REQUEST - len(text(args={"a": ""})) + 1)}))
    assert wait_for(server) == []
    assert json.loads(receive(socket)[0])["error"]["code"] == "too_large"
    assert server.refused == 1


def test_one_beyond_all_measure_never_arrives(server, connect):
    connect().send(b"x" * (MAX_MESSAGE + 1))
    connect().send(text())
    assert len(wait_for(server)) == 1
    assert server.refused == 0


@pytest.mark.parametrize("frames", [[b"a", text()], [b"", b"", text()], [text()] * 4, [b""] * 5000])
def test_a_wrong_shape_is_dropped_and_counted(server, connect, frames):
    socket = connect()
    socket.send_multipart(frames)
    assert wait_for(server) == []
    assert server.refused == 1
    socket.send(text())
    assert len(wait_for(server)) == 1


def test_a_flood_comes_in_batches(server, connect):
    socket = connect()
    for _ in range(600):
        socket.send(text())
    assert len(wait_for(server, 600)) == 600


def test_an_answer_to_who_is_gone_is_no_error(server):
    server.answer(Request(b"nobody", 1, "status"), {})


def test_a_subscriber_is_greeted_and_then_misses_nothing(server, connect):
    socket = connect(zmq.SUB, "events")
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    poller = zmq.Poller()
    poller.register(server.filenos()[1], zmq.POLLIN)
    while not socket.poll(0):
        poller.poll(100)
        server.requests()
    topic, hello = receive(socket)
    assert topic == b"hello"
    assert json.loads(hello)["system"] == "demo"
    server.publish({"event": "state", "state": "ready"})
    topic, event = receive(socket)
    assert (topic, json.loads(event)) == (b"state", {"event": "state", "state": "ready"})


def test_events_without_listeners_go_nowhere(server):
    for _ in range(5000):
        server.publish({"event": "state"})
    assert server.refused == 0
