"""How records travel through a pipe beside raw text, and are told apart and put together again.

A frame is ``RS writer SP seq SP part/parts SP body US LF``, at most PIPE_BUF bytes long, so that the kernel
never mixes two of them (pipe(7)); RS is the record separator of RFC 7464, which JSON text never holds. A
longer body is sent as numbered parts. All else in the pipe is raw text, in lines; a frame may stand in the
midst of one.

``writer`` is the epoch of the process, with a pid where it was forked from that. ``seq`` counts what the
writer wanted to send, so that gaps tell what is missing; a greeting has -1.
"""

from __future__ import annotations

import select
from typing import NamedTuple

RS, US = b"\x1e", b"\x1f"
PIPE_BUF = select.PIPE_BUF
_LONGEST_HEAD = 72
ROOM = PIPE_BUF - _LONGEST_HEAD
MAX_PARTS = 64
LONGEST_LINE = 1 << 14  # of raw text without an end
GREETING = -1


class Frame(NamedTuple):
    """One frame as it came."""

    writer: str
    seq: int
    part: int
    parts: int
    body: bytes


class Whole(NamedTuple):
    """A record put together."""

    writer: str
    seq: int
    body: bytes


def frames(writer: str, seq: int, body: bytes) -> list[bytes]:
    """Give the frames that carry a record; its body has no LF and no RS."""
    if len(body) <= ROOM:
        return [b"\x1e%b %d 1/1 %b\x1f\n" % (writer.encode(), seq, body)]
    chunks = [body[at : at + ROOM] for at in range(0, len(body), ROOM)]
    head = f"{writer} {seq}"
    return [
        b"\x1e%b %d/%d %b\x1f\n" % (head.encode(), number, len(chunks), chunk)
        for number, chunk in enumerate(chunks, 1)
    ]


def parse_frame(line: bytes) -> Frame | None:
    """Read what stood between RS and LF; None if it is no frame."""
    if not line.endswith(US):
        return None
    line = line[:-1]
    try:
        writer, seq, place, body = line.split(b" ", 3)
        part, _, parts = place.partition(b"/")
        frame = Frame(writer.decode("ascii"), int(seq), int(part), int(parts), body)
    except ValueError:
        return None
    return frame if 1 <= frame.part <= frame.parts <= MAX_PARTS else None


class Deframer:
    """Takes a pipe's bytes as they come; gives frames, and lines of raw text as bytes."""

    def __init__(self) -> None:
        self._rest = b""  # of a line whose end has not come
        self._text = b""  # raw text that a frame stood after: its line goes on

    def feed(self, data: bytes) -> list[Frame | bytes]:
        """Give what is complete now."""
        found: list[Frame | bytes] = []
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line, found)
        if len(self._rest) > LONGEST_LINE:
            self._take(self._rest, found)
            self._rest = b""
        return found

    def end(self) -> list[Frame | bytes]:
        """Give what has no end and will get none."""
        text = self._text + self._rest
        self._rest = self._text = b""
        return [text] if text else []

    def _take(self, line: bytes, found: list[Frame | bytes]) -> None:
        before, mark, after = line.rpartition(RS)
        if not mark and line.endswith(US):
            return  # the rest of a frame: its beginning went with a collector that was killed
        if not mark:
            found.append(self._text + line)
            self._text = b""
            return
        frame = parse_frame(after)
        if frame is None:
            found.append(self._text + line)
            self._text = b""
            return
        self._text += before
        if len(self._text) > LONGEST_LINE:
            found.append(self._text)
            self._text = b""
        found.append(frame)


class Joiner:
    """Puts records together from their parts; one whose next part never comes is given up."""

    MOST_WRITERS = 64

    def __init__(self) -> None:
        self._open: dict[str, tuple[int, list[bytes]]] = {}

    def feed(self, frame: Frame) -> Whole | None:
        """Take a frame; gives the record that it completes."""
        if frame.parts == 1:
            self._open.pop(frame.writer, None)
            return Whole(frame.writer, frame.seq, frame.body)
        seq, chunks = self._open.pop(frame.writer, (frame.seq, []))
        if frame.part == 1:
            chunks = []
        elif seq != frame.seq or frame.part != len(chunks) + 1:
            return None
        chunks.append(frame.body)
        if frame.part == frame.parts:
            return Whole(frame.writer, frame.seq, b"".join(chunks))
        if len(self._open) >= self.MOST_WRITERS:
            self._open.pop(next(iter(self._open)))
        self._open[frame.writer] = (frame.seq, chunks)
        return None


class Tally:
    """Counts from gaps in a pipe's sequence numbers what is missing.

    Attributes: expected: by writer, the next number.
    """

    MOST_WRITERS = 64

    def __init__(self) -> None:
        self.expected: dict[str, int] = {}

    def take(self, writer: str, seq: int) -> int:
        """Note a record that came; gives how many are missing before it."""
        missing = seq - self.expected.pop(writer, 0)
        self.expected[writer] = seq + 1  # also where that is less: a writer of the same epoch began anew
        while len(self.expected) > self.MOST_WRITERS:
            self.expected.pop(next(iter(self.expected)))
        return max(0, missing)

    def reach(self, writer: str, upto: int) -> int:
        """Note that all numbers below `upto` have come or never will; gives how many are missing."""
        missing = upto - self.expected.get(writer, 0)
        if missing > 0:
            self.expected[writer] = upto
        return max(0, missing)
