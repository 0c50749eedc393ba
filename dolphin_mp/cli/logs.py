"""`dolphin-mp logs`: what components said, from their files, while the system runs and after it has ended."""

from __future__ import annotations

import os
import select
import sys
import time

from dolphin_mp.cli.errors import DONE, NO_SUCH, NOBODY_READS, NOT_RUNNING, WRONG_USE, CommandError
from dolphin_mp.cli.show import GREY, RED, YELLOW, paint, uses_colour
from dolphin_mp.logs.files import files_folder, logged_systems, look
from dolphin_mp.logs.reader import Follower, at_least, history, since
from dolphin_mp.logs.record import LEVELS, dump, timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterable

    from dolphin_mp.logs.files import Files
    from dolphin_mp.logs.record import Record

COLOURS = {"debug": GREY, "warning": YELLOW, "error": RED, "critical": RED}
_DEFAULT_COUNT = 100
_ALL = 1 << 62


def add_arguments(_name: str, parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("component", metavar="NAME", nargs="*", help="only these components")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is said from now on")
    parser.add_argument(
        "-n", "--lines", type=_count, metavar="N", help="the last N records (100; all with --since)"
    )
    parser.add_argument("--since", metavar="TIME", help='since "10m" ago, or a time: 2026-01-31T12:00')
    parser.add_argument("--level", choices=list(LEVELS), help="of this level and graver ones")
    parser.add_argument("--json", action="store_true", help="print data for programs: a record a line")
    parser.add_argument("--system", metavar="NAME", help="which of several systems (or DOLPHIN_SYSTEM)")


def execute(arguments: Namespace) -> int:
    """Print what was said, and go on if asked to."""
    folder = files_folder(_system(arguments.system))
    moment = timestamp(_moment(arguments.since)) if arguments.since else ""
    wanted = at_least(arguments.level) if arguments.level else None
    show = _show_json if arguments.json else _Lines().show
    names = _names(arguments.component, look(folder), follow=arguments.follow)
    if not arguments.follow:
        show(_past(folder, look(folder, names), arguments.lines, moment, wanted))
        return DONE
    follower = Follower(folder, names)
    show(_past(folder, follower.files, arguments.lines, moment, wanted))
    return _follow(follower, show, wanted)


def _past(
    folder: str, files: Files, count: int | None, moment: str, wanted: Callable[[Record], bool] | None
) -> Iterable[Record]:
    if moment and count is None:
        return since(folder, files, moment, wanted)
    return history(folder, files, _DEFAULT_COUNT if count is None else count, moment=moment, wanted=wanted)


def _follow(
    follower: Follower,
    show: Callable[[Iterable[Record]], None],
    wanted: Callable[[Record], bool] | None,
) -> int:
    poll = select.poll()
    poll.register(follower.fileno(), select.POLLIN)
    poll.register(1, 0)  # tells when nobody reads any more
    while True:
        if any(fd == 1 for fd, _ in poll.poll()):
            return NOBODY_READS
        show(record for record in follower.read() if wanted is None or wanted(record))


# what is asked for
# ----------------------------------------------------------------------------------------------


def _system(named: str | None) -> str:
    """Give the name of the system meant: one that runs, else one that has left logs."""
    named = named or os.environ.get("DOLPHIN_SYSTEM")
    logged = logged_systems()
    if not named:
        named = _running() or _local(logged)
    if named and os.path.isdir(files_folder(named)):  # noqa: PTH112
        return named
    if named:
        raise CommandError(
            f'system "{named}" has no logs (there are: {", ".join(logged) or "none"})', NOT_RUNNING
        )
    if not logged:
        raise CommandError("there are no logs yet: `dolphin-mp launch` starts a system", NOT_RUNNING)
    raise CommandError(f"say whose logs with --system NAME, one of {', '.join(logged)}", WRONG_USE)


def _running() -> str:
    from dolphin_mp.cli.systems import find_board

    try:
        return find_board(None).system
    except CommandError as error:
        if error.code == WRONG_USE:  # several run
            raise
        return ""


def _local(logged: list[str]) -> str:
    if len(logged) == 1:
        return logged[0]
    if not logged or not os.path.isfile("dolphin.toml"):  # noqa: PTH113
        return ""
    from dolphin_mp.cli.checking import local_system_name

    return local_system_name() or ""


def _names(asked: list[str], files: Files, *, follow: bool) -> list[str] | None:
    """Give the components meant; the name of a pool means its instances. None for all."""
    if not asked:
        return None
    found = []
    for name in asked:
        mine = [component for component in files if component.partition("@")[0] == name or component == name]
        if not mine and not follow:
            from dolphin_mp.faults import suggest

            raise CommandError(f'"{name}" has said nothing{suggest(name, files, "there are")}', NO_SUCH)
        found += mine or [name]
    return list(dict.fromkeys(found))


def _count(text: str) -> int:
    if text != "all" and not text.isdecimal():
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(f'write a number from 0 on, or "all", not "{text}"')
    return _ALL if text == "all" else int(text)


def _moment(text: str) -> int:
    """Give the wall-clock time in ns of a duration ago, or of a date."""
    from dolphin_mp.duration import parse_duration

    try:
        return time.time_ns() - int(parse_duration(text) * 1e9)
    except ValueError:
        pass
    from datetime import datetime

    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1e9)
    except ValueError:
        raise CommandError(
            f'--since {text}: write how long ago ("10m", "2h"), or a date and time ("2026-01-31T12:00")',
            WRONG_USE,
        ) from None


# what is shown
# --------------------------------------------------------------------------------------------------


def _show_json(found: Iterable[Record]) -> None:
    out = sys.stdout.buffer
    for record in found:
        out.write(dump(record) + b"\n")
    out.flush()


class _Lines:
    """Records as lines for people: time, component, level and message; further lines of one are indented."""

    def __init__(self) -> None:
        self._colour = uses_colour(sys.stdout)
        self._width = 0

    def show(self, found: Iterable[Record]) -> None:
        for record in found:
            self._width = min(24, max(self._width, len(record["component"])))
            sys.stdout.write(line_of(record, self._width, colour=self._colour) + "\n")
        sys.stdout.flush()


def line_of(record: Record, width: int = 0, *, colour: bool = False, is_short: bool = False) -> str:
    """Give a record as text for people, in local time.

    Args:
        record: to show.
        width: of the column of components.
        colour: whether to paint it.
        is_short: the time without its date.
    """
    from dolphin_mp.cli.screen import clean

    level = record["level"]
    first, *others = (clean(line, colour=colour) for line in record["message"].split("\n"))
    head = f"{local_time(record['time'])[11 if is_short else 0 :]} {record['component'].ljust(width)} "
    mark = paint(level.ljust(8), COLOURS.get(level, ""), wanted=colour)
    text = f"{paint(head, GREY, wanted=colour)}{mark} {first}"
    return "\n".join([text, *(f"    {line}" for line in others)])


_minute = ("", "")  # of the last record shown: in UTC, and here


def local_time(text: str) -> str:
    """Give a record's time as people here read it, to the millisecond."""
    global _minute
    minute = text[:16]
    if _minute[0] != minute:
        _minute = (minute, _local_minute(minute))
    return f"{_minute[1]}{text[16:23]}"


def _local_minute(minute: str) -> str:
    from calendar import timegm

    try:
        seconds = timegm(time.strptime(minute, "%Y-%m-%dT%H:%M"))
    except ValueError:
        return minute.replace("T", " ")
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
