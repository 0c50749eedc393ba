"""The files of a recorded session, as lines merged by receive time.

The format is that of cryptofeed's raw data collection, one record a line::

    EX.ws.N.R     wss://URL <-> TIME          connected
                  wss://URL <- TIME: TEXT     sent by the recorder
                  TIME: PAYLOAD               received
                  configuration: OBJECT       "subscribed": the symbols of a file's messages
    EX.http.N.R   URL -> TIME: BODY           a REST reply
    EX.R          start-up replies and the configuration, which no book needs

TIME is the recorder's clock in Unix seconds with up to nine decimals; R counts the rotations of a file.
What can't be read is a line too, of kind `Kind.BAD`: counting it is the reader's business.
"""

from __future__ import annotations

import heapq
import re
from enum import Enum, auto
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_FILE = re.compile(r"(?P<venue>[A-Z0-9_]+)\.(?P<kind>ws|http)\.(?P<number>\d+)\.(?P<rotation>\d+)")
_TIME = re.compile(rb"(\d{1,10})(?:\.(\d{1,9}))?")
_CONNECTED, _SENT, _REPLY, _RECEIVED = b" <-> ", b" <- ", b" -> ", b": "
_CONFIGURATION = b"configuration: "
_LEAP_NS = 3_600_000_000_000
"""A line this far ahead of the last one is believed only when the next one confirms it (chosen)."""

_TAIL_BYTES = 4 << 20
"""Of a file, that its last line begins in (chosen: a large snapshot has some megabytes)."""


class CaptureError(ValueError):
    """A folder that is no capture; the message says what was looked for."""


class Kind(Enum):
    """What a line records."""

    RECEIVED = auto()
    SENT = auto()
    REPLY = auto()
    CONNECTED = auto()
    CONFIGURED = auto()
    BAD = auto()


class Line(NamedTuple):
    """One record: when, what, from where, and the bytes that the venue sent.

    `connection` is the middle of the file's name, where a connection begins: what it is called.
    """

    recv_ns: int
    kind: Kind
    url: str
    payload: bytes
    connection: str = ""


def connection_of(path: Path) -> str:
    """Give what the connection is called whose messages a file holds, however often it was rotated."""
    return path.name.rpartition(".")[0]


def capture_files(folder: Path, venue: str) -> list[Path]:
    """Give the files of one venue's capture: REST replies first, then connections, rotations in order.

    Raises:
        CaptureError: there is no such folder, or no such file in it.
    """
    try:
        names = [(_FILE.fullmatch(path.name), path) for path in folder.iterdir() if path.is_file()]
    except OSError as error:
        raise CaptureError(f"no capture at {folder}: {error.strerror or error}") from error
    found = [(match, path) for match, path in names if match is not None and match["venue"] == venue]
    if not found:
        others = sorted({match["venue"] for match, _ in names if match is not None})
        seen = f", only {', '.join(others)}: is the option venue right?" if others else ""
        raise CaptureError(f"no capture at {folder}: it has no file {venue}.ws.N.R or {venue}.http.N.R{seen}")
    found.sort(key=lambda item: (item[0]["kind"], int(item[0]["number"]), int(item[0]["rotation"])))
    return [path for _, path in found]


def read_capture(files: list[Path]) -> Iterator[Line]:
    """Give the lines of all files by receive time; at equal times in the order of the files.

    Replies may come hours apart, so that only the messages around one can tell whether its time is right:
    what was merged is judged once more. One file of each connection is open at a time.
    """
    return in_order(heapq.merge(*map(read_stream, streams_of(files)), key=lambda line: line.recv_ns))


def streams_of(files: Iterable[Path]) -> list[list[Path]]:
    """Give the files of each connection, its rotations in order."""
    return [list(paths) for _, paths in groupby(files, connection_of)]


def holds_replies(rotations: Sequence[Path]) -> bool:
    """Tell whether files hold replies, or a connection's messages."""
    return ".http." in rotations[0].name


def read_stream(rotations: list[Path]) -> Iterator[Line]:
    """Give the lines of one connection, file by file, with times that never run backward.

    A file that begins before the last one ends was written after the clock had been set back: its times are
    moved on to where the last one ended.
    """
    last_ns = 0
    for path in rotations:
        moved_ns: int | None = None
        for line in read_file(path):
            if moved_ns is None and line.kind is not Kind.BAD:
                moved_ns = max(0, last_ns - line.recv_ns)
            last_ns = max(last_ns, line.recv_ns + (moved_ns or 0))
            yield line if line.recv_ns == last_ns else line._replace(recv_ns=last_ns)


