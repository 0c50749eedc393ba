"""Reads the files: the last records, those since a time, and those to come; whether the system runs or not.

``tail``, ``history`` and ``since`` give records in the order of their times, ``Follower`` what is added from
now on.
"""

from __future__ import annotations

import contextlib
import heapq
import os
from typing import TYPE_CHECKING

from dolphin_mp.logs import inotify
from dolphin_mp.logs.files import Files, files_folder, look, read_backwards, read_forwards
from dolphin_mp.logs.record import LEVELS, Record, decode
from dolphin_mp.logs.shelf import file_name, parse_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# Chosen: the two pipes of a process are read in turn, so that their records stand near the order of time, not
# in it.
WINDOW = 1024


def tail(system: str, component: str, count: int) -> list[Record]:
    """Give the last records of one component, the oldest first, as far as they are written.

    A record is written within milliseconds after it was said, a traceback that was printed line by line a
    quarter of a second later.
    """
    folder = files_folder(system)
    return history(folder, look(folder, {component}), count)


def history(
    folder: str,
    files: Files,
    count: int,
    *,
    moment: str = "",
    wanted: Callable[[Record], bool] | None = None,
) -> list[Record]:
    """Give the last records of some components, the oldest first.

    Args:
        folder: of the files.
        files: which, as `look` gave them.
        count: how many at most.
        moment: a time as in records: none older than that.
        wanted: tells which.
    """
    if count <= 0:
        return []
    found: list[Record] = []
    for component, sizes in files.items():
        mine: list[Record] = []
        too_old = 0
        for record in read_backwards(folder, component, sizes):
            if record["time"] < moment:
                too_old += 1
            elif wanted is None or wanted(record):
                mine.append(record)
            if too_old > WINDOW or len(mine) >= count + WINDOW:
                break
        mine.reverse()
        found += sorted(mine, key=_time)[-count:]
    return sorted(found, key=_time)[-count:]


def since(
    folder: str, files: Files, moment: str, wanted: Callable[[Record], bool] | None = None
) -> Iterator[Record]:
    """Give all records since a time, the oldest first, without holding them all in memory."""
    streams = [_in_order(read_forwards(folder, name, sizes, moment)) for name, sizes in files.items()]
    for record in heapq.merge(*streams, key=_time):
        if wanted is None or wanted(record):
            yield record


def at_least(level: str) -> Callable[[Record], bool]:
    """Give what tells whether a record is of that level or a graver one."""
    least = LEVELS[level]
    return lambda record: LEVELS.get(record["level"], LEVELS["critical"]) >= least


class Follower:
    """What is written from now on; `fileno` is readable when there is something.

    Args:
        folder: of the files; it must be there.
        components: whose; None is everybody's, also of those who have said nothing yet.

    Attributes: files: what was there when it began, for `history` or `since`: together they miss and double
    nothing.
    """

    def __init__(self, folder: str, components: Iterable[str] | None = None) -> None:
        self._folder = folder
        self._names = None if components is None else frozenset(components)
        self._watch = inotify.Watch(
            folder, inotify.CREATE | inotify.MODIFY | inotify.MOVED_TO | inotify.DELETE
        )
        self._open: dict[str, dict[int, _Followed]] = {}
        self.files = look(folder, self._names)
        for component, sizes in self.files.items():
            self._follow(component, max(sizes), sizes[max(sizes)])

    def fileno(self) -> int:
        """Give the descriptor to poll."""
        return self._watch.fileno()

    def read(self) -> list[Record]:
        """Give what came since the last call, in the order of times."""
        changed: set[tuple[str, int]] = set()
        for change in self._watch.changes():
            if change.mask & inotify.OVERFLOW:
                files = look(self._folder, self._names)
                changed |= {
                    (name, number)
                    for name, sizes in files.items()
                    for number in sizes
                    if number > max(self._open.get(name, ()), default=0)
                }
                changed |= {(name, number) for name, numbers in self._open.items() for number in numbers}
            elif parsed := parse_name(change.name):
                changed.add(parsed)
        found: list[Record] = []
        for component, number in sorted(changed):
            if self._names is None or component in self._names:
                found += self._read_file(component, number)
        return sorted(found, key=_time)

    def close(self) -> None:
        """Let go of everything."""
        self._watch.close()
        for files in self._open.values():
            for file in files.values():
                os.close(file.fd)
        self._open.clear()

    def _follow(self, component: str, number: int, start: int = 0) -> None:
        with contextlib.suppress(OSError):
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(f"{self._folder}/{file_name(component, number)}", flags)
            os.lseek(fd, start, os.SEEK_SET)
            self._open.setdefault(component, {})[number] = _Followed(fd)

    def _read_file(self, component: str, number: int) -> list[Record]:
        """Read a file's news; one that was removed meanwhile is still open."""
        files = self._open.setdefault(component, {})
        if number not in files:
            self._follow(component, number)
        if number not in files:
            return []
        for older in [other for other in files if other < number - 1]:  # long done with
            os.close(files.pop(older).fd)
        return files[number].read()


class _Followed:
    """A file that is being read to its end again and again."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._rest = b""

    def read(self) -> list[Record]:
        found = []
        while data := os.read(self.fd, 1 << 20):
            *lines, self._rest = (self._rest + data).split(b"\n")
            found += [record for line in lines if (record := decode(line))]
        return found


def _time(record: Record) -> str:
    time: str = record["time"]
    return time


def _in_order(records: Iterator[Record]) -> Iterator[Record]:
    """Give records that are nearly in the order of time in that order."""
    heap: list[tuple[str, int, Record]] = []
    for number, record in enumerate(records):
        item = (record["time"], number, record)
        if len(heap) < WINDOW:
            heapq.heappush(heap, item)
        else:
            yield heapq.heappushpop(heap, item)[2]
    while heap:
        yield heapq.heappop(heap)[2]
