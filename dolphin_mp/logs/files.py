"""The files as they lie in their folder, and their records from either end."""

from __future__ import annotations

import contextlib
import os
from itertools import islice
from typing import TYPE_CHECKING

from dolphin_mp.logs.record import Record, decode, pipe_of
from dolphin_mp.logs.shelf import file_name, parse_name
from dolphin_mp.paths import log_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import BinaryIO

Files = dict[str, dict[int, int]]  # by component, by number: bytes up to the last whole line
_BLOCK = 1 << 16
_LONGEST_LINE = 4 << 20
_FAR_ENOUGH = 1000  # records, to meet one of each pipe that is worth it


def files_folder(system: str) -> str:
    """Give the folder of a system's log files."""
    return str(log_folder() / system / "logs")


def logged_systems() -> list[str]:
    """Give the names of all systems that have log files."""
    with contextlib.suppress(OSError):
        return sorted(entry.name for entry in os.scandir(log_folder()) if look(files_folder(entry.name)))
    return []


def look(folder: str, components: Collection[str] | None = None) -> Files:
    """Give the files of some components, or of all."""
    found: Files = {}
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            parsed = parse_name(entry.name)
            if parsed and (components is None or parsed[0] in components):
                with contextlib.suppress(OSError):
                    found.setdefault(parsed[0], {})[parsed[1]] = entry.stat(follow_symlinks=False).st_size
    for component, sizes in found.items():
        last = max(sizes)
        with contextlib.suppress(OSError), _open(folder, component, last) as file:
            sizes[last] = _whole(file, sizes[last])
    return dict(sorted(found.items()))


def read_forwards(folder: str, component: str, sizes: dict[int, int], moment: str) -> Iterator[Record]:
    """Give a component's records since a moment as they were written."""
    numbers = sorted(sizes)
    for number, following in zip(numbers, [*numbers[1:], None], strict=True):
        if following is not None and "" < _first_time(folder, component, following) < moment:
            continue
        with contextlib.suppress(OSError), _open(folder, component, number) as file:
            left = sizes[number]
            while left > 0 and (line := file.readline()):
                left -= len(line)
                record = decode(line)
                if record is not None and record["time"] >= moment:
                    yield record


def read_backwards(folder: str, component: str, sizes: dict[int, int]) -> Iterator[Record]:
    """Give a component's records, the one written last first."""
    for number in sorted(sizes, reverse=True):
        with contextlib.suppress(OSError), _open(folder, component, number) as file:
            for line in _lines_backwards(file, sizes[number]):
                record = decode(line)
                if record is not None:
                    yield record


def last_written(folder: str, component: str, pipe: str) -> dict[tuple[int, int], int]:
    """Give by epoch and pid the number after the last one in a component's files that came through a pipe."""
    found: dict[tuple[int, int], int] = {}
    records = read_backwards(folder, component, look(folder, {component}).get(component, {}))
    for record in islice(records, _FAR_ENOUGH):
        seq = record.get("seq")
        if isinstance(seq, int) and pipe_of(record) == pipe:
            writer = (record["epoch"], record["pid"])
            found[writer] = max(seq + 1, found.get(writer, 0))
    return found


def _lines_backwards(file: BinaryIO, end: int) -> Iterator[bytes]:
    rest: list[bytes] = []  # of a line whose beginning has not come, its last piece first
    while end > 0:
        size = min(_BLOCK, end)
        end -= size
        file.seek(end)
        first, *lines = file.read(size).split(b"\n")
        if lines:
            yield b"".join([lines.pop(), *reversed(rest)])
            yield from reversed(lines)
            rest = []
        rest.append(first)
    yield b"".join(reversed(rest))


def _first_time(folder: str, component: str, number: int) -> str:
    """Give the time of a file's first record, empty if it has none."""
    with contextlib.suppress(OSError), _open(folder, component, number) as file:
        record = decode(file.readline(_LONGEST_LINE))
        return str(record["time"]) if record else ""
    return ""


def _whole(file: BinaryIO, size: int) -> int:
    """Give how far whole lines reach."""
    start = max(0, size - _LONGEST_LINE)
    end = size
    while end > start:
        begin = max(start, end - _BLOCK)
        file.seek(begin)
        at = file.read(end - begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0


def _open(folder: str, component: str, number: int) -> BinaryIO:
    return open(f"{folder}/{file_name(component, number)}", "rb")  # noqa: PTH123 - pathlib costs 4 ms
