"""Which system a command is about, and its board."""

from __future__ import annotations

import os

from dolphin_mp.cli.errors import NOT_RUNNING, WRONG_USE, CommandError
from dolphin_mp.ipc.board import Board
from dolphin_mp.ipc.errors import SegmentInvalidError, SegmentMissingError
from dolphin_mp.ipc.folder import segments
from dolphin_mp.paths import board_name, segment_prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

_BOARD = ".board"
NOTHING_RUNS = "nothing is running: `dolphin-mp launch` starts a system"


def add_system_argument(parser: ArgumentParser) -> None:
    """Give a command its --system."""
    parser.add_argument(
        "--system", metavar="NAME", help="which of several running systems (or DOLPHIN_SYSTEM)"
    )


def known_systems() -> list[str]:
    """Give the names of all systems that have a board, alive or not."""
    prefix = segment_prefix("")[:-1]
    names = segments(prefix)
    return [name[len(prefix) : -len(_BOARD)] for name in names if name.endswith(_BOARD)]


def is_alive(board: Board) -> bool:
    """Tell whether a parent or any component of the system lives."""
    return board.parent_alive or any(board.is_alive(index) for index in range(board.used))


def find_board(named: str | None) -> Board:
    """Give the board of the system that a command means; raises CommandError if that is none or not clear.

    It is the one named, else DOLPHIN_SYSTEM, else that of ./dolphin.toml if it runs, else the only one that
    runs, else the only one of which a crash has left a board.
    """
    named = named or os.environ.get("DOLPHIN_SYSTEM")
    if named:
        board = _attach(named)
        if board is None:
            others = ", ".join(_living(known_systems())) or "no other does"
            raise CommandError(f'system "{named}" is not running (running: {others})', NOT_RUNNING)
        return board
    boards = _living(known_systems()) or {name: b for name in known_systems() if (b := _attach(name))}
    if not boards:
        raise CommandError(NOTHING_RUNS, NOT_RUNNING)
    if len(boards) > 1:
        from dolphin_mp.cli.checking import local_system_name

        local = local_system_name()
        if local not in boards:
            raise CommandError(
                f"several systems run: say which with --system NAME, one of {', '.join(boards)}", WRONG_USE
            )
        return boards[local]
    return next(iter(boards.values()))


def _living(names: list[str]) -> dict[str, Board]:
    boards = {}
    for name in names:
        board = _attach(name)
        if board is not None and is_alive(board):
            boards[name] = board
    return boards


def _attach(name: str) -> Board | None:
    try:
        return Board.attach(board_name(name))
    except (SegmentMissingError, SegmentInvalidError, ValueError):  # a name that no system can have
        return None
