"""The process that writes down what a system says: ``python -m dolphin_mp.logs.collector SYSTEM [FD]``.

One a system, by a kernel lock. It sleeps until a pipe has something, takes a fair share of each, and writes
it. It belongs to no parent: it ends when nobody has a pipe open any more, or when its lock's file is removed.
While there is none, the pipes hold what fits, and who writes to them drops and counts.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
import traceback
from typing import TYPE_CHECKING

from dolphin_mp.ipc import lock
from dolphin_mp.logs import inotify
from dolphin_mp.logs import record as records
from dolphin_mp.logs.counts import Counts
from dolphin_mp.logs.files import files_folder
from dolphin_mp.logs.intake import Entry
from dolphin_mp.logs.pacing import Pace
from dolphin_mp.logs.pipe import COUNTS, FOLDER, LOCK
from dolphin_mp.logs.record import ERR, OUT
from dolphin_mp.logs.source import Source
from dolphin_mp.logs.store import Store
from dolphin_mp.paths import runtime_folder

if TYPE_CHECKING:
    from dolphin_mp.logs.shelf import Bounds

ANOTHER_LIVES = 75  # EX_TEMPFAIL
LAST_BYTES = 2 << 20  # more than a pipe holds
_WATCHED = inotify.CREATE | inotify.OPEN | inotify.MOVED_TO | inotify.DELETE


class Collector:
    """The loop over the pipes of one folder.

    Args:
        folder: of the pipes.
        files: the folder to write to.
        pace: how much is taken of whom.
        bounds: how much disk it takes.

    Raises OSError when there is no such folder.
    """

    def __init__(
        self, folder: str, files: str, pace: Pace | None = None, bounds: Bounds | None = None
    ) -> None:
        self._folder, self._files = folder, files
        self._pace = pace or Pace()
        self._store = Store(files, bounds)
        self._epoll = select.epoll()
        self._watch = inotify.Watch(folder, _WATCHED)
        self._epoll.register(self._watch.fileno(), select.EPOLLIN)
        self._sources: dict[str, Source] = {}
        self._by_fd: dict[int, Source] = {}
        self._counts: dict[str, Counts] = {}
        self._alive: set[Source] = set()  # somebody has them open
        self._resting: set[Source] = set()  # over their allowance, not looked at
        self._waiting: set[Source] = set()  # those with something due
        self._over = False
        self._find_pipes()

    def run(self, ready: int = -1) -> None:
        """Collect until nobody is left who could say something; closes `ready` once all pipes are open."""
        if ready >= 0:
            os.close(ready)
        self._turn([])  # a pipe that nobody has open tells so only when it is read
        while self._alive and not self._over:
            self._turn(self._epoll.poll(self._timeout()))
        self._finish()

    # one turn -----------------------------------------------------------------------------------------------

    def _turn(self, events: list[tuple[int, int]]) -> None:
        now = time.monotonic()
        ready = {self._by_fd[fd]: None for fd, _ in events if fd in self._by_fd}
        if len(ready) < len(events):
            self._hear_of_folder()
        self._wake(now)
        ready.update(dict.fromkeys(s for s in self._waiting - self._resting if (s.due or now) <= now))
        self._take(list(ready), now)
        self._store.flush(now)
        for source in ready:
            source.note()

    def _take(self, ready: list[Source], now: float) -> None:
        share = self._pace.share(len(ready))
        for source in ready:
            self._add(source.take(share, now, len(self._resting) or 1))
            self._add(source.intake.release(now))  # what is due has got no further line just now
            if not source.has_writers:
                self._forget(source)
                if source.is_removed:
                    self._drop(source)
                    continue
            elif source.allowance.is_over and source not in self._resting:
                self._epoll.modify(source.fd, 0)
                self._resting.add(source)
            if source.due is None:
                self._waiting.discard(source)
            else:
                self._waiting.add(source)

    def _add(self, entries: list[Entry]) -> None:
        for entry in entries:
            self._store.add(entry)

    def _timeout(self) -> float | None:
        due = [self._store.deadline, *(source.due for source in self._waiting - self._resting)]
        due += [source.allowance.due(len(self._resting)) for source in self._resting]
        at = min((moment for moment in due if moment is not None), default=None)
        return None if at is None else max(0.0, at - time.monotonic())

    def _wake(self, now: float) -> None:
        """Listen again to those who have rested long enough."""
        for source in [s for s in self._resting if s.allowance.due(len(self._resting)) <= now]:
            self._resting.discard(source)
            self._epoll.modify(source.fd, select.EPOLLIN)

    # pipes --------------------------------------------------------------------------------------------------

    def _find_pipes(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._folder):  # noqa: PTH208
                self._open(name)

    def _open(self, name: str) -> None:
        """Listen to a pipe: a new one, or one that nobody had open for a while."""
        process, _, pipe = name.rpartition(".")
        if pipe not in {OUT, ERR} or not process:
            return
        source = self._sources.get(name)
        if source is None:
            if process not in self._counts:
                self._counts[process] = Counts(f"{self._folder}/{process}.{COUNTS}")
            try:
                path = f"{self._folder}/{name}"
                counts, now = self._counts[process], time.monotonic()
                source = Source(path, process, pipe, counts, self._files, self._pace, now)
            except OSError:  # it is gone again, or there are no descriptors
                return
            self._sources[name] = self._by_fd[source.fd] = source
        if source not in self._alive:
            self._alive.add(source)
            self._waiting.add(source)
            source.look_again = time.monotonic()
            self._epoll.register(source.fd, select.EPOLLIN)

    def _forget(self, source: Source) -> None:
        """Nobody has the pipe open: it would tell so without end."""
        self._epoll.unregister(source.fd)
        self._alive.discard(source)
        self._resting.discard(source)

    def _removed(self, name: str) -> None:
        """Nobody can open the pipe any more; who has it open may still say something."""
        source = self._sources.pop(name, None)
        if source is not None:
            source.is_removed = True
            self._counts.pop(name.rpartition(".")[0], None)
            if source not in self._alive:
                self._drop(source)

    def _drop(self, source: Source) -> None:
        """Let go of a pipe that was removed and has nobody's end open but this one."""
        self._add(source.intake.end(time.time_ns(), time.monotonic()))
        self._waiting.discard(source)
        del self._by_fd[source.fd]
        source.close()
        if all(other.counts is not source.counts for other in self._by_fd.values()):
            source.counts.close()

    def _look_for_removed(self) -> None:
        for name, source in list(self._sources.items()):
            if not source.is_at(f"{self._folder}/{name}"):
                self._removed(name)

    def _hear_of_folder(self) -> None:
        for change in self._watch.changes():
            if change.mask & inotify.DELETE:
                # not the folder's own end, of which one is told only after all files in it are closed
                self._over = self._over or change.name == LOCK
                self._removed(change.name)
            elif change.mask & inotify.OVERFLOW:
                self._look_for_removed()
                self._find_pipes()
            else:
                self._open(change.name)

    def _finish(self) -> None:
        """Take what is left, within a bound, and write it."""
        now = time.monotonic()
        for source in self._by_fd.values():
            self._add(source.take(LAST_BYTES, now, 1))
            self._add(source.intake.end(time.time_ns(), now))
        self._store.flush(now)
        for source in self._by_fd.values():
            source.note()
        self._store.close()


