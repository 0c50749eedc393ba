"""`dolphin-mp shutdown`: the whole system, in order; without a living parent its components directly."""

from __future__ import annotations

from dolphin_mp.cli.errors import DONE, CommandError
from dolphin_mp.cli.show import print_json, say
from dolphin_mp.cli.systems import add_system_argument, find_board, is_alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

LONGEST_S = 3600.0  # the parent answers sooner: by its components' stop_within


def add_arguments(_name: str, parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("--json", action="store_true", help="print data for programs")
    add_system_argument(parser)


def execute(arguments: Namespace) -> int:
    """End it."""
    board = find_board(arguments.system)
    system, supervised, alive = board.system, board.parent_alive, is_alive(board)
    board.close()
    if supervised:
        from dolphin_mp.client import Client

        with Client(system) as client:
            client.request("shutdown", LONGEST_S)
        ended = []
        text = f"{system} is down"
    else:
        ended = _end_orphans(system)
        text = (
            f"{system} had no parent; ended {', '.join(ended)}" if alive else f"{system} was dead; tidied up"
        )
    if arguments.json:
        print_json({"system": system, "supervised": supervised, "ended": ended})
    else:
        say(text)
    return DONE


def _end_orphans(system: str) -> list[str]:
    from dolphin_mp.paths import segment_prefix
    from dolphin_mp.remains import LivingError, end_orphans, remove_remains

    try:
        rows = end_orphans(system)
        remove_remains(segment_prefix(system))
    except LivingError as error:
        raise CommandError(f"{system} is not all down: {error}") from None
    return [row.name for row in rows]
