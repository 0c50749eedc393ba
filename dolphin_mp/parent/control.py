"""The control socket: JSON requests in, answers out, a stream of events beside it; docs/protocol.md.

What arrives is data: it is parsed here, by hand and with limits, and nothing of it is ever executed or
unpickled. A client that sends garbage gets an error, one that does not read its answers loses them; neither
holds up the loop.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any

import zmq

from dolphin_mp.wire import decode, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = 1
MAX_REQUEST = 64 * 1024  # bytes; a longer one is refused
MAX_MESSAGE = 1 << 20  # libzmq hangs up on who sends more
MAX_FRAMES = 3  # route, delimiter, text
MAX_BATCH = 256
LINGER_MS = 500
HANDSHAKE_MS = 3000  # chosen: ZeroMQ peers on one machine take less than one
EXAMPLE = '{"v": 1, "id": 1, "command": "status", "args": {}}'


@dataclass(frozen=True, slots=True)
class Request:
    """One well-formed request; `peer` is the route of its answer, `is_req` its framing."""

    peer: bytes
    id: str | int | float | None
    command: str
    args: dict[str, Any] = field(default_factory=dict)
    is_req: bool = False


class BadRequestError(Exception):
    """What a client asked makes no sense; answered, never fatal."""

    def __init__(self, code: str, message: str, faults: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.faults = list(faults)


class ControlServer:
    """The parent's end: ``FOLDER/control`` (ROUTER) and ``FOLDER/events`` (XPUB, for any SUB).

    Attributes: refused: what was refused, dropped or found no reader.
    """

    def __init__(self, folder: str, system: str) -> None:
        self._hello = {"event": "hello", "system": system, "pid": os.getpid()}
        self._paths = [f"{folder}/control", f"{folder}/events"]
        self._context = zmq.Context(io_threads=1)
        self._router = self._context.socket(zmq.ROUTER)
        self._events = self._context.socket(zmq.XPUB)
        self._events.setsockopt(zmq.XPUB_VERBOSE, 1)
        for socket, path in zip((self._router, self._events), self._paths, strict=True):
            socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
            socket.setsockopt(zmq.SNDHWM, 1000)
            socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)  # who says nothing holds no descriptor
            socket.bind(f"ipc://{path}")
            os.chmod(path, 0o600)  # noqa: PTH101
        self._frames: list[bytes] = []
        self.refused = 0

    def filenos(self) -> tuple[int, int]:
        """Give the descriptors to poll; edge-triggered: after each wake and send call `requests`."""
        return int(self._router.getsockopt(zmq.FD)), int(self._events.getsockopt(zmq.FD))

    def requests(self) -> list[Request]:
        """Give the requests that arrived, at most a batch; garbage is answered or dropped, and counted.

        Subscribers are greeted too, with a ``hello``: it tells them that from now on they miss nothing.
        """
        self._greet()
        found = []
        for _ in range(MAX_BATCH):
            try:
                frame = self._router.recv(zmq.NOBLOCK)
            except zmq.ZMQError:
                break
            self._frames.append(frame if len(self._frames) <= MAX_FRAMES else b"")
            del self._frames[MAX_FRAMES + 1 :]  # of a message of a million frames no more is kept
            if not self._router.getsockopt(zmq.RCVMORE):
                request = self._parse(self._frames)
                self._frames = []
                if request is not None:
                    found.append(request)
        return found

    def more(self) -> bool:
        """Whether something is waiting that no descriptor will tell of."""
        sockets = (self._router, self._events)
        return any(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN for socket in sockets)

    def _greet(self) -> None:
        is_new = False
        for _ in range(MAX_BATCH):
            try:
                is_new |= self._events.recv(zmq.NOBLOCK)[:1] == b"\1"
            except zmq.ZMQError:
                break
        if is_new:
            self.publish(self._hello)

    def _parse(self, frames: list[bytes]) -> Request | None:
        is_req = len(frames) == 3 and frames[1] == b""  # of a REQ client, not a DEALER
        if len(frames) != 2 and not is_req:
            self.refused += 1
            return None
        peer, text = frames[0], frames[-1]
        route = Request(peer, None, "", is_req=is_req)
        try:
            data = _decoded(text)
            route = replace(route, id=_identity(data))
            command, args = _checked(data)
        except BadRequestError as error:
            self.refused += 1
            self.fail(route, error)
            return None
        return replace(route, command=command, args=args)

    def answer(self, request: Request, result: Any) -> None:
        """Send a result."""
        self._send(request, {"id": request.id, "ok": True, "result": result})

    def fail(self, request: Request, error: BadRequestError) -> None:
        """Send an error."""
        content: dict[str, Any] = {"code": error.code, "message": str(error)}
        if error.faults:
            content["faults"] = error.faults
        self._send(request, {"id": request.id, "ok": False, "error": content})

    def _send(self, request: Request, answer: dict[str, Any]) -> None:
        text = encode(answer)
        frames = [request.peer, b"", text] if request.is_req else [request.peer, text]
        try:
            self._router.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError:  # it does not read its answers
            self.refused += 1

    def publish(self, event: dict[str, Any]) -> None:
        """Send one event to whoever listens."""
        try:
            self._events.send_multipart([event["event"].encode(), encode(event)], zmq.NOBLOCK)
        except zmq.ZMQError:
            self.refused += 1

    def close(self) -> None:
        """Stop listening, after half a second for answers under way, and remove the sockets."""
        self._context.destroy(linger=LINGER_MS)
        for path in self._paths:
            if os.path.exists(path):  # noqa: PTH110
                os.unlink(path)  # noqa: PTH108


def _decoded(text: bytes) -> dict[str, Any]:
    if len(text) > MAX_REQUEST:
        raise BadRequestError("too_large", f"a request has at most {MAX_REQUEST} bytes, not {len(text)}")
    try:
        data = decode(text)
    except ValueError:
        raise BadRequestError("bad_request", f"no JSON: send {EXAMPLE}") from None
    if not isinstance(data, dict):
        raise BadRequestError("bad_request", f"a request is a JSON object: send {EXAMPLE}")
    return data


def _identity(data: dict[str, Any]) -> str | int | float | None:
    identity = data.get("id")
    if identity is None or (isinstance(identity, str | int | float) and identity not in {inf, -inf}):
        return identity
    raise BadRequestError("bad_request", '"id" is a text, a number or null')


def _checked(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if data.get("v") != VERSION:
        raise BadRequestError("bad_version", f'this system speaks version {VERSION}: send "v": {VERSION}')
    command, args = data.get("command"), data.get("args", {})
    if not isinstance(command, str) or not isinstance(args, dict):
        raise BadRequestError("bad_request", '"command" is a text and "args" an object')
    return command, args
