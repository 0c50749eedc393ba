"""`dolphin-mp bench`: this machine's numbers, each beside the least it could be and what it should be."""

from __future__ import annotations

import itertools

from dolphin_mp.cli.errors import DONE, WRONG_USE, CommandError
from dolphin_mp.cli.show import Column, print_json, say, table, terminal_width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from dolphin_mp.bench import Row

COLUMNS = (
    Column("WHAT"),
    Column("MEDIAN", right=True),
    Column("LEAST", right=True, rank=2),
    Column("MOST", right=True, rank=3),
    Column("RATIO", right=True),
    Column("REACH", right=True, rank=1),
    Column("REACHED", rank=1),
    Column("RATIO TO", rank=1),
)


def add_arguments(_name: str, parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "what", metavar="WHAT", nargs="*", help="only these: channel, mttr, start, idle, scale, pool, ob, cli"
    )
    parser.add_argument("--json", action="store_true", help="print data for programs")
    parser.add_argument(
        "--quick", action="store_true", help="measure little: numbers to look at, not to quote"
    )
    parser.epilog = (
        "Ratios are of one run and one machine; measure on a quiet one. A reach missed is no failure."
    )


def execute(arguments: Namespace) -> int:
    """Measure and print."""
    from dolphin_mp import bench
    from dolphin_mp.bench.machine import describe

    machine = describe()
    if not arguments.json:
        what = f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}"
        say(f"{what}, load {machine['load']}")
    effort = bench.TINY if arguments.quick else bench.FULL
    try:
        rows = bench.measure(arguments.what, effort)
        if arguments.json:
            print_json({"machine": machine, "rows": [row.as_data() for row in rows]})
        else:
            for title, group in itertools.groupby(rows, lambda row: row.bench):
                _show(title, list(group))
    except LookupError as error:
        raise CommandError(str(error.args[0]), WRONG_USE) from None
    return DONE


def _show(title: str, rows: list[Row]) -> None:
    print(f"\n{title}", flush=True)
    print("\n".join(table(COLUMNS, [_cells(row) for row in rows], terminal_width(), {})), flush=True)


def _cells(row: Row) -> list[str]:
    reached = {None: "", True: "yes", False: "no"}[row.reached]
    return [
        row.what,
        amount(row.median_ns, row.unit),
        amount(row.least_ns, row.unit),
        amount(row.most_ns, row.unit),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        _reach(row),
        reached,
        "; ".join(filter(None, (row.floor, row.note))),
    ]


def _reach(row: Row) -> str:
    ratio = [] if row.reach is None else [f"{row.reach:g}"]
    return ", ".join([*ratio, *([] if row.limit_ns is None else [amount(row.limit_ns, row.unit)])])


def amount(value: float, unit: str) -> str:
    """Give a number with its unit."""
    return duration(value) if unit == "ns" else f"{value:.3g} {unit}"


def duration(nanoseconds: float) -> str:
    """Give a time with three digits that matter."""
    for size, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"
