"""The parent's side: it makes the pipes, keeps them open, and sees to it that there is a collector.

As long as the parent has a pipe open, nothing that was said is lost with the death of who said it, nor with
the collector's. It never reads or writes what is said.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from dolphin_mp.ipc import lock
from dolphin_mp.logs.files import files_folder
from dolphin_mp.logs.pipe import COUNTS, FOLDER, LOCK, open_pipe
from dolphin_mp.logs.record import ERR, OUT, SYSTEM
from dolphin_mp.logs.stream import Voice

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

OWN = "dolphin-mp"  # the name under which the parent itself speaks
MEMORY = 16 << 20  # of all pipes together, when they are full; see user-pages-soft in pipe(7)
LARGEST, SMALLEST = 1 << 20, 1 << 16
_TRIES = 4
SOUND_AFTER_S = 60.0
END_LIMIT_S = 1.0


class Keeper:
    """Keeps a system's pipes and its collector.

    Args:
        system: its name.
        runtime: its runtime folder.
        processes: whose pipes to make.
        environment: of the collector; None is this process' own.
        components: of whom `say` can tell.

    Attributes: folder (of the pipes); pid (of the collector, 0 without one); again_at (when to call
    `look_after` though nobody has died, or None).
    """

    def __init__(
        self,
        system: str,
        runtime: str,
        processes: Iterable[str],
        environment: Mapping[str, str] | None = None,
        components: Sequence[str] = (),
    ) -> None:
        self.folder = f"{runtime}/{FOLDER}"
        self.pid = 0
        self.again_at: float | None = None
        self._system = system
        self._components = components
        self._environment = environment
        self._pipes: dict[str, tuple[int, ...]] = {}
        self._pidfd = self._ready = -1
        self._voice: Voice | None = None
        self._tries = 0
        self._began = 0.0
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.folder, 0o700)  # noqa: PTH102
        with contextlib.suppress(
            OSError
        ):  # who follows the files needs their folder; the collector tells why not
            os.makedirs(files_folder(system), 0o700, exist_ok=True)  # noqa: PTH103
        self._lock = os.open(
            f"{self.folder}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        names = [OWN, *dict.fromkeys(processes)]
        for name in names:
            self.add(name, len(names))
        self.look_after()

    def add(self, process: str, count: int = 1) -> None:
        """Make and keep the pipes of a process, one of so many."""
        if process not in self._pipes:
            paths = [f"{self.folder}/{process}.{pipe}" for pipe in (OUT, ERR)]
            self._pipes[process] = tuple(map(open_pipe, paths))
            size = max(SMALLEST, min(LARGEST, MEMORY // (2 * max(count, len(self._pipes)))))
            for fd in self._pipes[process]:
                with contextlib.suppress(OSError):  # the user's share is used up; 64 KiB do
                    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, 1 << (size.bit_length() - 1))

    def hold(self, processes: Iterable[str], components: Sequence[str]) -> None:
        """Keep the pipes of these processes and no others, and know these components."""
        kept = {OWN, *processes}
        for process in [name for name in self._pipes if name not in kept]:
            self._remove(process)
        for process in kept:
            self.add(process)
        self._components = components
        if self._voice is not None:
            self._voice.close()
            self._voice = None

    def _remove(self, process: str) -> None:
        """Let a process' pipes go, for it is gone for good; the collector takes what is in them."""
        if self._pidfd < 0 or not self._is_ready():  # what they hold would be lost: with the next call
            return
        for name in (OUT, ERR, COUNTS):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.folder}/{process}.{name}")  # noqa: PTH108
        for fd in self._pipes.pop(process):
            os.close(fd)

    def _is_ready(self) -> bool:
        """Tell whether the collector has all pipes open that there were at its start."""
        if self._ready < 0:  # an earlier parent's
            return True
        poll = select.poll()
        poll.register(self._ready, 0)
        return bool(poll.poll(0))

    def fileno(self) -> int:
        """Give what is readable when the collector is dead: then call `look_after`; -1 without one."""
        return self._pidfd

    def look_after(self) -> bool:
        """Find the collector, or start one; False when it was tried often enough in vain for now."""
        self._let_go()
        self.again_at = None
        if self._find():
            return True
        now = time.monotonic()
        if now - self._began >= SOUND_AFTER_S:
            self._tries = 0
        self._tries += 1
        self._began = now
        if self._tries <= _TRIES and self._start():
            return True
        self.again_at = now + SOUND_AFTER_S
        return False

    def say(self, level: str, text: str, component: str = "") -> None:
        """Say something of a component, or in the parent's own name; without waiting."""
        if self._voice is None:
            with contextlib.suppress(OSError):
                voice = Voice()
                voice.open(self.folder, OWN, 1, (OWN, *self._components))
                voice.begin()
                self._voice = voice
        if self._voice is not None:
            is_grave = level not in {"debug", "info"}
            self._voice.say(level, SYSTEM, text, logger=component, is_grave=is_grave)

    def wait_ready(self, limit_s: float) -> None:
        """Wait until a collector that was started has all pipes open, or is dead."""
        if self._ready >= 0:
            poll = select.poll()
            poll.register(self._ready, 0)
            poll.poll(limit_s * 1000)

    def end(self, limit_s: float = END_LIMIT_S) -> None:
        """Let go of the pipes when all processes have ended; waits until the last words are written."""
        self.wait_ready(limit_s)  # what a pipe holds is lost with whoever last had it open
        self.close_pipes()
        if self._pidfd >= 0:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            if not poll.poll(limit_s * 1000):  # somebody else has a pipe open
                with contextlib.suppress(OSError):
                    os.unlink(f"{self.folder}/{LOCK}")  # noqa: PTH108
                if not poll.poll(limit_s * 1000):
                    with contextlib.suppress(ProcessLookupError):
                        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                        poll.poll(limit_s * 1000)
            with contextlib.suppress(ChildProcessError):  # an earlier parent's, or reaped already
                os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        self.close()

    def close(self) -> None:
        """Let go of everything; a collector goes on for as long as a pipe is open."""
        self.close_pipes()
        self._let_go()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def close_pipes(self) -> None:
        """Let go of the pipes."""
        for pipes in self._pipes.values():
            for fd in pipes:
                os.close(fd)
        self._pipes.clear()
        if self._voice is not None:
            self._voice.close()
            self._voice = None

    # the collector ------------------------------------------------------------------------------------------

    def _find(self) -> bool:
        """Take up the collector that lives."""
        if not lock.is_locked(self._lock, 0):
            return False
        words = os.pread(self._lock, 64, 0).split()
        if len(words) != 2:
            return False
        pid, start = map(int, words)
        with contextlib.suppress(OSError):
            pidfd = os.pidfd_open(pid)
            if lock.start_time(pid) == start:
                self.pid, self._pidfd = pid, pidfd
                return True
            os.close(pidfd)
        return False

    def _start(self) -> bool:
        self._ready, ready = os.pipe2(os.O_CLOEXEC)
        command = [sys.executable, "-P", "-m", "dolphin_mp.logs.collector", self._system, str(ready)]
        try:
            process = subprocess.Popen(
                command,
                pass_fds=[ready],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                cwd="/",
                start_new_session=True,
            )
            self._pidfd = os.pidfd_open(process.pid)
        except OSError:
            return False
        finally:
            os.close(ready)
        self.pid = process.pid
        process.returncode = 0  # whoever reaps this process' children reaps it
        return True

    def _let_go(self) -> None:
        for fd in {self._pidfd, self._ready} - {-1}:
            os.close(fd)
        self._pidfd, self._ready, self.pid = -1, -1, 0
