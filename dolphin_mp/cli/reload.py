"""`dolphin-mp reload`: a running system becomes what its configuration says now; it shows what that means."""

from __future__ import annotations

from pathlib import Path

from dolphin_mp.cli.errors import DONE, FAILED, CommandError
from dolphin_mp.cli.show import print_json, say
from dolphin_mp.cli.systems import add_system_argument, find_board
from dolphin_mp.status import TROUBLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator
    from typing import Any

LONGEST_S = 3600.0  # the parent answers sooner: by its components' stop_within and ready_within


def add_arguments(_name: str, parser: ArgumentParser) -> None:
    """Say what the command takes."""
    text = "the configuration that the system was launched from; without it that of the running system"
    parser.add_argument("config", metavar="CONFIG", nargs="?", help=text)
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    parser.add_argument("--json", action="store_true", help="print data for programs")
    add_system_argument(parser)


def execute(arguments: Namespace) -> int:
    """Ask the parent and show its plan."""
    from dolphin_mp.client import Client, ClientError

    args: dict[str, Any] = {"dry_run": arguments.dry_run}
    if arguments.config:
        args["config"] = _path(arguments.config)
    with Client(find_board(_system(arguments)).system) as client:
        try:
            result = client.request("reload", LONGEST_S, **args)
        except ClientError as error:
            if not arguments.json or error.code != "bad_configuration":
                raise
            print_json({"ok": False, "faults": error.faults})
            raise
    states = {row["component"]: row for row in result["components"]}
    if arguments.json:
        print_json({"ok": True, **result})
    else:
        for line in _lines(result, states):
            print(line)
        say(_summary(result))
    return FAILED if any(row["state"] in TROUBLE for row in states.values()) else DONE


def _system(arguments: Namespace) -> str | None:
    """Give the name of the system that a configuration names, if no other says which."""
    if arguments.system or not arguments.config:
        return arguments.system  # type: ignore[no-any-return]
    from dolphin_mp.faults import ConfigurationError
    from dolphin_mp.system import System

    try:
        return System.from_toml(_path(arguments.config)).name
    except ConfigurationError as error:
        if not Path(_path(arguments.config)).is_file():
            raise CommandError(error.faults[0]) from None
        return None  # its faults are the parent's to tell


def _path(config: str) -> str:
    path = Path(config).absolute()
    return str(path / "dolphin.toml" if path.is_dir() else path)


def _lines(result: dict[str, Any], states: dict[str, dict[str, Any]]) -> Iterator[str]:
    def now(name: str) -> str:
        row = states.get(name)
        reason = f" ({row['reason']})" if row and row["reason"] else ""
        return f"; is {row['state']}{reason}" if row else ""

    for name in result["removed"]:
        yield f"- {name}"
    for name in result["added"]:
        yield f"+ {name}{now(name)}"
    for name, why in result["restarted"].items():
        yield f"~ {name}: {'; '.join(why)}{now(name)}"
    for name, what in result["retuned"].items():
        yield f"= {name}: {', '.join(what)} changed, it runs on"
    for name in result["kept"]:
        if name not in result["retuned"]:
            yield f"= {name}"


def _summary(result: dict[str, Any]) -> str:
    counts = [(len(result[what]), what) for what in ("removed", "added", "restarted", "retuned")]
    text = ", ".join(f"{count} {what}" for count, what in counts if count)
    if not text:
        return f"{result['config']} says what runs already: nothing to do"
    return f"{result['system']}: {text}" + (" (not done: a dry run)" if result["dry_run"] else "")
