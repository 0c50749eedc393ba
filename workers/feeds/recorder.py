"""Raw messages to rotated files, in the format that `books.capture` reads.

Lines are noted where they happen and written elsewhere, in batches, by whoever may wait for a disk. Each
start and each `file_bytes` begin a new file, so a line that a kill cut short stays the last of its file. A
disk that takes nothing costs the recording what comes meanwhile, and leaves a line that a reader counts as a
bad one in its place: a book that can't know what is missing there must not go on as if nothing was.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from dolphin_mp.workers.books.capture import latest_ns
from dolphin_mp.workers.feeds.renewals import Renewals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from io import FileIO
    from pathlib import Path

WAITING_BYTES = 64 << 20
"""Noted and not yet written; beyond it lines are lost and counted (chosen: a busy venue's minute)."""
RETRY_S = 10.0
"""After which a disk that refused is tried again (chosen)."""


def stamp(recv_ns: int) -> bytes:
    """Give a time as the format has it, exact to the nanosecond."""
    return b"%d.%09d" % divmod(recv_ns, 1_000_000_000)


def connected(url: str, recv_ns: int) -> bytes:
    """Give the line of a connection that stands."""
    return b"%s <-> %s" % (url.encode(), stamp(recv_ns))


def sent(url: str, recv_ns: int, payload: bytes) -> bytes:
    """Give the line of a message to the venue."""
    return b"%s <- %s: %s" % (url.encode(), stamp(recv_ns), _one_line(payload))


def reply(url: str, recv_ns: int, body: bytes) -> bytes:
    """Give the line of a REST reply."""
    return b"%s -> %s: %s" % (url.encode(), stamp(recv_ns), _one_line(body))


def received(recv_ns: int, payload: bytes) -> bytes:
    """Give the line of a message from the venue."""
    return b"%s: %s" % (stamp(recv_ns), _one_line(payload))


def subscribed(symbols: Sequence[str]) -> bytes:
    """Give the line that says of which symbols a file has messages."""
    return b"configuration: " + orjson.dumps({"subscribed": list(symbols)})


def _one_line(payload: bytes) -> bytes:
    """Give JSON without line breaks, which it has only where a blank does as well."""
    return payload.replace(b"\n", b" ").replace(b"\r", b" ")  # each a scan and no copy where there is none


def least_bytes(streams: int, file_bytes: int) -> int:
    """Give what a recording needs at least: an open file of each stream, and a full one to be removed."""
    return (streams + 1) * file_bytes


class _Stream:
    """One connection's file, and what it has lost."""

    def __init__(self) -> None:
        self.file: FileIO | None = None
        self.path: Path | None = None
        self.size = 0
        self.lost = 0
        self.head = b""


class Recorder:
    """The files of one feed.

    Args:
        folder: made if it is missing; one that can't be made is a disk that takes nothing.
        venue: what the names begin with.
        streams: the middle of the names: ``ws.1``, ``http.0``.
        file_bytes: after which a file is closed and the next one begun.
        total_bytes: of all files of the venue there; the oldest go. Each open file counts as a whole one.
        report: hears one line of each thing that should be known.

    Attributes:
        folder: where the files are.
        latest_ns: the last time in what was recorded there before; 0: nothing was.
        n_lost: lines that were not written.
        renewals: which connections should be made anew, for the recording's sake.

    Raises:
        ValueError: the bounds can't hold.
    """

    def __init__(
        self,
        folder: Path,
        venue: str,
        streams: Iterable[str],
        *,
        file_bytes: int,
        total_bytes: int,
        report: Callable[[str], None],
    ) -> None:
        self.folder, self._venue, self._report = folder, venue, report
        self._streams = {name: _Stream() for name in streams}
        if total_bytes < least_bytes(len(self._streams), file_bytes):
            raise ValueError(f"{total_bytes} bytes are too few for {len(self._streams)} files and a full one")
        self._file_bytes, self._total_bytes = file_bytes, total_bytes
        self._name = re.compile(rf"{re.escape(venue)}\.((?:ws|http)\.\d+)\.(\d+)")
        self._noted: dict[str, list[bytes]] = {}
        self._overflow: dict[str, int] = {}
        self._waiting = 0
        self._failed_s = float("-inf")
        self._is_failing = False
        self.n_lost = 0
        self.latest_ns = latest_ns(folder, venue)
        self.renewals = Renewals((total_bytes - len(self._streams) * file_bytes) // 2)

    def begin(self, stream: str, symbols: Sequence[str]) -> None:
        """Hear that a connection begins; each of its files will say of which symbols it has messages."""
        self._streams[stream].head = subscribed(symbols) + b"\n"
        self.renewals.begin(stream)

    def note(self, stream: str, line: bytes) -> None:
        """Keep a line for the next batch."""
        if self._waiting > WAITING_BYTES:
            self._overflow[stream] = self._overflow.get(stream, 0) + 1
            return
        self.renewals.note(len(line) + 1)
        self._waiting += len(line) + 1
        self._noted.setdefault(stream, []).append(line)

    def batch(self) -> dict[str, list[bytes]]:
        """Take what was noted, by stream. Not while another is being written."""
        noted, self._noted, self._waiting = self._noted, {}, 0
        for stream, count in self._overflow.items():
            noted.setdefault(stream, []).append(_gap(count))
            self.n_lost += count
            self.renewals.tear(stream)
        self._overflow.clear()
        return noted

    def write(self, batch: dict[str, list[bytes]], now: float) -> None:
        """Write a batch, however long that takes; never raises OSError. One at a time."""
        if self._is_failing and now < self._failed_s + RETRY_S:
            self._lose_all(batch)
            return
        torn: dict[str, list[bytes]] = {name: [] for name, each in self._streams.items() if each.lost}
        for stream, lines in (torn | batch).items():
            try:
                self._append(stream, lines)
            except OSError as error:
                self._fail(error, now)
                self._lose_all({stream: lines})
        if batch and self._is_failing and self._failed_s < now:
            self._is_failing = False
            self._report(f"recording to {self.folder} goes on; {self.n_lost} messages in all are missing")

    def close(self) -> None:
        """Close all files."""
        for stream in self._streams.values():
            if stream.file is not None:
                stream.file.close()
                stream.file = None

    def _append(self, name: str, lines: list[bytes]) -> None:
        """Write lines to a stream, into as many files as that takes; those written are taken off the list."""
        stream = self._streams[name]
        while lines or stream.lost:
            if stream.file is None or stream.size >= self._file_bytes:
                self._open_next(name, stream)
            if not stream.size:
                _write_whole(stream, stream.head)
            if stream.lost:
                _write_whole(stream, _gap(stream.lost) + b"\n")
                stream.lost = 0
                self.renewals.tear(name)
            room, count = self._file_bytes - stream.size, 0
            while count < len(lines) and (room > 0 or not count):
                room -= len(lines[count]) + 1
                count += 1
            _write_whole(stream, b"\n".join([*lines[:count], b""]))
            del lines[:count]

    def _open_next(self, name: str, stream: _Stream) -> None:
        if stream.file is not None:
            stream.file.close()
            stream.file = None
        self.folder.mkdir(parents=True, exist_ok=True)
        self._make_room()
        number = 1 + max((int(match[2]) for match in self._found().values() if match[1] == name), default=-1)
        path = self.folder / f"{self._venue}.{name}.{number}"
        stream.file, stream.path, stream.size = path.open("xb", buffering=0), path, 0

    def _make_room(self) -> None:
        """Remove the oldest files that are not open, until the next one will fit."""
        open_paths = {stream.path for stream in self._streams.values() if stream.file is not None}
        closed = [(path.stat(), path) for path in self._found() if path not in open_paths]
        closed.sort(key=lambda item: item[0].st_mtime_ns)
        total = sum(state.st_size for state, _ in closed) + len(self._streams) * self._file_bytes
        for state, path in closed:
            if total <= self._total_bytes:
                return
            path.unlink(missing_ok=True)
            total -= state.st_size
            self._report(f"removed {path.name}, the oldest recording: more than {self._total_bytes} bytes")

    def _found(self) -> dict[Path, re.Match[str]]:
        names = {path: self._name.fullmatch(path.name) for path in self.folder.iterdir()}
        return {path: match for path, match in names.items() if match is not None}

    def _fail(self, error: OSError, now: float) -> None:
        self._failed_s = now
        if not self._is_failing:
            self._is_failing = True
            self._report(f"recording to {self.folder} stops: {error.strerror or error}; the books go on")

    def _lose_all(self, batch: dict[str, list[bytes]]) -> None:
        for stream, lines in batch.items():
            self._streams[stream].lost += len(lines)
            self.n_lost += len(lines)


def _gap(count: int) -> bytes:
    """Give the line that no reader takes for a message."""
    return b"# %d messages are missing here" % count


def _put(file: FileIO, data: memoryview) -> int:
    return file.write(data)


def _write_whole(stream: _Stream, text: bytes) -> None:
    """Write whole lines, or none of them."""
    assert stream.file is not None
    left = memoryview(text)
    try:
        while left:
            left = left[_put(stream.file, left) :]
    except OSError:
        stream.file.truncate(stream.size)
        stream.file.seek(stream.size)
        raise
    stream.size += len(text)