def take_lock(folder: str) -> int | None:
    """Become the folder's collector; gives the lock's descriptor, None if another is."""
    fd = os.open(f"{folder}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if not lock.try_lock(fd, 0):
        os.close(fd)
        return None
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d %d\n" % (os.getpid(), lock.start_time(os.getpid())), 0)
    return fd


def main() -> int:
    """Collect for the system that argv names."""
    from setproctitle import setproctitle

    system = sys.argv[1]
    setproctitle(f"logs [dolphin-mp {system}]")
    with contextlib.suppress(OSError):  # one that idles may not leave that
        # to wake for what somebody says must not take the core from who says it: sched(7)
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(
            number, signal.SIG_IGN
        )  # what others say at their end is to be heard: it ends after them
    _raise_open_files()
    folder = f"{runtime_folder(system)}/{FOLDER}"
    files = files_folder(system)
    try:
        if take_lock(folder) is None:
            return ANOTHER_LIVES
        Collector(folder, files).run(int(sys.argv[2]) if len(sys.argv) > 2 else -1)
    except FileNotFoundError:  # the system has ended
        return 0
    except Exception:  # noqa: BLE001 - it is told where people look for it; the parent starts another
        _leave_word(files)
        return 1
    return 0


def _raise_open_files() -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _leave_word(files: str) -> None:
    """Write down why this process ends."""
    store = Store(files)
    who = records.identity("dolphin-mp", os.getpid(), 0)
    text = traceback.format_exc().rstrip()
    store.add(Entry("dolphin-mp", records.encode(time.time_ns(), who, "critical", records.NOTE, text)))
    store.flush(time.monotonic())
    store.close()


if __name__ == "__main__":
    sys.exit(main())
