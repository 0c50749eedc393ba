"""What a terminal is sent: lines at its end that are redrawn in place, and text that scrolls above them.

Nothing here knows the terminal but by its width: each frame is one text, to be written at once. The cursor is
neither hidden nor left inside the lines, so that a drawer may die at any time and the shell's prompt follows.
"""

from __future__ import annotations

import re
import unicodedata

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC and other strings
    r"|[ -/]*[0-~])"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_RESET = "\x1b[0m"


class Region:
    """The lines at the end; `frame` gives what replaces them."""

    def __init__(self) -> None:
        self._widths: list[int] = []

    def frame(self, above: str, lines: list[str], width: int) -> str:
        """Give the text that puts `above` on the terminal, each line of it ended, and `lines` after it.

        A terminal that became narrower has wrapped the old lines; they are counted as it shows them now.
        """
        up = sum(max(1, -(-shown // width)) for shown in self._widths)
        self._widths = [cells(line) for line in lines]
        erase = f"\r\x1b[{up}A\x1b[J" if up else "\r\x1b[J"
        return erase + above + "".join(f"{line}\n" for line in lines)


def cells(text: str) -> int:
    """Give how many columns a text takes on a terminal."""
    plain = _COLOUR.sub("", text)
    if plain.isascii():
        return len(plain)
    return sum(_cells_of(letter) for letter in plain)


def _cells_of(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def clean(line: str, *, colour: bool) -> str:
    """Give a line of somebody's output without what would move the cursor; colours stay, if wanted."""
    line = line.rstrip("\r").rpartition("\r")[2]  # a progress bar draws over itself: its last state
    if line.isprintable():
        return line
    parts = []
    at = 0
    painted = False
    for found in _SEQUENCE.finditer(line):
        parts.append(_CONTROL.sub("", line[at : found.start()]))
        at = found.end()
        if colour and _COLOUR.fullmatch(found[0]):
            parts.append(found[0])
            painted = True
    parts.append(_CONTROL.sub("", line[at:]))
    return "".join(parts) + (_RESET if painted else "")


class Lines:
    """Puts a stream of bytes, as it comes, together to lines."""

    LONGEST = 1 << 14

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Give the lines that are complete now; one without an end is cut where it gets too long."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self.LONGEST:
            whole.append(self._rest)
            self._rest = b""
        return [line.decode(errors="backslashreplace") for line in whole]

    def end(self) -> list[str]:
        """Give what came after the last line's end."""
        rest, self._rest = self._rest, b""
        return [rest.decode(errors="backslashreplace")] if rest else []
