"""Client: what the CLI and users' scripts use to talk to a running system."""

from __future__ import annotations

import contextlib
import math
import os
import time
from typing import TYPE_CHECKING, Any, Self

from dolphin_mp.paths import base_folder, board_name, runtime_folder, segment_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import zmq

    from dolphin_mp.ipc import Board, Channel
    from dolphin_mp.ipc._core import Record
    from dolphin_mp.system import System

DEFAULT_TIMEOUT_S = 30.0
ENDED_WITHIN_S = 5.0  # a parent that has said goodbye
LAST_WORD_MS = 500  # what a dead parent sent may still be on its way through libzmq


class ClientError(Exception):
    """The system answered with an error; ``code`` is its short name, ``faults`` are a configuration's."""

    def __init__(self, code: str, message: str, faults: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.faults = list(faults)


class NotRunningError(ClientError):
    """Nothing answers: the system does not run, or its parent is dead."""

    def __init__(self, message: str) -> None:
        super().__init__("not_running", message)


def running_systems() -> list[str]:
    """Give the names of this user's systems of which a parent or a component lives."""
    try:
        names = sorted(entry.name for entry in os.scandir(base_folder()) if entry.is_dir())
    except OSError:
        return []
    return [name for name in names if _lives(name)]


def _lives(name: str) -> bool:
    board = _board(name)
    if board is None:
        return False
    try:
        return board.parent_alive or any(board.is_alive(index) for index in range(board.used))
    finally:
        board.close()


def _board(name: str) -> Board | None:
    from dolphin_mp.ipc import Board, ChannelError

    try:
        return Board.attach(board_name(name))
    except ChannelError:
        return None


class Client:
    """Talks to one running system; leaving ``with Client(...)`` only hangs up.

    Reads (`status`, `latest`) come from shared memory, whatever the parent does; what changes the system goes
    over its control socket.

    Args:
        system: its name; None picks the only one that runs.

    Raises:
        NotRunningError: no such system runs, or several and none was named.
    """

    def __init__(self, system: str | None = None) -> None:
        names = running_systems()
        if system is None:
            if len(names) != 1:
                what = (
                    f"several systems run, name one: {', '.join(names)}" if names else "no system is running"
                )
                raise NotRunningError(f"{what}; `dolphin-mp launch` starts one" if not names else what)
            system = names[0]
        board = _board(system) if system in names else None
        if board is None:
            raise NotRunningError(f"system {system!r} is not running; `dolphin-mp launch` starts one")
        self.system = system
        self._board = board
        self._channels: dict[str, Channel] = {}
        self._socket: zmq.Socket[bytes] | None = None
        self._context: zmq.Context[Any] | None = None
        self._next_id = 0
        self._parent, self._parent_fd = 0, -1  # whom the poller watches: kept from request to request
        self._poller: zmq.Poller | None = None
        self._owns = False

    # reading ----------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Give what `dolphin-mp status --json` prints."""
        from dolphin_mp.ipc._core import boottime_ns
        from dolphin_mp.status import status_of

        return status_of(self._board, boottime_ns())

    def channel(self, name: str) -> Channel:
        """Give an attached handle of ``component.output``; it is closed with the client.

        Raises SegmentMissingError for a channel that the system does not have.
        """
        from dolphin_mp.ipc import Channel

        channel = self._channels.get(name)
        if channel is not None and channel.retired:
            self._channels.pop(name).close()
            channel = None
        if channel is None:
            channel = self._channels[name] = Channel.attach(segment_name(self.system, name))
        return channel

    def latest(self, name: str) -> Record | None:
        """Give the newest record of ``component.output``, or None before the first."""
        return self.channel(name).latest()

    # changing ---------------------------------------------------------------------------------------------

    def start(self, component: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> dict[str, Any]:
        """Start a component and wait until it is ready; raises ClientError."""
        return self.request("start", timeout_s, component=component)  # type: ignore[no-any-return]

    def stop(self, component: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> dict[str, Any]:
        """Stop a component and wait until it is down; raises ClientError."""
        return self.request("stop", timeout_s, component=component)  # type: ignore[no-any-return]

    def restart(self, component: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> dict[str, Any]:
        """Restart a component and wait until its successor is ready; raises ClientError."""
        return self.request("restart", timeout_s, component=component)  # type: ignore[no-any-return]

    def reload(self, *, dry_run: bool = False, timeout_s: float = 120.0) -> dict[str, Any]:
        """Have the system become what its configuration says now; gives what that means, docs/protocol.md.

        Raises ClientError, with all faults of a configuration that has some; then nothing was changed.
        """
        return self.request("reload", timeout_s, dry_run=dry_run)  # type: ignore[no-any-return]

    def scale(self, pool: str, instances: int, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> dict[str, Any]:
        """Have a pool of so many instances until the next reload or launch; raises ClientError."""
        return self.request("scale", timeout_s, pool=pool, instances=instances)  # type: ignore[no-any-return]

    def shutdown(self, *, timeout_s: float = 60.0) -> dict[str, Any]:
        """End the whole system and wait for it; raises ClientError."""
        return self.request("shutdown", timeout_s)  # type: ignore[no-any-return]

    def request(self, command: str, timeout_s: float = DEFAULT_TIMEOUT_S, /, **args: Any) -> Any:
        """Send one request over the control socket and give its result.

        Raises:
            NotRunningError: no parent lives.
            ClientError: the system refused, or gave no answer within `timeout_s`.
        """
        import zmq

        from dolphin_mp import wire

        self._watch_parent()
        try:
            self._next_id += 1
            self._connected().send(
                wire.encode({"v": 1, "id": self._next_id, "command": command, "args": args})
            )
            answer = self._answer(time.monotonic() + timeout_s)
        except zmq.ZMQError as error:
            raise NotRunningError(f"the control socket of {self.system!r} fails: {error}") from None
        if answer is None:
            raise ClientError(
                "timeout", f"{command} was not answered within {timeout_s:g} s; see `dolphin-mp status`"
            )
        return _result(answer)

    def _watch_parent(self) -> None:
        """Have the poller tell of the parent's death, and of answers; raises NotRunningError."""
        import zmq

        pid = self._board.parent_pid
        if pid != self._parent or not self._board.parent_alive:
            self._forget_parent()
            with contextlib.suppress(ProcessLookupError):
                self._parent_fd = os.pidfd_open(pid)
            if self._parent_fd < 0 or not self._board.parent_alive:
                raise NotRunningError(
                    f"the parent of {self.system!r} is dead: `dolphin-mp launch` takes its components over, "
                    "`dolphin-mp shutdown` ends them"
                )
            self._parent = pid
            self._poller = zmq.Poller()
            self._poller.register(self._connected(), zmq.POLLIN)
            self._poller.register(self._parent_fd, zmq.POLLIN)

    def _forget_parent(self) -> None:
        if self._parent_fd >= 0:
            os.close(self._parent_fd)
        self._parent, self._parent_fd, self._poller = 0, -1, None

    def _answer(self, limit: float) -> dict[str, Any] | None:
        """Give the answer to the last request; None when time is up."""
        from dolphin_mp import wire

        socket, poller = self._connected(), self._poller
        assert poller is not None
        while ready := poller.poll(math.ceil(max(0.0, limit - time.monotonic()) * 1000)):
            if all(found is not socket for found, _ in ready) and not socket.poll(LAST_WORD_MS):
                self._forget_parent()
                raise NotRunningError(f"the parent of {self.system!r} died before it answered")
            answer: dict[str, Any] = wire.decode(socket.recv())
            if answer.get("id") == self._next_id:
                return answer
        return None

    def events(self, timeout_s: float | None = None) -> Iterator[dict[str, Any]]:
        """Give the system's events as they happen, until none came for `timeout_s` seconds.

        The first is mostly a ``hello``; whichever it is, from then on none is missed: docs/protocol.md.
        """
        import zmq

        from dolphin_mp import wire

        socket = self._zmq().socket(zmq.SUB)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(f"ipc://{runtime_folder(self.system)}/events")
        try:
            while socket.poll(None if timeout_s is None else round(timeout_s * 1000)):
                yield wire.decode(socket.recv_multipart()[-1])
        finally:
            socket.close(0)

    def _zmq(self) -> zmq.Context[Any]:
        import zmq

        if self._context is None:
            self._context = zmq.Context()
        return self._context

    def _connected(self) -> zmq.Socket[bytes]:
        import zmq

        if self._socket is None:
            self._socket = self._zmq().socket(zmq.DEALER)
            self._socket.setsockopt(zmq.LINGER, 0)
            self._socket.connect(f"ipc://{runtime_folder(self.system)}/control")
        return self._socket

    # hanging up -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Hang up; a client that launched its system ends it first."""
        try:
            if self._owns and self._board.parent_alive:
                pid = self._board.parent_pid
                self.shutdown()
                _wait_ended(pid)
        finally:
            self._owns = False
            for channel in self._channels.values():
                channel.close()
            self._channels.clear()
            self._board.close()
            self._forget_parent()
            if self._context is not None:
                self._context.destroy(linger=0)
                self._context = self._socket = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _wait_ended(pid: int) -> None:
    from dolphin_mp.parent.detached import wait_ended

    wait_ended(pid, ENDED_WITHIN_S)


def _result(answer: dict[str, Any]) -> Any:
    if answer.get("ok"):
        return answer["result"]
    error = answer["error"]
    raise ClientError(error["code"], error["message"], error.get("faults", ()))


def launch_system(
    system: System, *, for_s: float | None = None, until_done: bool = False, detach: bool = False
) -> Client:
    """Start a system in processes of its own and give a client that ends it when it is closed.

    Args:
        system: any `System`.
        for_s: end by itself after so many seconds.
        until_done: end when all components are done.
        detach: let it run on when the client is closed or this process ends.

    Raises:
        ConfigurationError: with all faults; nothing was started.
        LaunchError: it can't be launched now, or is running already.
    """
    from dolphin_mp.parent.detached import start_detached

    plan = system.plan()
    start_detached(None, plan=plan, for_s=for_s, until_done=until_done, tied=not detach)
    client = Client(plan.name)
    client._owns = not detach
    return client
