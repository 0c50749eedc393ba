"""`dolphin-mp bench`: hands over to the benchmark, which is no part of the command."""

from __future__ import annotations

import importlib

from dolphin_mp.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(_name: str, parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("what", metavar="WHAT", nargs="*", help="only these measurements")
    parser.add_argument("--json", action="store_true", help="print data for programs")


def execute(arguments: Namespace) -> int:
    """Measure."""
    try:
        bench = importlib.import_module("dolphin_mp.bench")
    except ModuleNotFoundError as error:
        if error.name != "dolphin_mp.bench":
            raise
        raise CommandError("this installation comes without the benchmark: run it from the source") from None
    return int(bench.main(arguments.what, as_json=arguments.json))
