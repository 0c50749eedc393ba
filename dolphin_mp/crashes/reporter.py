"""The parent's part: hand a crash's facts to a process that writes them, and hear what became of that.

Nothing here waits for a disk. Few writers live at a time; what comes meanwhile waits in memory, and of what
is too much only the number is told.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dolphin_mp.crashes.parcel import pack
from dolphin_mp.crashes.shelf import Bounds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dolphin_mp.crashes.coroner import Finding
    from dolphin_mp.hang.watch import Sleeper

MOST_WRITERS = 2
MOST_QUEUED = 16
DRAIN_S = 5.0  # chosen: a bundle takes 0.1 s; a disk that hangs must not keep a stopped system up


@dataclass(frozen=True, slots=True)
class Job:
    """A parcel on its way: what it is about, and the memory file with it."""

    process: str
    memory: int


class Reporter:
    """Has bundles written.

    Args:
        sleeper: tells when a writer has answered.
        folder: where the system's bundles are.
        tell: publishes what became of one, as an event for people.
        bounds: what is kept.
    """

    def __init__(
        self,
        sleeper: Sleeper,
        folder: Path,
        tell: Callable[[dict[str, Any]], None],
        bounds: Bounds | None = None,
    ) -> None:
        self._sleeper = sleeper
        self._folder = folder
        self._tell = tell
        self._bounds = bounds or Bounds()
        self._queue: deque[Job] = deque()
        self._writers: dict[socket.socket, Job] = {}
        self._dropped = 0

    def report(self, finding: Finding) -> None:
        """Have a crash written down; an event follows. It takes a millisecond or two: first things first."""
        process, facts, blobs = finding
        if len(self._queue) >= MOST_QUEUED:
            self._dropped += 1
            return
        try:
            memory = _memory_file(pack(facts, blobs))
        except OSError as error:
            self._refused(process, error)
            return
        self._queue.append(Job(process, memory))
        self._start()

    def close(self, limit_s: float = DRAIN_S) -> None:
        """Let the writers finish, for so long at most; one that takes longer goes on by itself."""
        ends_at = time.monotonic() + limit_s
        while self._writers:
            poll, lines = select.poll(), {line.fileno(): line for line in self._writers}
            for fd in lines:  # not select(2), which knows but 1,024 descriptors
                poll.register(fd, select.POLLIN)
            ready = poll.poll(max(0.0, ends_at - time.monotonic()) * 1000)
            if not ready:
                break
            for fd, _ in ready:
                self._answered(lines[fd])
        for line in self._writers:
            self._sleeper.remove(line.fileno())
            line.close()
        self._writers.clear()
        for job in self._queue:
            os.close(job.memory)
        self._queue.clear()

    def _start(self) -> None:
        while self._queue and len(self._writers) < MOST_WRITERS:
            job = self._queue.popleft()
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            try:
                self._spawn(job.memory, theirs.fileno())
            except OSError as error:
                ours.close()
                self._refused(job.process, error)
                continue
            finally:
                theirs.close()
                os.close(job.memory)
            self._writers[ours] = job
            self._sleeper.add(ours.fileno(), lambda line=ours: self._answered(line))  # type: ignore[misc]

    def _spawn(self, memory: int, answer: int) -> None:
        arguments = [memory, answer, self._folder, self._bounds.bundles, self._bounds.nbytes]
        # A Ctrl-C reaches all of the terminal's foreground, and the writer before it can ignore that.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "dolphin_mp.crashes.writer", *map(str, arguments)],
                pass_fds=[memory, answer],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        process.returncode = 0  # it is reaped with the strangers; its answer is what counts

    def _answered(self, line: socket.socket) -> None:
        try:
            text = line.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            text = b""
        job = self._writers.pop(line)
        self._sleeper.remove(line.fileno())
        line.close()
        report: dict[str, Any] = {"error": "the process that writes crash bundles died"}
        with contextlib.suppress(ValueError):
            report = json.loads(text)
        self._say(job.process, report)
        self._start()

    def _refused(self, process: str, error: OSError) -> None:
        self._say(process, {"error": f"no crash bundle could be begun: {error.strerror}"})

    def _say(self, process: str, report: dict[str, Any]) -> None:
        event = {"event": "crash", "process": process, **report}
        if self._dropped:
            event["dropped"], self._dropped = self._dropped, 0
        self._tell(event)


def _memory_file(pieces: list[bytes]) -> int:
    memory = os.memfd_create("dolphin-mp-crash", os.MFD_CLOEXEC)
    try:
        with open(memory, "wb", closefd=False) as file:
            file.writelines(pieces)
    except BaseException:
        os.close(memory)
        raise
    return memory
