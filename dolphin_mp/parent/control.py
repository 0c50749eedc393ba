"""The control socket: JSON requests in, answers out, a stream of events beside it; docs/protocol.md.

What arrives is data: it is parsed here, by hand and with limits, and nothing of it is ever executed or
unpickled. A client that sends garbage gets an error, one that does not read its answers loses them; neither
holds up the loop.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

import zmq

VERSION = 1
MAX_REQUEST = 64 * 1024
MAX_BATCH = 256


@dataclass(frozen=True, slots=True)
class Request:
    """One well-formed request; `peer` is the route of its answer."""

    peer: bytes
    id: Any
    command: str
    args: dict[str, Any] = field(default_factory=dict)


class BadRequestError(Exception):
    """What a client asked makes no sense; answered, never fatal."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ControlServer:
    """The parent's end: ``FOLDER/control`` (ROUTER) and ``FOLDER/events`` (PUB)."""

    def __init__(self, folder: str) -> None:
        self._paths = [f"{folder}/control", f"{folder}/events"]
        self._context = zmq.Context(io_threads=1)
        self._router = self._context.socket(zmq.ROUTER)
        self._events = self._context.socket(zmq.PUB)
        for socket, path in zip((self._router, self._events), self._paths, strict=True):
            socket.setsockopt(zmq.LINGER, 500)
            socket.setsockopt(zmq.MAXMSGSIZE, MAX_REQUEST)
            socket.setsockopt(zmq.SNDHWM, 1000)
            socket.bind(f"ipc://{path}")
            os.chmod(path, 0o600)  # noqa: PTH101
        self.refused = 0

    def fileno(self) -> int:
        """Give the descriptor to poll; it is edge-triggered: after each wake and send, drain `requests`."""
        return int(self._router.getsockopt(zmq.FD))

    def requests(self) -> list[Request]:
        """Give the requests that arrived, at most a batch; garbage is answered or dropped, and counted."""
        found = []
        for _ in range(MAX_BATCH):
            if not self._events_of_router() & zmq.POLLIN:
                break
            try:
                parts = self._router.recv_multipart(zmq.NOBLOCK)
            except zmq.ZMQError:
                break
            request = self._parse(parts)
            if request is not None:
                found.append(request)
        return found

    def _events_of_router(self) -> int:
        return int(self._router.getsockopt(zmq.EVENTS))

    def more(self) -> bool:
        """Whether requests are waiting that no descriptor will tell of."""
        return bool(self._events_of_router() & zmq.POLLIN)

    def _parse(self, parts: list[bytes]) -> Request | None:
        if len(parts) < 2:
            self.refused += 1
            return None
        peer, text = parts[0], parts[-1]
        delimited = b"" if len(parts) > 2 and parts[1] == b"" else None  # a REQ client, not a DEALER
        route = peer if delimited is None else peer + b"\0REQ"
        identity: Any = None
        try:
            data = json.loads(text)
            if not isinstance(data, dict):
                raise BadRequestError("bad_request", "a request is a JSON object")  # noqa: TRY301
            identity = data.get("id")
            return Request(route, identity, *_checked(data))
        except (ValueError, RecursionError):
            error = BadRequestError(
                "bad_request", 'no JSON: send {"v": 1, "id": 1, "command": "status", "args": {}}'
            )
        except BadRequestError as fault:
            error = fault
        self.refused += 1
        self.fail(Request(route, identity, ""), error)
        return None

    def answer(self, request: Request, result: Any) -> None:
        """Send a result."""
        self._send(request, {"id": request.id, "ok": True, "result": result})

    def fail(self, request: Request, error: BadRequestError) -> None:
        """Send an error."""
        self._send(
            request, {"id": request.id, "ok": False, "error": {"code": error.code, "message": str(error)}}
        )

    def _send(self, request: Request, answer: dict[str, Any]) -> None:
        is_req = request.peer.endswith(b"\0REQ")
        peer = request.peer[:-4] if is_req else request.peer
        frames = [peer, b"", json.dumps(answer).encode()] if is_req else [peer, json.dumps(answer).encode()]
        try:
            self._router.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError:  # it does not read its answers
            self.refused += 1

    def publish(self, event: dict[str, Any]) -> None:
        """Send one event to whoever listens."""
        try:
            self._events.send_multipart([event["event"].encode(), json.dumps(event).encode()], zmq.NOBLOCK)
        except zmq.ZMQError:
            self.refused += 1

    def close(self) -> None:
        """Stop listening, after half a second for answers under way, and remove the sockets."""
        self._context.destroy(linger=500)
        for path in self._paths:
            if os.path.exists(path):  # noqa: PTH110
                os.unlink(path)  # noqa: PTH108


def _checked(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if data.get("v") != VERSION:
        raise BadRequestError("bad_version", f'this system speaks version {VERSION}: send "v": {VERSION}')
    command, args = data.get("command"), data.get("args", {})
    if not isinstance(command, str) or not isinstance(args, dict):
        raise BadRequestError("bad_request", '"command" is a text and "args" an object')
    return command, args
