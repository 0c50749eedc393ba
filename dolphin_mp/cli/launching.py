"""`dolphin-mp launch` and `dolphin-mp run`: this process becomes the system's parent, or one component."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dolphin_mp.cli.checking import add_config_argument
from dolphin_mp.cli.errors import DONE, FAILED, NO_SUCH, WRONG_USE, CommandError
from dolphin_mp.cli.show import print_json, say
from dolphin_mp.status import TROUBLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(name: str, parser: ArgumentParser) -> None:
    """Say what the command takes."""
    if name == "run":
        parser.add_argument("component", metavar="COMPONENT", help="its name in the configuration")
        add_config_argument(parser)
        return
    add_config_argument(parser)
    parser.add_argument("--detach", action="store_true", help="leave it running and come back")
    parser.add_argument("--for", dest="for_s", metavar="TIME", help='shut down after so long: "10s", "4h"')
    parser.add_argument("--until-done", action="store_true", help="leave when all components are done")
    parser.add_argument("--json", action="store_true", help="print data for programs: an event a line")


def execute(arguments: Namespace) -> int:
    """Run what was asked for to its end; gives its exit code."""
    if arguments.command == "run":
        return _run_alone(arguments)
    if arguments.detach:
        return _launch_detached(arguments)
    return _launch(arguments)


def _launch(arguments: Namespace) -> int:
    """Be the parent; what is to be seen is shown by another process, for terminals hold up their writers."""
    from dolphin_mp.cli.display import JSON, LIVE, PLAIN, Display
    from dolphin_mp.parent.launch import run_system

    for_s = _seconds(arguments.for_s)
    is_live = os.isatty(2) and os.environ.get("TERM", "dumb") != "dumb"
    mode = JSON if arguments.json else LIVE if is_live else PLAIN
    with Display(mode) as display:
        display.tell({"event": "launching", "config": arguments.config, "command": sys.argv[0]})
        try:
            code = run_system(
                arguments.config,
                for_s=for_s,
                until_done=arguments.until_done,
                listener=display.tell,
                streams=display.streams,
            )
        except BaseException as error:
            display.tell({"event": "refused", "faults": getattr(error, "faults", None) or [str(error)]})
            raise
        display.tell({"event": "ended", "exit_code": code})
    return code


def _launch_detached(arguments: Namespace) -> int:
    from dolphin_mp.parent.detached import start_detached

    started = start_detached(
        arguments.config, for_s=_seconds(arguments.for_s), until_done=arguments.until_done
    )
    states: dict[str, str] = started["states"]
    troubled = [name for name, state in states.items() if state in TROUBLE]
    if arguments.json:
        print_json({"system": started["system"], "pid": started["pid"], "states": states})
    else:
        print(f"{started['system']} runs, pid {started['pid']}")
        for name, state in states.items():
            print(f"{name} {state}")
        if troubled:
            say(
                f"{', '.join(troubled)} failed at once: `dolphin-mp status`, `dolphin-mp logs` and "
                "`dolphin-mp crashes` say why"
            )
        else:
            say("`dolphin-mp status` shows it, `dolphin-mp shutdown` ends it")
    return FAILED if troubled else DONE


def _run_alone(arguments: Namespace) -> int:
    from dolphin_mp.parent.alone import NoSuchComponentError, run_alone

    try:
        return run_alone(arguments.component, Path(arguments.config) if arguments.config else None)
    except NoSuchComponentError as error:
        raise CommandError(str(error), NO_SUCH) from None


def _seconds(text: str | None) -> float | None:
    from dolphin_mp.duration import parse_duration

    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise CommandError(f"--for: {error}", WRONG_USE) from None
