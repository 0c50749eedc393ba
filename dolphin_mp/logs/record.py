"""A log record: one JSON object a line, with time, component, pid, epoch, level, stream and message.

Further fields where they say something: ``seq`` (which of its writer's records it is), ``logger``, ``thread``
(where it is not the main one), ``cut`` (how many characters of it were too many), ``dropped`` (how many
records are missing before it).
"""

from __future__ import annotations

import json
import time
from json.encoder import encode_basestring as quote
from typing import Any

Record = dict[str, Any]

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
STDOUT, STDERR, LOG = "stdout", "stderr", "log"
SYSTEM, NOTE = "system", "logs"  # the parent's word on a component, the collector's on what is missing
OUT, ERR = (
    "out",
    "err",
)  # the two pipes of a process: ordinary words, and those that a flood must not displace
LEVEL_OF_STREAM = {STDOUT: "info", STDERR: "warning"}
STREAM_OF_PIPE = {OUT: STDOUT, ERR: STDERR}

_second = (0, "")


def level_name(number: int) -> str:
    """Give the nearest lower level of a number of `logging`."""
    if number < 20:
        return "debug"
    if number < 30:
        return "info"
    if number < 40:
        return "warning"
    return "error" if number < 50 else "critical"


def timestamp(time_ns: int) -> str:
    """Give a wall-clock time as ISO 8601 in UTC, to the microsecond: as text it sorts by time."""
    global _second
    second, rest = divmod(time_ns, 1_000_000_000)
    known, text = _second
    if known != second:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _second = (second, text)
    return f"{text}.{rest // 1000:06d}Z"


def encode(time_ns: int, who: str, level: str, stream: str, message: str, more: str = "") -> bytes:
    """Give a record's line without its end.

    Args:
        time_ns: wall clock.
        who: what `identity` gave.
        level: its name.
        stream: STDOUT, STDERR, LOG, SYSTEM or NOTE.
        message: any text, several lines too.
        more: further fields as JSON, each with a comma before it.
    """
    line = (
        f'{{"time":"{timestamp(time_ns)}",{who},"level":"{level}","stream":"{stream}"'
        f'{more},"message":{quote(message)}}}'
    )
    try:
        return line.encode()
    except UnicodeEncodeError:  # a lone surrogate
        message = message.encode(errors="backslashreplace").decode()
        return encode(time_ns, who, level, stream, message, quote_surrogates(more))


def quote_surrogates(text: str) -> str:
    """Give a text that UTF-8 can hold."""
    return text.encode(errors="replace").decode()


def identity(component: str, pid: int, epoch: int) -> str:
    """Give the fields that say who speaks, for `encode`."""
    return f'"component":{quote(component)},"pid":{pid},"epoch":{epoch}'


def decode(line: bytes) -> Record | None:
    """Read a line; None if it is no record."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    texts = (record.get(name) for name in ("time", "component", "level", "stream", "message"))
    numbers = (record.get(name) for name in ("pid", "epoch"))
    good = all(isinstance(text, str) for text in texts) and all(isinstance(n, int) for n in numbers)
    return record if good else None


def pipe_of(record: Record) -> str:
    """Give which pipe of its process a record came through."""
    is_grave = record["stream"] == STDERR or LEVELS.get(record["level"], 0) >= LEVELS["warning"]
    return ERR if is_grave else OUT


def dump(record: Record) -> bytes:
    """Give a decoded record as its line again."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def cut(message: str, most: int) -> tuple[str, int]:
    """Give a message of at most so many characters, its beginning and its end, and how many are missing."""
    if len(message) <= most:
        return message, 0
    missing = len(message) - most
    tail = most // 3  # a traceback's last lines say the most
    return f"{message[: most - tail]}\n… {missing} characters cut …\n{message[-tail:]}", missing
