"""What people see: tables that fit the terminal, colours where they are wanted, ages and sizes to read."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, TextIO

GREEN, YELLOW, RED, GREY, BOLD = "32", "33", "31", "90", "1"
_LEAST_LAST = 12  # columns that the last one keeps before others are left out


class Column(NamedTuple):
    """A table's column; the higher its `rank`, the sooner it is left out of a narrow terminal (0: never)."""

    title: str
    right: bool = False
    rank: int = 0


def say(text: str) -> None:
    """Talk to the user: on stderr, so that data stay alone on stdout."""
    print(text, file=sys.stderr)


def print_json(data: Any) -> None:
    """Print data for programs."""
    import json

    print(json.dumps(data, ensure_ascii=False, allow_nan=False))


def uses_colour(stream: TextIO) -> bool:
    """Tell whether to colour what goes there: only on a terminal, and not against NO_COLOR."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def paint(text: str, colour: str, *, wanted: bool) -> str:
    """Give the text in a colour, if wanted."""
    return f"\x1b[{colour}m{text}\x1b[0m" if wanted and colour else text


def terminal_width() -> int | None:
    """Give the width of the terminal that stdout is, or None if it is none: then nothing is cut."""
    if not sys.stdout.isatty():
        return None
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None, colours: dict[str, str]
) -> Iterable[str]:
    """Give a table's lines.

    Args:
        columns: the last one takes what room is left.
        rows: of cells.
        width: of the terminal; None cuts nothing.
        colours: by cell's text; empty for none at all.
    """
    kept = _fitting(columns, rows, width)
    widths = [max([len(columns[at].title), *(len(row[at]) for row in rows)]) for at in kept]
    if width is not None:
        used = sum(widths[:-1]) + 2 * (len(kept) - 1)
        widths[-1] = max(1, min(widths[-1], width - used))
    titles = [columns[at].title for at in kept]
    for number, cells in enumerate([titles, *([row[at] for at in kept] for row in rows)]):
        parts = []
        for at, cell, size in zip(kept, cells, widths, strict=True):
            text = cell if len(cell) <= size else cell[: size - 1] + "…"
            text = text.rjust(size) if columns[at].right else text.ljust(size)
            colour = colours.get(cell, "") if number else BOLD
            parts.append(paint(text, colour, wanted=bool(colours)))
        yield "  ".join(parts).rstrip()


def _fitting(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """Give the indices of the columns that have room."""
    kept = list(range(len(columns)))
    if width is None:
        return kept
    sizes = [max([len(column.title), *(len(row[at]) for row in rows)]) for at, column in enumerate(columns)]
    sizes[-1] = min(sizes[-1], _LEAST_LAST)
    while sum(sizes[at] + 2 for at in kept) - 2 > width:
        worst = max(kept, key=lambda at: columns[at].rank)
        if columns[worst].rank == 0:
            break
        kept.remove(worst)
    return kept


def age(seconds: float | None) -> str:
    """Give an age as people say it: 12ms, 3.2s, 5m, 2h, 3d."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1e3:.0f}ms"
    if seconds < 10:
        return f"{seconds:.1f}s"
    for limit, step, unit in ((60, 1, "s"), (3600, 60, "m"), (86400, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // step)}{unit}"
    return f"{int(seconds // 86400)}d"


def size(nbytes: float | None) -> str:
    """Give a number of bytes as people read it."""
    if nbytes is None:
        return "-"
    if nbytes < 1024:
        return f"{nbytes:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        nbytes /= 1024
        if nbytes < 1024:
            return f"{nbytes:.1f} {unit}"
    return f"{nbytes / 1024:.1f} TiB"