def latest_ns(folder: Path, venue: str) -> int:
    """Give the last time in a venue's capture; 0: there is none, or it can't be read."""
    try:
        return max(_last_ns(rotations[-1]) for rotations in streams_of(capture_files(folder, venue)))
    except (CaptureError, OSError):
        return 0


def _last_ns(path: Path) -> int:
    """Give the time of a file's last line that has one."""
    with path.open("rb") as file:
        start = file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        texts = file.read().split(b"\n")[1 if start else 0 :]
    return next(filter(None, (read_line(text).recv_ns for text in reversed(texts))), 0)


def read_file(path: Path) -> Iterator[Line]:
    """Give the lines of one file; blank ones and the configuration are left out."""
    with path.open("rb") as file:
        texts = (text.strip() for text in file)
        lines = in_order(
            (read_line(text) for text in texts if text and not text.startswith(_CONFIGURATION)),
            sparse=holds_replies([path]),
        )
        for line in lines:
            yield line if line.kind is not Kind.CONNECTED else line._replace(connection=connection_of(path))


def read_sent(rotations: list[Path]) -> Iterator[Line]:
    """Give the lines of one connection that are no messages of the venue, which it has few of."""
    for path in rotations:
        with path.open("rb") as file:
            for text in file:
                if text.startswith(_CONFIGURATION):
                    payload = text.removeprefix(_CONFIGURATION).strip()
                    yield Line(0, Kind.CONFIGURED, "", payload)
                elif text.startswith((b"wss://", b"ws://")):
                    yield read_line(text.strip())


def symbols_configured(payload: bytes) -> list[str]:
    """Give the symbols whose messages a file says it has; none if it doesn't say."""
    try:
        symbols = orjson.loads(payload)["subscribed"]
        return [symbol for symbol in symbols if type(symbol) is str]
    except (ValueError, KeyError, TypeError):
        return []


def in_order(lines: Iterable[Line], *, sparse: bool = False) -> Iterator[Line]:
    """Give lines whose time never runs backward; a time that can't be right makes a line a bad one.

    The first line, and one that is far ahead of the last, are believed when the next one agrees; where lines
    are sparse, unless the next one is long before. A bad line takes the time of the last good one.
    """
    last_ns: int | None = None
    doubtful: Line | None = None
    for line in lines:
        if line.kind is Kind.BAD:
            yield _at_latest(line, last_ns)
            continue
        if doubtful is not None:
            later_ns = line.recv_ns - doubtful.recv_ns
            if later_ns >= -_LEAP_NS and (sparse or later_ns <= _LEAP_NS):
                last_ns = doubtful.recv_ns
            yield _at_latest(doubtful, last_ns)
            doubtful = None
        if last_ns is None or line.recv_ns - last_ns > _LEAP_NS:
            doubtful = line
        else:
            last_ns = max(last_ns, line.recv_ns)
            yield _at_latest(line, last_ns)
    if doubtful is not None:
        believed = sparse or last_ns is None
        yield _at_latest(doubtful, doubtful.recv_ns if believed else last_ns)


def _at_latest(line: Line, last_ns: int | None) -> Line:
    """Give the line if its time is the latest that is believed, else a bad one at that time."""
    good = line.kind is not Kind.BAD and line.recv_ns == last_ns
    return line if good else Line(last_ns or 0, Kind.BAD, "", line.payload)


def read_line(text: bytes) -> Line:
    """Give one line as a record. Its time is 0 if it is bad."""
    if text[:1].isdigit():
        stamp, colon, payload = text.partition(_RECEIVED)
        return _line(stamp if colon else b"", Kind.RECEIVED, b"", payload)
    if text.startswith((b"wss://", b"ws://")):
        url, arrow, stamp = text.partition(_CONNECTED)
        if arrow:
            return _line(stamp, Kind.CONNECTED, url, b"")
        url, arrow, rest = text.partition(_SENT)
        stamp, colon, payload = rest.partition(_RECEIVED)
        return _line(stamp if colon else b"", Kind.SENT, url, payload or text)
    if text.startswith((b"https://", b"http://")):
        url, arrow, rest = text.partition(_REPLY)
        stamp, colon, body = rest.partition(_RECEIVED)
        if arrow and colon:
            return _line(stamp, Kind.REPLY, url, body.partition(b" header: {")[0])
    return _line(b"", Kind.BAD, b"", text)


def _line(stamp: bytes, kind: Kind, url: bytes, payload: bytes) -> Line:
    time = _TIME.fullmatch(stamp)
    if time is None:
        return Line(0, Kind.BAD, "", payload)
    nanoseconds = int(time[1]) * 1_000_000_000 + int((time[2] or b"").ljust(9, b"0"))
    return Line(nanoseconds, kind, url.decode("utf-8", "replace"), payload)
