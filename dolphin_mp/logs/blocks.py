"""Tracebacks that were printed line by line become one record again.

A block begins with a line that begins a traceback (or a report of faulthandler), goes on with indented lines
and those that join chained exceptions, and takes one more line, the exception itself. Whether yet another
part follows only time tells: a block is held until a line that is none of it, or for HOLD_S.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dolphin_mp.logs.record import STDERR

if TYPE_CHECKING:
    from collections.abc import Hashable

    from dolphin_mp.logs.record import Record

HOLD_S = 0.25  # chosen: an interpreter prints a traceback within a millisecond, a starved one takes longer
LONGEST = 1 << 16
_EXCEPTION = re.compile(
    r"(\s*\+ Exception Group )?Traceback \(most recent call last\):"
    r"|Exception in thread |Exception ignored (in|on)"
)
_CRASH = re.compile(r"Fatal Python error: ")
_REPORT = re.compile(r"((Current )?[Tt]hread|Stack) .*\(most recent call first\):")
_JOINT = re.compile(
    r"During handling of the above exception|The above exception was the direct|Extension modules: "
)


@dataclass
class Block:
    """A traceback that may go on."""

    record: Record
    due: float
    wants_exception: bool = False

    def goes_on(self, line: str) -> bool:
        """Tell whether the line is a part of this block."""
        if not line.strip() or line[0] in " \t" or self.wants_exception:
            return True
        return _is_any(line, _EXCEPTION, _REPORT, _JOINT)

    def take(self, text: str) -> None:
        """Note what the text's lines let follow."""
        for line in text.split("\n"):
            if _EXCEPTION.match(line):
                self.wants_exception = True
            elif line.strip() and line[0] not in " \t":
                self.wants_exception = False


class Blocks:
    """The blocks that are held now, by who prints them."""

    def __init__(self) -> None:
        self._held: dict[Hashable, Block] = {}

    @property
    def deadline(self) -> float | None:
        """When the next block is to be released; None without any."""
        return min(block.due for block in self._held.values()) if self._held else None

    def feed(self, key: Hashable, record: Record, now: float) -> list[Record]:
        """Take a record of that speaker; gives what is complete now, in order."""
        message: str = record["message"]
        block = self._held.get(key)
        if block is not None:
            first = message.partition("\n")[0]
            if record["stream"] == STDERR and block.goes_on(first) and len(block.record["message"]) < LONGEST:
                block.record["message"] += "\n" + message
                block.take(message)
                block.due = now + HOLD_S
                return []
            del self._held[key]
            return [finished(block.record), *self.feed(key, record, now)]
        if record["stream"] == STDERR and begins(message):
            block = self._held[key] = Block(record | {"level": "error"}, now + HOLD_S)
            block.take(message)
            return []
        return [record] if message.strip() else []

    def release(self, now: float) -> list[Record]:
        """Give the blocks that nothing has followed for long enough."""
        keys = [key for key, block in self._held.items() if block.due <= now]
        return [finished(self._held.pop(key).record) for key in keys]

    def end(self) -> list[Record]:
        """Give all."""
        return self.release(float("inf"))

    def __bool__(self) -> bool:
        return bool(self._held)


def begins(message: str) -> bool:
    """Tell whether a text begins a traceback."""
    return _is_any(message, _EXCEPTION, _REPORT, _CRASH)


def _is_any(text: str, *forms: re.Pattern[str]) -> bool:
    return any(form.match(text) for form in forms)


def finished(record: Record) -> Record:
    """Give a block's record without the empty lines after it."""
    return record | {"message": record["message"].rstrip("\n")}
