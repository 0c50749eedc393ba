"""What is wrong with a configuration: all of it at once, a line each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class ConfigurationError(Exception):
    """A system that can't run as it is written; ``faults`` holds one line for each thing to put right."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        return "\n".join(self.faults)


@dataclass(slots=True)
class Faults:
    """The faults found so far in one source (a file's path, or the name of a system made in Python)."""

    source: str
    lines: list[str] = field(default_factory=list)

    def add(self, place: str, text: str) -> None:
        """Note a fault at a place: a dotted key of the file, or ``component.attribute``."""
        line = f"{self.source}: {place}: {text}" if place else f"{self.source}: {text}"
        if line not in self.lines:
            self.lines.append(line)

    def raise_if_any(self) -> None:
        """Raise ConfigurationError with everything noted, if anything was."""
        if self.lines:
            raise ConfigurationError(self.lines)


def suggest(word: str, known: Iterable[str], what: str = "known") -> str:
    """Give the end of a fault's line: the nearest right word, else all the right ones."""
    import difflib  # here, because every component's process has this module

    names = sorted(known)
    # Case is folded so that `Every` finds `every`; the cutoff is difflib's own default.
    folded = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), folded, n=1)
    if near:
        return f'; did you mean "{folded[near[0]]}"?'
    if not names:
        return f"; {what}: none"
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"; {what}: {', '.join(names[:12])}{more}"


def place_of_exception(error: BaseException, skip: tuple[str, ...] = ()) -> str:
    """Give `` (file:line)`` of the user's code that an exception came from, the deepest frame that is theirs.

    Frames of the standard library, of installed packages and of the files in `skip` are passed over.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}:{error.lineno})"
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not _is_foreign(frame.filename, skip)]
    return f" ({theirs[-1].filename}:{theirs[-1].lineno})" if theirs else ""


def one_line(error: BaseException) -> str:
    """Give an exception's type and the first line of its text."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    first = next(iter(text.strip().splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _is_foreign(filename: str, skip: tuple[str, ...]) -> bool:
    import sysconfig

    if filename.startswith("<frozen") or filename in skip:
        return True
    homes = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return any(filename.startswith(home) for home in homes)
