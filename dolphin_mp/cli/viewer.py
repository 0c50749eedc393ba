"""The process that shows a foreground launch: one line a component on a terminal, else one line an event.

It is told events as JSON datagrams and reads all else from the board. Nothing depends on it: it may be
stopped, killed or held up by its terminal, and it ends with the parent.

Arguments: mode, how many viewers came before it, the events' socket, and the pipe of the components' output
where that would else disturb the display.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from setproctitle import setproctitle

from dolphin_mp.cli.display import JSON, LIVE
from dolphin_mp.cli.logs import line_of
from dolphin_mp.cli.screen import Lines, Region, clean
from dolphin_mp.cli.show import table, uses_colour
from dolphin_mp.cli.telling import closing, describe, introduction
from dolphin_mp.ipc import ChannelError
from dolphin_mp.ipc._core import boottime_ns
from dolphin_mp.ipc.board import Board
from dolphin_mp.logs.files import files_folder
from dolphin_mp.logs.reader import Follower, since
from dolphin_mp.logs.record import STDOUT, SYSTEM, timestamp
from dolphin_mp.paths import board_name
from dolphin_mp.status import status_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dolphin_mp.logs.record import Record

MAX_EVENT = 1 << 20
MAX_OUTPUT = 1 << 16


class Terminal:
    """Where talk goes: stderr. One that fails is given up, while all that comes is taken as before."""

    def __init__(self, *, live: bool) -> None:
        self.colour = uses_colour(sys.stderr)
        self._region = Region() if live else None
        self._fd = 2

    def show(self, above: Iterable[str], lines: list[str]) -> None:
        """Write lines that stay and, on a display, the ones that will be replaced by the next call's."""
        text = "".join(f"{line}\n" for line in above)
        if self._region is not None:
            text = self._region.frame(text, lines, self.size()[0])
        self._write(text.encode(errors="backslashreplace"))

    def size(self) -> tuple[int, int]:
        """Give columns and rows."""
        try:
            columns, rows = os.get_terminal_size(2)
        except OSError:
            return 80, 24
        return columns or 80, rows or 24

    def _write(self, data: bytes) -> None:
        try:
            while data and self._fd >= 0:
                data = data[os.write(self._fd, data) :]
        except OSError:
            self._fd = -1


