"""`dolphin-mp start`, `stop`, `restart`: one component of a running system, through its parent."""

from __future__ import annotations

from dolphin_mp.cli.errors import DONE, WRONG_USE, CommandError
from dolphin_mp.cli.show import print_json, say
from dolphin_mp.cli.systems import add_system_argument, find_board

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

LONGEST_S = 3600.0  # the parent answers sooner: by its component's ready_within and stop_within


def add_arguments(_name: str, parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "component", metavar="NAME", nargs="*", help="of the component or pool, or of several"
    )
    parser.add_argument("--no-wait", action="store_true", help="come back before it is where it should be")
    parser.add_argument("--json", action="store_true", help="print data for programs, a line a component")
    add_system_argument(parser)


def execute(arguments: Namespace) -> int:
    """Ask the parent, for each component named."""
    command = arguments.command
    if not arguments.component:
        whole = "; `dolphin-mp shutdown` stops the whole system" if command == "stop" else ""
        raise CommandError(f"{command}: name the component to {command}{whole}", WRONG_USE)
    from dolphin_mp.client import Client

    board = find_board(arguments.system)
    names = [name for word in arguments.component for name in _instances(command, word, board.names())]
    with Client(board.system) as client:
        for name in dict.fromkeys(names):
            result = client.request(command, LONGEST_S, component=name, wait=not arguments.no_wait)
            if arguments.json:
                print_json(result)
            else:
                say(_sentence(command, name, result))
    return DONE


def _instances(command: str, word: str, known: list[str]) -> list[str]:
    """Give what a name means: a component, or all instances of a pool; they stop in the reverse order."""
    instances = [name for name in known if name.startswith(f"{word}@")]
    if word in known or not instances:
        return [word]
    return instances[::-1] if command == "stop" else instances


def _sentence(command: str, name: str, result: dict[str, Any]) -> str:
    state = result.get("state") if isinstance(result, dict) else None
    if state is None:
        return f"{name}: {command} was asked for"
    pid = f", pid {result['pid']}" if result.get("pid") else ""
    reason = f": {result['reason']}" if result.get("reason") else ""
    return f"{name} is {state}{pid}{reason}"
