"""The command `dolphin-mp`: finds the module of the command asked for, and turns errors into one line."""

from __future__ import annotations

import os
import sys

from dolphin_mp.cli.errors import (
    DONE,
    FAILED,
    INTERRUPTED,
    NOBODY_READS,
    WRONG_USE,
    CommandError,
    known_code,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence
    from types import ModuleType
    from typing import NoReturn


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code."""
    try:
        code = _dispatch(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # what is still buffered has nowhere to go, and Python would say so once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return NOBODY_READS
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else FAILED
    except Exception as error:  # noqa: BLE001 - whatever it is, a user sees one line
        return _explain(error)
    return code


def _dispatch(arguments: list[str]) -> int:
    leading, rest = _split(arguments)
    if not rest:
        return _without_command(leading)
    name, *own = rest
    if "--help" in leading or "-h" in leading:
        own = ["--help"]
        leading = []
    if name == "help":
        return _dispatch([*own[:1], "--help"])
    return _run(name, [*leading, *own])


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Part what stands before the command's name from the rest; only --system takes a value there."""
    at = 0
    while at < len(arguments) and arguments[at].startswith("-"):
        at += 2 if arguments[at] == "--system" else 1
    return arguments[:at], arguments[at:]


def _without_command(leading: list[str]) -> int:
    if leading == ["--version"]:
        from dolphin_mp import __version__

        print(f"dolphin-mp {__version__}")
        return DONE
    if not leading or leading[0] in {"-h", "--help"}:
        from dolphin_mp.cli.commands import overview

        print(overview(), file=sys.stdout if leading else sys.stderr)
        return DONE if leading else WRONG_USE
    raise CommandError(
        f"no command given after {' '.join(leading)}: `dolphin-mp --help` lists them", WRONG_USE
    )


def _run(name: str, arguments: list[str]) -> int:
    from dolphin_mp.cli.commands import COMMANDS

    if name not in COMMANDS:
        from dolphin_mp.faults import suggest

        near = suggest(name, COMMANDS, "there are")
        raise CommandError(f'no command "{name}"{near}', WRONG_USE)
    module = _module(COMMANDS[name][1])
    parser = _parser(name, COMMANDS[name][2])
    module.add_arguments(name, parser)
    return int(module.execute(parser.parse_args(arguments)))


def _module(name: str) -> ModuleType:
    import importlib

    return importlib.import_module(f"dolphin_mp.cli.{name}")


def _parser(name: str, text: str) -> ArgumentParser:
    from argparse import ArgumentParser, HelpFormatter

    from dolphin_mp.cli.show import terminal_width

    class Parser(ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise CommandError(f"{name}: {message}; see `dolphin-mp {name} --help`", WRONG_USE)

    def formatter(prog: str) -> HelpFormatter:
        # without a width it imports shutil to ask for one: 2 ms of a command that has 40
        return HelpFormatter(prog, width=(terminal_width() or 100) - 2)

    parser = Parser(
        prog=f"dolphin-mp {name}",
        description=text[:1].upper() + text[1:] + ".",
        allow_abbrev=False,
        formatter_class=formatter,
    )
    parser.set_defaults(command=name)
    return parser


def _explain(error: Exception) -> int:
    if os.environ.get("DOLPHIN_DEBUG"):
        import traceback

        traceback.print_exc()
    code = known_code(error)
    if code is None:
        from dolphin_mp.cli.crash import write_traceback

        lines = [f"internal error, {write_traceback(error)}"]
        code = FAILED
    else:
        lines = getattr(error, "faults", None) or [" ".join(str(error).split("\n"))]
    for line in lines:
        print(f"dolphin-mp: {line}", file=sys.stderr)
    return code
