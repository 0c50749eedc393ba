"""A process' own last words: a small file beside its system's socket, opened at birth, not in need.

The runner writes the traceback of an uncaught exception to it, faulthandler the stacks at SIGSEGV, SIGABRT,
SIGBUS, SIGFPE and SIGILL, and when the parent asks for them. It has a name, so that it outlives process and
parent: the next parent finds what nobody has read.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import time
from typing import NamedTuple

from dolphin_mp.hang.stacks import STACKS_SIGNAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = "crash"
MOST_BYTES = 256 * 1024
_HEAD_BYTES, _TAIL_BYTES = 16 * 1024, 48 * 1024
_TRACEBACK = "## traceback of "  # the line that the runner's part begins with
_STACKS = re.compile(r"Fatal Python error: |((Current )?[Tt]hread|Stack) .*\(most recent call first\):")


class Words(NamedTuple):
    """What a process said of its end, in two kinds."""

    traceback: str
    stacks: str


class LastWords:
    """The process' own end; it is there from `open` on.

    Args:
        folder: its system's runtime folder.
        process: its name.
        incarnation: its number.
    """

    def __init__(self, folder: str, process: str, incarnation: int) -> None:
        self.path = path_of(folder, process, incarnation)
        self._folder = folder
        self._fd = -1

    def open(self) -> None:
        """Make the file; where that can't be, nothing is written down."""
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            try:
                self._fd = os.open(self.path, flags, 0o600)
            except FileNotFoundError:  # it is the system's first
                os.makedirs(f"{self._folder}/{FOLDER}", 0o700, exist_ok=True)  # noqa: PTH103
                self._fd = os.open(self.path, flags, 0o600)

    def listen(self) -> None:
        """Have crashes and the parent's question answered with the stacks of all threads."""
        if self._fd >= 0:
            faulthandler.enable(self._fd, all_threads=True)
            faulthandler.register(STACKS_SIGNAL, self._fd, all_threads=True, chain=False)

    def write(self, component: str, error: BaseException) -> None:
        """Write down an exception that nobody caught; of a very long text the begin and the end."""
        import traceback

        text = "".join(traceback.format_exception(error)).encode(errors="backslashreplace")
        if len(text) > _HEAD_BYTES + _TAIL_BYTES:
            left_out = len(text) - _HEAD_BYTES - _TAIL_BYTES
            text = text[:_HEAD_BYTES] + f"\n... {left_out} bytes ...\n".encode() + text[-_TAIL_BYTES:]
        with contextlib.suppress(OSError):
            os.write(self._fd, f"{_TRACEBACK}{component}\n".encode() + text)

    def write_stacks(self) -> None:
        """Write down where all threads are, for a process that is about to end itself."""
        with contextlib.suppress(OSError, ValueError):
            faulthandler.dump_traceback(self._fd, all_threads=True)

    def withdraw(self) -> None:
        """Remove the file: for a process without a parent that ended well."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.unlink(self.path)  # noqa: PTH108


def path_of(folder: str, process: str, incarnation: int) -> str:
    """Give the file of one incarnation of a process."""
    return f"{folder}/{FOLDER}/{process}.{incarnation}"


def take(path: str) -> Words:
    """Read a dead process' words and remove them; empty if it said nothing."""
    text = b""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            text = os.read(fd, MOST_BYTES)
        finally:
            os.close(fd)
        os.unlink(path)  # noqa: PTH108
    return split(text.decode(errors="replace"))


def unread(folder: str) -> list[tuple[str, int, float]]:
    """Give (process, incarnation, time of the last word) of all files that an earlier parent has left."""
    found = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"{folder}/{FOLDER}"):
            process, _, number = entry.name.rpartition(".")
            if number.isdecimal():
                found.append(
                    (process, int(number), entry.stat().st_mtime if entry.is_file() else time.time())
                )
    return sorted(found)


def split(text: str) -> Words:
    """Tell tracebacks from stacks: faulthandler may write in the midst of the runner's text."""
    traceback: list[str] = []
    stacks: list[str] = []
    target = traceback
    for line in text.splitlines(keepends=True):
        if line.startswith(_TRACEBACK):
            target = traceback
            line = f"{line.removeprefix(_TRACEBACK).strip()}:\n"  # noqa: PLW2901
        elif _STACKS.match(line):
            target = stacks
        target.append(line)
    return Words(_join(traceback), _join(stacks))


def _join(lines: Iterable[str]) -> str:
    return "".join(lines).strip("\n") + "\n" if lines else ""