class Viewer:
    """Takes events and output as they come and shows them until the parent hangs up.

    Args:
        mode: LIVE, PLAIN or JSON.
        events: the parent's socket.
        output: the pipe of the components' output, -1 for none.
        again: whether another viewer has shown the beginning.
    """

    def __init__(self, mode: str, events: socket.socket, output: int, *, again: bool) -> None:
        self._mode = mode
        self._events = events
        self._output = output
        self._again = again
        self._terminal = Terminal(live=mode == LIVE)
        self._lines = Lines()
        self._has_terminal = os.isatty(1)
        self._command = "dolphin-mp"
        self._board: Board | None = None
        self._logs: Follower | None = None
        self._since = timestamp(time.time_ns())
        self._width = 0
        self._states: dict[str, str] = {}
        self._ended = False

    def run(self) -> None:
        """Show until the parent hangs up."""
        resized, wakeup = socket.socketpair()
        for end in (resized, wakeup):
            end.setblocking(False)
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGWINCH, lambda *_: None)
        while True:
            logs = self._logs.fileno() if self._logs is not None else -1
            sources = [fd for fd in (self._events.fileno(), self._output, resized.fileno(), logs) if fd >= 0]
            ready, _, _ = select.select(sources, [], [], self._patience())
            above: list[str] = []
            if resized.fileno() in ready:
                resized.recv(4096)
            if self._output in ready:
                above += self._read_output()
            if self._logs is not None and logs in ready:
                above += self._show(self._logs.read())
            events = self._read_events() if self._events.fileno() in ready else []
            for event in events or ():
                above += self._take(event)
            if events is None:
                break
            self._terminal.show(above, self._table())
        above = self._rest_of_output()
        if not self._ended:
            above.append(closing(None, self._command))
        self._terminal.show(above, [])

    def _patience(self) -> float | None:
        """Until the next second where ages are shown; for ever where nothing changes but by an event."""
        return 1.0 - time.time() % 1.0 if self._mode == LIVE and self._board is not None else None

    def _read_events(self) -> list[dict[str, Any]] | None:
        """Give what came; None when the parent has hung up."""
        events: list[dict[str, Any]] = []
        while len(events) < 100:
            try:
                text = self._events.recv(MAX_EVENT, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError:
                text = b""
            if not text:
                return events or None
            events.append(json.loads(text))
        return events

    def _take(self, event: dict[str, Any]) -> list[str]:
        """Give the lines that say it."""
        what = event["event"]
        if self._mode == JSON and what != "launching":
            self._print_json(event)
        if what == "launching":
            self._command = event["command"]
        if what == "launched":
            setproctitle(f"viewer [dolphin-mp {event['system']}]")
            self._board = _board(event["system"])
            return ([] if self._again else introduction(event, self._command)) + self._follow(event["system"])
        if what == "launching":
            return [] if self._again else introduction(event, self._command)
        self._ended = what in {"ended", "refused"}
        if what == "refused":
            return []
        if what == "ended":
            rest = self._show(self._logs.read()) if self._logs is not None else []
            return [*rest, closing(event["exit_code"], self._command)]
        text = "" if self._mode == JSON or self._is_plain_to_see(event) else describe(event)
        return [clean(f"{time.strftime('%H:%M:%S')} {text}", colour=False)] if text else []

    def _is_plain_to_see(self, event: dict[str, Any]) -> bool:
        """Whether the display says it already."""
        if self._mode != LIVE or event["event"] != "state":
            return self._mode == LIVE and event["event"] == "settled"
        name, state = event["component"], event["state"]
        before = self._states.get(name, "")
        self._states[name] = state
        if state == "starting":
            return before in {"", "waiting", "backoff"}
        return state in {"waiting", "stopping"} or (state == "ready" and not event["restarts"])

    def _print_json(self, event: dict[str, Any]) -> None:
        self._print(json.dumps(event))

    def _print(self, text: str) -> None:
        try:
            print(text, flush=True)
        except OSError:  # nobody reads any more
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115

    def _follow(self, system: str) -> list[str]:
        """Begin with what was said since this process began."""
        folder = files_folder(system)
        try:
            self._logs = Follower(folder)
        except OSError:  # there is none: nothing will be written either
            return []
        return self._show(since(folder, self._logs.files, self._since))

    def _show(self, records: Iterable[Record]) -> list[str]:
        """Give records' lines; what was printed goes on to stdout, if that is no terminal."""
        lines: list[str] = []
        for record in records:
            if record["stream"] == SYSTEM:
                continue  # the parent has told it itself
            if record["stream"] == STDOUT and not self._has_terminal:
                self._print(record["message"])
                continue
            self._width = min(24, max(self._width, len(record["component"])))
            lines += line_of(record, self._width, colour=self._terminal.colour, is_short=True).split("\n")
        return lines

    def _read_output(self) -> list[str]:
        try:
            data = os.read(self._output, MAX_OUTPUT)
        except BlockingIOError:
            return []
        return [clean(line, colour=self._terminal.colour) for line in self._lines.feed(data)]

    def _rest_of_output(self) -> list[str]:
        """Give what is still in the pipe; others may hold it open, so its end is not waited for."""
        lines: list[str] = []
        while self._output >= 0 and select.select([self._output], [], [], 0)[0]:
            found = self._read_output()
            if not found:
                break
            lines += found
        return lines + [clean(line, colour=self._terminal.colour) for line in self._lines.end()]

    def _table(self) -> list[str]:
        """Give the display's lines: trouble first where there are more components than rows."""
        if self._mode != LIVE or self._board is None:
            return []
        columns, rows = self._terminal.size()
        return component_lines(
            status_of(self._board, boottime_ns()), columns, rows, colour=self._terminal.colour
        )


def component_lines(status: dict[str, Any], columns: int, rows: int, *, colour: bool) -> list[str]:
    """Give one line a component that fits a terminal of so many columns and rows, under a line of titles."""
    from dolphin_mp.cli.status import COLOURS, COLUMNS, cells

    components = status["components"]
    for component in components:
        component["reason"] = clean(component["reason"], colour=False)
    room = max(1, rows - 3)  # the titles, the line that counts the others, and the cursor's own
    shown = components
    if len(components) > room:
        shown = sorted(components, key=lambda component: component["state"] == "ready")[:room]
    lines = list(
        table(COLUMNS, [cells(component) for component in shown], columns, COLOURS if colour else {})
    )
    hidden = len(components) - len(shown)
    return [*lines, f"and {hidden} more"[:columns]] if hidden else lines


def _board(system: str) -> Board | None:
    try:
        return Board.attach(board_name(system))
    except ChannelError:
        return None


def main() -> int:
    """Show what the socket given in argv tells."""
    mode, before, events, *output = sys.argv[1:]
    setproctitle("viewer [dolphin-mp]")
    viewer = Viewer(
        mode, socket.socket(fileno=int(events)), int(output[0]) if output else -1, again=before != "0"
    )
    viewer.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
