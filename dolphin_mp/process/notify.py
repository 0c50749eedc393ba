"""A component's word to its parent: one line of JSON a fact, through a FIFO in the runtime folder.

A FIFO opened for reading and writing never blocks, breaks or refuses: while no parent lives the words rest in
its 64 KiB, and the next parent opens it by path. What does not fit is lost, and the board says the same: the
listener tells when to look there. Lines are shorter than PIPE_BUF, so that those of several writers never mix
(pipe(7)); each has an end before it, too, so that what a dead writer left unfinished spoils no other.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quote

MAX_LINE = 2048
FACTS = frozenset({"ready", "done", "failed"})


@dataclass(frozen=True, slots=True)
class Word:
    """What a component said: fact is "ready", "done" or "failed"."""

    component: str
    incarnation: int
    fact: str
    reason: str


class Notifier:
    """The component's end; `say` does nothing where there is no FIFO."""

    def __init__(self, path: str) -> None:
        self._fd = -1
        with contextlib.suppress(OSError):
            self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def say(self, component: str, incarnation: int, fact: str, reason: str = "") -> None:
        """Send one fact; never waits."""
        if self._fd >= 0:
            # not json.dumps: what it touches is a tenth of a component's own memory
            text = (
                f'{{"component": {quote(component)}, "incarnation": {incarnation}, '
                f'"fact": {quote(fact)}, "reason": {quote(reason[:200])}}}'
            )
            with contextlib.suppress(OSError):
                os.write(self._fd, b"\n" + text.encode()[:MAX_LINE] + b"\n")


class Listener:
    """The parent's end."""

    def __init__(self, path: str) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # a thousand components may speak at once
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, 1 << 20)
        # A pipe is full when its pages are, and a page may hold little more than half (pipe(7)).
        self._much = fcntl.fcntl(self._fd, fcntl.F_GETPIPE_SZ) // 4
        self._rest = b""
        self._doubt = False
        self.garbage = 0

    def fileno(self) -> int:
        """Give the descriptor to poll."""
        return self._fd

    def words(self) -> list[Word]:
        """Give all that was said meanwhile; what is no word is counted and dropped."""
        found: list[Word] = []
        nbytes = 0
        while True:
            try:
                more = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                self._doubt = self._doubt or nbytes >= self._much
                return found
            nbytes += len(more)
            *lines, self._rest = (self._rest + more)[-(1 << 17) :].split(b"\n")
            for line in filter(None, lines):
                word = parse_word(line)
                if word is None:
                    self.garbage += 1
                    self._doubt = True
                else:
                    found.append(word)

    def take_doubt(self) -> bool:
        """Tell whether, since the last call, words may have been lost: it was about full, or held garbage."""
        doubt, self._doubt = self._doubt, False
        return doubt

    def close(self) -> None:
        """Stop listening."""
        os.close(self._fd)


def parse_word(line: bytes) -> Word | None:
    """Read one line, or None if it is no word."""
    try:
        data = json.loads(line)
        word = Word(data["component"], data["incarnation"], data["fact"], data["reason"])
    except (ValueError, KeyError, TypeError):
        return None
    texts = isinstance(word.component, str) and isinstance(word.fact, str) and isinstance(word.reason, str)
    return word if texts and isinstance(word.incarnation, int) and word.fact in FACTS else None
