"""One pipe's bytes become records' lines; what is missing among them becomes a record too.

Nothing here reads a clock or a descriptor.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dolphin_mp.logs import record as records
from dolphin_mp.logs.blocks import Blocks
from dolphin_mp.logs.framing import GREETING, Deframer, Frame, Joiner, Tally, Whole
from dolphin_mp.logs.record import NOTE, STREAM_OF_PIPE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dolphin_mp.logs.counts import Slot
    from dolphin_mp.logs.record import Record

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_@+.:-]{0,99}")  # what can be a file's name
RAW_LOST = "output may be missing: the pipe was full, and what writes to it without Python can't count"


class Entry(NamedTuple):
    """A line to be written into a component's file."""

    component: str
    line: bytes


class Intake:
    """What is known of one pipe of one process.

    Args:
        process: its name.
        pipe: OUT or ERR.
        slots: what a collector before this one has noted of it.
        written: by epoch and pid, the number after the last one that it had written, noted or not.
    """

    def __init__(
        self, process: str, pipe: str, slots: list[Slot], written: dict[tuple[int, int], int] | None = None
    ) -> None:
        self._process = process
        self._stream = STREAM_OF_PIPE[pipe]
        self._deframer = Deframer()
        self._joiner = Joiner()
        self._blocks = Blocks()
        self._tally = Tally()
        self._component, self._pid, self._epoch = process, 0, 0
        for slot in slots:
            found = (written or {}).get((slot.epoch, slot.pid), 0)
            self._tally.expected[str(slot.epoch)] = max(slot.expected, found)
            self._epoch, self._pid = slot.epoch, slot.pid
        self._has_raw = False

    @property
    def deadline(self) -> float | None:
        """When `release` is due."""
        return self._blocks.deadline

    @property
    def expected(self) -> dict[int, int]:
        """By epoch, the number below which nothing is outstanding."""
        return {int(writer): seq for writer, seq in self._tally.expected.items() if writer.isdigit()}

    def feed(self, data: bytes, time_ns: int, now: float, *, was_full: bool = False) -> list[Entry]:
        """Take bytes that came; `was_full`: there was no room for more of them."""
        found: list[Entry] = []
        self._has_raw = False
        for item in self._deframer.feed(data):
            if isinstance(item, Frame):
                whole = self._joiner.feed(item)
                if whole is not None:
                    self._take(whole, time_ns, now, found)
            else:
                self._take_raw(item, time_ns, now, found)
        if was_full and self._has_raw:
            found.append(self._note(time_ns, RAW_LOST, 0))
        return found

    def settle(self, slots: list[Slot], time_ns: int) -> list[Entry]:
        """Say what the process had dropped when the pipe, which is empty since, was looked at before."""
        missing = sum(self._tally.reach(str(slot.epoch), slot.upto) for slot in slots)
        return [self._missing(time_ns, missing)] if missing else []

    def release(self, now: float) -> list[Entry]:
        """Give what was held for lines to follow, and none did."""
        return [_entry(record) for record in self._blocks.release(now)]

    def end(self, time_ns: int, now: float) -> list[Entry]:
        """Give what is left."""
        found: list[Entry] = []
        for text in self._deframer.end():
            if isinstance(text, bytes):
                self._take_raw(text, time_ns, now, found)
        return found + [_entry(record) for record in self._blocks.end()]

    # one item -----------------------------------------------------------------------------------------------

    def _take(self, whole: Whole, time_ns: int, now: float, found: list[Entry]) -> None:
        record = records.decode(whole.body)
        if record is None or not isinstance(record.get("seq", 0), int):
            self._take_raw(whole.body, time_ns, now, found)
            return
        if not NAME.fullmatch(record["component"]):
            record["component"] = self._process
            whole = whole._replace(body=records.dump(record))
        if whole.seq == GREETING:
            self._meet(whole, record, found)
            return
        missing = self._tally.take(whole.writer, whole.seq)
        if missing:
            found.append(self._missing(time_ns, missing))
        self._file(whole.body, record, now, found)

    def _meet(self, whole: Whole, record: Record, found: list[Entry]) -> None:
        """A process has opened the pipe: what comes raw from now on is its."""
        found += [_entry(held) for held in self._blocks.end()]
        self._tally.expected[whole.writer] = 0
        self._component, self._pid, self._epoch = record["component"], record["pid"], record["epoch"]

    def _take_raw(self, text: bytes, time_ns: int, now: float, found: list[Entry]) -> None:
        self._has_raw = True
        message = text.decode(errors="backslashreplace").rstrip("\r")
        who = records.identity(self._component, self._pid, self._epoch)
        level = records.LEVEL_OF_STREAM[self._stream]
        line = records.encode(time_ns, who, level, self._stream, message)
        record = {
            "time": records.timestamp(time_ns),
            "component": self._component,
            "pid": self._pid,
            "epoch": self._epoch,
            "level": level,
            "stream": self._stream,
            "message": message,
        }
        self._file(line, record, now, found)

    def _file(self, line: bytes, record: Record, now: float, found: list[Entry]) -> None:
        """Pass a record on, or hold it if it is a part of a traceback."""
        key = (record["component"], record["pid"], record.get("thread"), "seq" in record)
        found += [
            Entry(record["component"], line) if ready is record else _entry(ready)
            for ready in self._blocks.feed(key, record, now)
        ]

    # what it says itself ------------------------------------------------------------------------------------

    def _missing(self, time_ns: int, count: int) -> Entry:
        text = f"{count} record{'s' * (count != 1)} dropped: more was said than could be taken"
        return self._note(time_ns, text, count)

    def _note(self, time_ns: int, text: str, dropped: int) -> Entry:
        who = records.identity(self._component, self._pid, self._epoch)
        more = f',"dropped":{dropped}'
        return Entry(self._component, records.encode(time_ns, who, "warning", NOTE, text, more))


def _entry(record: Record) -> Entry:
    return Entry(record["component"], records.dump(record))
