"""`dolphin-mp doctor`: a line a check, and what to do about it."""

from __future__ import annotations

import sys

from dolphin_mp.cli.errors import DONE, FAILED
from dolphin_mp.cli.show import GREEN, RED, YELLOW, paint, print_json, uses_colour
from dolphin_mp.doctor import FAIL, OK, WARN, examine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

COLOURS = {OK: GREEN, WARN: YELLOW, FAIL: RED}


def add_arguments(_name: str, parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("--json", action="store_true", help="print data for programs")
    parser.epilog = "Exit code: 1 if something fails, 0 with warnings or without."


def execute(arguments: Namespace) -> int:
    """Print the findings."""
    findings = list(examine())
    failed = any(finding.result == FAIL for _, finding in findings)
    if arguments.json:
        checks = [{"name": name, **finding._asdict()} for name, finding in findings]
        print_json({"ok": not failed, "checks": checks})
        return FAILED if failed else DONE
    wanted = uses_colour(sys.stdout)
    for name, finding in findings:
        result = paint(finding.result.ljust(4), COLOURS[finding.result], wanted=wanted)
        print(f"{result}  {name:<15} {finding.text}")
        if finding.advice:
            print(f"{'':22}-> {finding.advice}")
    return FAILED if failed else DONE
