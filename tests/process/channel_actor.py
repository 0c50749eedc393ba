"""Processes that do what a test says.

A nursery imports numpy and channels once; each actor is a fork of it, so that one costs a millisecond and
none inherits the test runner's threads. An actor runs the Python that it is sent and answers with the value
or the error. Run as a script, this file is the nursery.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PATIENCE_S = 30.0


class ActorError(Exception):
    """What an actor's code raised: `kind` is the name of its class."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class Actor:
    """One process; `actor(code)` runs code there and gives its value."""

    def __init__(self, nursery: Nursery) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = nursery.spawn(theirs)
        theirs.close()
        self.pidfd = os.pidfd_open(self.pid)

    def __call__(self, code: str, **names: Any) -> Any:
        self.start(code, **names)
        return self.result()

    def start(self, code: str, **names: Any) -> None:
        """Have it run code, without waiting for the end."""
        self._line.send(pickle.dumps((code, names)))

    def result(self, timeout_s: float = PATIENCE_S) -> Any:
        """Give what the started code gave."""
        assert is_readable(self._line.fileno(), timeout_s), "the actor gave no answer in time"
        answer = self._line.recv(1 << 20)
        kind, value = pickle.loads(answer) if answer else ("EOFError", "the actor is dead")
        if kind != "value":
            raise ActorError(kind, value)
        return value

    def has_answered(self) -> bool:
        """Tell whether the started code has ended."""
        return is_readable(self._line.fileno(), 0)

    def kill(self) -> None:
        """SIGKILL it, and wait until it is dead."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        assert is_readable(self.pidfd, PATIENCE_S), "the actor did not die"

    def stop(self) -> None:
        """SIGSTOP it, and wait until it stands still."""
        os.kill(self.pid, signal.SIGSTOP)
        deadline = time.monotonic() + PATIENCE_S
        while status(self.pid) not in "Tt":
            assert time.monotonic() < deadline

    def go_on(self) -> None:
        """SIGCONT it."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it, whatever it does."""
        self.kill()
        self._line.close()
        os.close(self.pidfd)


class Nursery:
    """The process that actors are forks of; the actors end with it."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, __file__, str(theirs.fileno())]
        root = Path(__file__).resolve().parents[2]
        environment = {**os.environ, "PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)
        theirs.close()
        self._actors: list[Actor] = []

    def actor(self) -> Actor:
        """Give a new actor."""
        actor = Actor(self)
        self._actors.append(actor)
        return actor

    def spawn(self, line: socket.socket) -> int:
        """Have it fork an actor with that end of a line; gives the pid."""
        socket.send_fds(self._line, [b"fork"], [line.fileno()])
        assert is_readable(self._line.fileno(), PATIENCE_S), "the nursery gave no answer in time"
        return int(self._line.recv(64))

    def clear(self) -> None:
        """End all actors."""
        while self._actors:
            self._actors.pop().close()

    def close(self) -> None:
        """End the actors and the nursery."""
        self.clear()
        self._line.close()
        self._process.wait(PATIENCE_S)


def is_readable(fd: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1e3))


def status(pid: int) -> str:
    """Give a process' state letter, proc_pid_stat(5)."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0].decode()


def is_asleep(pid: int, thread: int | None = None) -> bool:
    """Tell whether a process' main thread sleeps in a futex call."""
    try:
        return "futex" in Path(f"/proc/{pid}/task/{thread or pid}/wchan").read_text()
    except FileNotFoundError:
        return False


def _act(line: socket.socket) -> None:
    import ctypes
    import threading

    import numpy as np

    from dolphin_mp import ipc
    from dolphin_mp.ipc import Channel, _core, wait_any

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: the nursery's end is ours
    space: dict[str, Any] = {
        "np": np,
        "ipc": ipc,
        "Channel": Channel,
        "_core": _core,
        "wait_any": wait_any,
        "os": os,
        "time": time,
        "signal": signal,
        "threading": threading,
        "select": select,
    }
    while message := line.recv(1 << 20):
        code, names = pickle.loads(message)
        space.update(names)
        try:
            try:
                expression = compile(code, "<actor>", "eval")
            except SyntaxError:
                exec(compile(code, "<actor>", "exec"), space)
                answer = ("value", space.pop("answer", None))
            else:
                answer = ("value", eval(expression, space))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test is told
            answer = (type(error).__name__, str(error))
        line.send(pickle.dumps(answer))


def _serve(line: socket.socket) -> None:
    import numpy  # noqa: F401, ICN001 - loaded once for all

    import dolphin_mp.ipc.channel  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, fds, _, _ = socket.recv_fds(line, 64, 1)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            line.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                _act(socket.socket(fileno=fds[0]))
            finally:
                os._exit(0)
        os.close(fds[0])
        line.send(str(pid).encode())


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
