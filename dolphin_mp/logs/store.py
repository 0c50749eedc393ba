"""Writes records' lines into files, whole lines or none; survives a full disk and says what it cost."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from dolphin_mp.ipc import lock
from dolphin_mp.logs import record as records
from dolphin_mp.logs.shelf import Bounds, Shelf, file_name, parse_name

if TYPE_CHECKING:
    from dolphin_mp.logs.intake import Entry

MOST_OPEN = 512
RETRY_S = 5.0  # chosen: a disk stays full for minutes
_LONGEST_TAIL = 1 << 20


class Store:
    """The files of one system.

    Args:
        folder: where they are; made if it is not there.
        bounds: how much of the disk they take.
    """

    def __init__(self, folder: str, bounds: Bounds | None = None) -> None:
        self._folder = folder
        self._shelf = Shelf(bounds or Bounds())
        self._pending: dict[str, list[bytes]] = {}
        self._lost: dict[str, int] = {}
        self._why = ""
        self._since_ns = 0
        self._retry_at: float | None = None
        self._open: dict[str, tuple[int, int]] = {}  # by component: number, descriptor
        with contextlib.suppress(OSError):  # it is said with the first record that can't be written
            os.makedirs(folder, 0o700, exist_ok=True)  # noqa: PTH103
        self._look_around()

    @property
    def deadline(self) -> float | None:
        """When to try again after a failure; None when all is well."""
        return self._retry_at

    def add(self, entry: Entry) -> None:
        """Take a line; `flush` writes it."""
        self._pending.setdefault(entry.component, []).append(entry.line)

    def flush(self, now: float) -> None:
        """Write everything, or count it as lost."""
        pending, self._pending = self._pending, {}
        for component in [*self._lost, *(name for name in pending if name not in self._lost)]:
            self._write_all(component, pending.get(component, []))
        if not self._lost:
            self._retry_at, self._since_ns = None, 0
        elif self._retry_at is None or self._retry_at <= now:
            self._retry_at = now + RETRY_S

    def close(self) -> None:
        """Let go of the files."""
        for component in list(self._open):
            self._shut(component)

    # writing ------------------------------------------------------------------------------------------------

    def _write_all(self, component: str, lines: list[bytes]) -> None:
        lost = self._lost.pop(component, 0)
        if lost:
            lines = [self._note(component, lost), *lines]
        at = 0
        while at < len(lines):
            end, nbytes = at, 0
            while end < len(lines) and (end == at or nbytes + len(lines[end]) < self._shelf.limit):
                nbytes += len(lines[end]) + 1
                end += 1
            try:
                self._write(component, b"\n".join(lines[at:end]) + b"\n")
            except OSError as error:
                left = len(lines) - at
                self._lose(component, left if not lost or at else lost + left - 1, error)
                return
            at = end

    def _write(self, component: str, data: bytes) -> None:
        for gone, number in self._shelf.victims(len(data)):
            self._remove(gone, number)
        number, fd = self._file_for(component, len(data))
        before = os.fstat(fd).st_size
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(fd, view) :]
        except OSError:
            try:
                os.ftruncate(fd, before)
            except OSError:
                self._shut(component)
            raise
        self._shelf.grew(component, number, len(data))

    def _lose(self, component: str, count: int, error: OSError) -> None:
        if not self._since_ns:
            self._why = error.strerror or str(error)
            self._since_ns = time.time_ns()
        self._lost[component] = self._lost.get(component, 0) + count

    def _note(self, component: str, lost: int) -> bytes:
        now_ns = time.time_ns()
        text = (
            f"{lost} record{'s' * (lost != 1)} dropped: {self._folder} could not be written "
            f"({self._why}) since {records.timestamp(self._since_ns)}"
        )
        who = records.identity(component, os.getpid(), 0)
        return records.encode(now_ns, who, "error", records.NOTE, text, f',"dropped":{lost}')

    # files --------------------------------------------------------------------------------------------------

    def _file_for(self, component: str, nbytes: int) -> tuple[int, int]:
        """Give the number and descriptor of the file that takes so many bytes more."""
        known = self._open.get(component)
        if known is not None and os.fstat(known[1]).st_nlink == 0:  # somebody removed it
            self._shut(component)
            self._look_around()
            known = None
        while True:
            number = self._shelf.place(component, nbytes)
            if known is not None and known[0] == number:
                return known
            self._shut(component)
            fd = self._open_file(component, number)
            if fd is not None:
                while len(self._open) >= MOST_OPEN:
                    self._shut(next(iter(self._open)))
                known = self._open[component] = (number, fd)
                return known
            self._shelf.sizes[component][number + 1] = 0  # another collector writes this one

    def _open_file(self, component: str, number: int) -> int | None:
        """Open a file to append whole lines to it; None if somebody else does."""
        path = f"{self._folder}/{file_name(component, number)}"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            fd = os.open(path, flags, 0o600)
        except FileNotFoundError:
            os.makedirs(self._folder, 0o700, exist_ok=True)  # noqa: PTH103
            fd = os.open(path, flags, 0o600)
        try:
            if not lock.try_lock(fd, 0):
                os.close(fd)
                return None
            size = _mend(fd)
        except OSError:
            os.close(fd)
            raise
        self._shelf.sizes[component][number] = size
        return fd

    def _shut(self, component: str) -> None:
        known = self._open.pop(component, None)
        if known is not None:
            os.close(known[1])

    def _remove(self, component: str, number: int) -> None:
        if self._open.get(component, (0, 0))[0] == number:
            self._shut(component)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._folder}/{file_name(component, number)}")  # noqa: PTH108

    def _look_around(self) -> None:
        """Note which files are there."""
        files = {}
        with contextlib.suppress(OSError):
            for entry in os.scandir(self._folder):
                with contextlib.suppress(OSError):
                    if parse_name(entry.name) and entry.is_file(follow_symlinks=False):
                        files[entry.name] = entry.stat(follow_symlinks=False).st_size
        self._shelf.found(files)


def _mend(fd: int) -> int:
    """Remove the line that a killed collector left half written; gives the file's size."""
    size = os.fstat(fd).st_size
    if not size or os.pread(fd, 1, size - 1) == b"\n":
        return size
    start = max(0, size - _LONGEST_TAIL)
    whole = start + os.pread(fd, size - start, start).rfind(b"\n") + 1
    os.ftruncate(fd, whole)
    return whole
