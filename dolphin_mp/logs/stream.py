"""A process' words: its streams and its loggers write records into pipes; nothing here waits or raises.

Two pipes: OUT takes what is printed and logged below a warning, ERR takes stderr and the rest, so that a
flood of the former never displaces the latter. They also are the descriptors 1 and 2, for whatever does not
speak Python.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import time
import traceback
from contextvars import ContextVar
from json.encoder import encode_basestring as quote
from typing import TYPE_CHECKING, Any

from dolphin_mp.logs import record as records
from dolphin_mp.logs.counts import Counts
from dolphin_mp.logs.framing import MAX_PARTS, ROOM
from dolphin_mp.logs.pipe import COUNTS, LogPipe
from dolphin_mp.logs.record import ERR, LOG, OUT, STDERR, STDOUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

_speaker: ContextVar[str] = ContextVar("dolphin_mp_speaker", default="")
_LONGEST_HELD = 8192  # characters without an end of line
_HEAD_ROOM = 512  # bytes of a record beside its message
_MOST_BYTES = 6  # of a character in JSON: \u0000


def speak_for(component: str) -> None:
    """Have what this thread (or task) prints be that component's."""
    _speaker.set(component)


class Voice:
    """What a process says, as records; until it is opened, what is said is left to the stderr there was."""

    def __init__(self) -> None:
        self.pipes: dict[str, LogPipe] = {}
        self.room = MAX_PARTS * ROOM - _HEAD_ROOM
        self._before = sys.stderr

    def open(self, folder: str, process: str, epoch: int, components: Sequence[str]) -> None:
        """Open the pipes, for `begin` to speak through; raises OSError where there are none to be had.

        Args:
            folder: of the pipes.
            process: its name.
            epoch: its incarnation.
            components: those that run in it.
        """
        counts = Counts(f"{folder}/{process}.{COUNTS}")
        pipes: dict[str, LogPipe] = {}
        try:
            for name in (OUT, ERR):
                pipes[name] = LogPipe(f"{folder}/{process}.{name}", name, epoch, counts)
        except OSError:
            counts.close()
            for pipe in pipes.values():
                pipe.close()
            raise
        self.pipes = pipes
        self._epoch = epoch
        self._components = frozenset(components)
        self._default = components[0] if len(components) == 1 else process
        self._main = threading.main_thread().ident
        capacity = min(pipe.capacity for pipe in self.pipes.values())
        self.room = min(MAX_PARTS * ROOM, capacity // 2) - _HEAD_ROOM
        self._identify()

    def take_descriptors(self) -> None:
        """Make the pipes the descriptors 1 and 2."""
        for fd, name in ((1, OUT), (2, ERR)):
            os.dup2(self.pipes[name].fd, fd, inheritable=True)

    def begin(self) -> None:
        """Tell the collector who speaks from now on: before the first record."""
        for pipe in self.pipes.values():
            hello = records.encode(time.time_ns(), self._who[self._default], "debug", records.NOTE, "")
            pipe.greet(hello)

    def _identify(self) -> None:
        pid = os.getpid()
        names = {*self._components, self._default}
        self._who = {name: records.identity(name, pid, self._epoch) for name in names}

    def forked(self) -> None:
        """Go on in a forked child."""
        if not self.pipes:
            return
        self._identify()
        self._main = threading.get_ident()
        for pipe in self.pipes.values():
            pipe.forked()

    def component_of(self, logger: str = "") -> str:
        """Give whose words these are: the logger's by its name, else the thread's, else the process'."""
        root = logger.partition(".")[0]
        return root if root in self._components else _speaker.get() or self._default

    def say(self, level: str, stream: str, message: str, *, logger: str = "", is_grave: bool = False) -> None:
        """Send one record, or count it as dropped."""
        if not self.pipes:
            self._before.write(f"{message}\n")
            return
        component = self.component_of(logger)
        who = self._who.get(component) or self._who[self._default]
        more = f',"logger":{quote(logger)}' if logger and logger != component else ""
        if threading.get_ident() != self._main:
            more += f',"thread":{quote(threading.current_thread().name)}'
        if len(message) > self.room // _MOST_BYTES:
            message, missing = self._fit(message)
            more += f',"cut":{missing}' if missing else ""
        now_ns = time.time_ns()
        self.pipes[ERR if is_grave else OUT].send(
            lambda seq: records.encode(now_ns, who, level, stream, message, f',"seq":{seq}{more}')
        )

    def _fit(self, message: str) -> tuple[str, int]:
        """Give what of a message has room in a pipe, and how many characters are missing."""
        fitting, missing = message, 0
        while (size := len(quote(fitting).encode(errors="backslashreplace"))) > self.room:
            most = min(len(message) - missing, len(fitting)) * self.room // size - 64  # for the note in it
            fitting, missing = records.cut(message, most)
        return fitting, missing

    def close(self) -> None:
        """Let go of the pipes."""
        for pipe in self.pipes.values():
            pipe.close()


def pieces(text: str, most: int) -> Iterable[str]:
    """Give a text that is too long for one record as several, of whole lines."""
    while len(text) > most:
        end = text.rfind("\n", 0, most)
        if end < 0:
            end = text.find("\n")
        if end < 0:
            break
        yield text[:end]
        text = text[end + 1 :]
    yield text


class LineStream(io.TextIOBase):
    """A stdout or stderr that makes a record of each line, or of the lines printed at once."""

    def __init__(self, voice: Voice, stream: str, fd: int) -> None:
        self._voice = voice
        self._stream = stream
        self._level = records.LEVEL_OF_STREAM[stream]
        self._fd = fd
        self._held: dict[int, str] = {}  # by thread: a line that has no end yet
        self.buffer = ByteStream(self)

    encoding = "utf-8"
    errors = "backslashreplace"

    def write(self, text: str, /) -> int:
        """Take a text; what it completes is sent."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        thread = threading.get_ident()
        held = self._held.pop(thread, "")
        if text.endswith("\n"):
            self._send(held + text)
        elif text or held:
            self._hold(thread, held, text)
        return len(text)

    def _hold(self, thread: int, held: str, text: str) -> None:
        """Keep what has no end; of what was kept before, whole lines go now."""
        whole, end, rest = held.rpartition("\n")
        if end:
            self._send(whole)
        held = rest + text
        if len(held) > _LONGEST_HELD:
            last = held.rpartition("\r")[2]  # a progress bar draws over itself
            if last == held:
                self._send(held)
                held = ""
            else:
                held = "\r" + last
        if held:
            self._held[thread] = held

    def _send(self, text: str) -> None:
        text = text.strip("\n")
        for part in pieces(text, self._voice.room // 2) if text else ():
            self._voice.say(self._level, self._stream, part, is_grave=self._stream == STDERR)

    def flush(self) -> None:
        """Send what has no end, but for a line that is drawn over and over."""
        held = self._held.pop(threading.get_ident(), "")
        if "\r" in held:
            self._held[threading.get_ident()] = held
        elif held:
            self._send(held)

    def finish(self) -> None:
        """Send what any thread has left."""
        while self._held:
            self._send(self._held.popitem()[1].rpartition("\r")[2])

    def forked(self) -> None:
        """Forget what the parent's threads have not ended."""
        self._held.clear()

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """Give the descriptor, for other programs to write to."""
        return self._fd

    def reconfigure(self, **_settings: Any) -> None:
        """Keep everything as it is."""

    @property
    def line_buffering(self) -> bool:
        """Always."""
        return True


class ByteStream(io.BufferedIOBase):
    """The `buffer` of a `LineStream`."""

    def __init__(self, text: LineStream) -> None:
        self._text = text

    def write(self, data: Any, /) -> int:
        """Take bytes."""
        taken = bytes(data)
        self._text.write(taken.decode(errors="backslashreplace"))
        return len(taken)

    def flush(self) -> None:
        """Send what has no end."""
        self._text.flush()

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """Give the descriptor."""
        return self._text.fileno()


class RecordHandler(logging.Handler):
    """Sends the records of `logging`; a traceback is part of its record."""

    def __init__(self, voice: Voice) -> None:
        super().__init__()
        self._voice = voice
        self.setFormatter(logging.Formatter("%(message)s"))

    def createLock(self) -> None:  # noqa: N802 - the library's name
        """Have none: a pipe has its own, which is held for no longer than it must be."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Send one that passes the filters; the library's own takes a lock, on Python 3.13 without asking."""
        passed: Any = self.filter(record)  # since Python 3.12 maybe another record
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one."""
        try:
            message = self.format(record)
        except Exception:  # noqa: BLE001 - whatever a user's argument does when it is shown
            message = f"{record.msg!r} with arguments that can't be shown\n{traceback.format_exc().rstrip()}"
        level = records.level_name(record.levelno)
        is_grave = record.levelno >= logging.WARNING
        self._voice.say(level, LOG, message, logger=record.name, is_grave=is_grave)


_voice: Voice | None = None


def take_streams() -> Voice:
    """Make this process' streams, root logger and hooks speak through a voice that is yet to be opened."""
    global _voice
    voice = Voice()
    sys.stdout = LineStream(voice, STDOUT, 1)
    sys.stderr = LineStream(voice, STDERR, 2)
    sys.excepthook = _tell_of
    threading.excepthook = _tell_of_thread
    logging.basicConfig(level=logging.INFO, handlers=[RecordHandler(voice)], force=True)
    _voice = voice
    return voice


def finish_streams() -> None:
    """Send what has no end yet: the last thing before a process leaves."""
    for stream in _own_streams():
        stream.finish()


def _own_streams() -> Iterable[LineStream]:
    return [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, LineStream)]


def _tell_of(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an uncaught exception at once, as one text."""
    sys.stderr.write("".join(traceback.format_exception(kind, error, trace)))


def _tell_of_thread(what: threading.ExceptHookArgs) -> None:
    if what.exc_type is not SystemExit:
        lines = traceback.format_exception(what.exc_type, what.exc_value, what.exc_traceback)
        name = what.thread.name if what.thread is not None else "?"
        sys.stderr.write(f"Exception in thread {name}:\n{''.join(lines)}")


def _go_on_forked() -> None:
    if _voice is not None:
        _voice.forked()
        for stream in _own_streams():
            stream.forked()


os.register_at_fork(after_in_child=_go_on_forked)
