"""The parent's end of a foreground launch: events go to a viewer process, without ever waiting for it.

A terminal on hold stops whoever writes to it. So the parent writes to none: it hands each event, as one JSON
datagram, to a child that draws. What that child does not take in time is dropped and counted; when it dies,
the next event brings another.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

LIVE, PLAIN, JSON = "live", "plain", "json"
_DRAIN_S = 1.0
_MOST_VIEWERS = 4  # a viewer that dies of what it is shown would die for ever


class Display:
    """A viewer and the pipe of the components' output that it shows.

    Args:
        mode: LIVE for a terminal that can be redrawn, else PLAIN, or JSON.

    Attributes:
        streams: descriptors for the components' stdout and stderr; None where they keep the launcher's.
    """

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._first: list[bytes] = []
        self._lost = 0
        self._born = 0
        self._socket: socket.socket | None = None
        self._pidfd = -1
        self._output = -1
        self._input = -1
        if os.isatty(1) or os.isatty(2):
            # several processes write to it: one that saw room finds none, and must not wait then
            self._output, self._input = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        stdout, stderr = (self._input if os.isatty(fd) else None for fd in (1, 2))
        self.streams = (stdout, stderr)
        self._start()

    def tell(self, event: dict[str, Any]) -> None:
        """Hand over one event."""
        text = json.dumps(event).encode()
        if event["event"] in {"launching", "launched"}:
            self._first.append(text)  # what a viewer must know, whenever it is born
        if self._lost and self._send(json.dumps({"event": "lost", "count": self._lost}).encode()):
            self._lost = 0
        if not self._send(text):
            self._lost += 1

    def close(self) -> None:
        """Let the viewer show what it has, for a second at most."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._pidfd >= 0:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            if not poll.poll(_DRAIN_S * 1000):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.close(self._pidfd)
            self._pidfd = -1
        for fd in {self._output, self._input} - {-1}:
            os.close(fd)
        self._output = self._input = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, text: bytes) -> bool:
        if self._socket is None:
            return False
        try:
            self._socket.send(text, socket.MSG_NOSIGNAL)
        except OSError as error:
            if error.errno in {errno.EPIPE, errno.ECONNRESET}:
                self._replace()
            return False
        return True

    def _replace(self) -> None:
        """Start another viewer after the death of one; it is told what the first one was."""
        for thing in (self._socket, self._pidfd):
            if isinstance(thing, socket.socket):
                thing.close()
            elif thing is not None and thing >= 0:
                os.close(thing)
        self._socket, self._pidfd = None, -1
        if self._born < _MOST_VIEWERS:
            self._start()
            for text in self._first:
                self._send(text)

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        given = [fd for fd in (theirs.fileno(), self._output) if fd >= 0]
        command = [sys.executable, "-P", "-m", "dolphin_mp.cli.viewer", self._mode, str(self._born)]
        # A Ctrl-C reaches all of the terminal's foreground; the viewer is to show what follows it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process = subprocess.Popen([*command, *map(str, given)], pass_fds=given, stdin=subprocess.DEVNULL)
            self._pidfd = os.pidfd_open(process.pid)
        except OSError:  # no process to be had: the system matters more than its display
            ours.close()
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        process.returncode = 0  # the loop reaps it with all others; here only its pidfd is asked
        self._born += 1
        self._socket = ours
