"""`dolphin-mp bench`: measures this machine, and prints each thing beside the least it could cost."""

from __future__ import annotations

import json
import sys

from dolphin_mp.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from dolphin_mp.bench import Row


def add_arguments(_name: str, parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("what", metavar="WHAT", nargs="*", help="channel, cli; all without one")
    parser.add_argument(
        "--quick", action="store_true", help="a few rounds only: shows that it runs, measures little"
    )
    parser.add_argument("--json", action="store_true", help="print data for programs")


def execute(arguments: Namespace) -> int:
    """Measure, printing each row as it comes; exits with 1 if a number was not reached."""
    from dolphin_mp.bench import BENCHES, FULL, TINY, measure

    unknown = [name for name in arguments.what if name not in BENCHES]
    if unknown:
        raise CommandError(f"no bench {unknown[0]!r}: there are {', '.join(BENCHES)}", 2)
    missed = False
    found = []
    for row in measure(arguments.what, TINY if arguments.quick else FULL):
        missed = missed or row.reached is False
        found.append(row.as_data())
        if not arguments.json:
            print(line_of(row))
            sys.stdout.flush()
    if arguments.json:
        print(json.dumps({"rows": found}))
    return int(missed)


def line_of(row: Row) -> str:
    """Give one result as a line: what, median time, ratio to its floor, what is to be reached."""
    times = f"{_time(row.median_ns):>10} ({_time(row.least_ns)} to {_time(row.most_ns)})"
    parts = [f"{row.bench}: {row.what}".ljust(72), times.ljust(36)]
    if row.ratio is not None:
        parts.append(f"{row.ratio:.2f} x {row.floor}")
    if row.reach is not None:
        parts.append(f"reach {row.reach:g} x: {'yes' if row.reached else 'NO'}")
    return "  ".join([*parts, row.note]).rstrip()


def _time(ns: float) -> str:
    for size, unit in ((1e6, "ms"), (1e3, "us")):
        if ns >= size:
            return f"{ns / size:.2f} {unit}"
    return f"{ns:.0f} ns"
