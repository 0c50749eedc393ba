"""`dolphin-mp status`: the board as a table or as data, with or without a living parent."""

from __future__ import annotations

import sys

from dolphin_mp.cli.errors import NO_SUCH, CommandError
from dolphin_mp.cli.show import (
    GREEN,
    GREY,
    RED,
    YELLOW,
    Column,
    age,
    print_json,
    say,
    size,
    table,
    terminal_width,
    uses_colour,
)
from dolphin_mp.cli.systems import add_system_argument, find_board
from dolphin_mp.ipc._core import boottime_ns
from dolphin_mp.status import NOTHING_LIVES, exit_code, status_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

COLUMNS = (
    Column("NAME"),
    Column("STATE"),
    Column("PID", right=True, rank=1),
    Column("RESTARTS", right=True, rank=2),
    Column("BEATS", right=True, rank=6),
    Column("LAST STEP", right=True, rank=3),
    Column("CPU", right=True, rank=4),
    Column("MEMORY", right=True, rank=5),
    Column("REASON"),
)
COLOURS = {
    "ready": GREEN,
    "starting": YELLOW,
    "stopping": YELLOW,
    "waiting": YELLOW,
    "backoff": RED,
    "failed": RED,
    "stopped": GREY,
    "done": GREY,
}


def add_arguments(_name: str, parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("component", metavar="NAME", nargs="*", help="only these components")
    parser.add_argument("--json", action="store_true", help="print data for programs")
    add_system_argument(parser)
    parser.epilog = "Exit code: 0 all well, 1 something failed or is in back-off, 3 nothing of it lives."


def execute(arguments: Namespace) -> int:
    """Print the status."""
    board = find_board(arguments.system)
    status = status_of(board, boottime_ns())
    if arguments.component:
        status["components"] = _only(arguments.component, status["components"])
    if arguments.json:
        print_json(status)
    else:
        show(status)
    return exit_code(status)


def show(status: dict[str, Any]) -> None:
    """Print a status for people."""
    say(_summary(status))
    rows = [cells(component) for component in status["components"]]
    colours = COLOURS if uses_colour(sys.stdout) else {}
    print("\n".join(table(COLUMNS, rows, terminal_width(), colours)))


def _only(names: list[str], components: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_name = {component["name"]: component for component in components}
    for name in names:
        if name not in by_name:
            from dolphin_mp.faults import suggest

            raise CommandError(f'no component "{name}"{suggest(name, by_name, "there are")}', NO_SUCH)
    return [by_name[name] for name in dict.fromkeys(names)]


def _summary(status: dict[str, Any]) -> str:
    name, up = status["system"], age(status["uptime_s"])
    if status["supervised"]:
        return f"{name}: up {up}, pid {status['pid']}"
    if exit_code(status) == NOTHING_LIVES:
        return (
            f"{name}: not running; `dolphin-mp launch` begins anew, `dolphin-mp clean` removes what is left"
        )
    return f"{name}: it has no parent, its components go on; `dolphin-mp launch` takes them over"


def cells(component: dict[str, Any]) -> list[str]:
    """Give a component's cells of the table."""
    cpu = component["cpu_percent"]
    return [
        component["name"],
        component["state"],
        str(component["pid"] or "-"),
        str(component["restarts"]),
        str(component["beats"]),
        age(component["last_step_age_s"]),
        "-" if cpu is None else f"{cpu:.1f}%",
        size(component["rss_bytes"]),
        component["reason"],
    ]
