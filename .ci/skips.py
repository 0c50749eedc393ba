"""Counts what the suite did and fails on a skip that nobody allowed.

Usage: skips.py ALLOWED JUNIT.xml...

ALLOWED holds one regular expression a line, searched for in `test id: reason`; the line above each says, as a
comment, why that skip is all right. The last line printed is the count of all the files given.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

# Only ever reads what pytest wrote a moment ago.
from xml.etree import ElementTree as ET


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test of a report: ``kind`` is passed, failed or skipped; an expected failure counts as skipped."""

    test: str
    kind: str
    reason: str = ""


def read_allowed(path: Path) -> list[re.Pattern[str]]:
    """Gives the patterns; one without a comment above it is an error, for its reason would be forgotten."""
    allowed = []
    above = ""
    for number, raw in enumerate(path.read_text().splitlines(), 1):
        line = raw.strip()
        if line and not line.startswith("#"):
            if not above.startswith("#"):
                sys.exit(f"{path}:{number}: say in a comment above why this skip is allowed")
            allowed.append(re.compile(line))
        above = line
    return allowed


def read_outcomes(path: Path) -> list[Outcome]:
    """Gives what a junit report says of each test."""
    return [outcome_of(case) for case in ET.parse(path).iter("testcase")]


def outcome_of(case: ET.Element) -> Outcome:
    """Reads one <testcase>."""
    test = f"{case.get('classname')}::{case.get('name')}"
    if case.find("failure") is not None or case.find("error") is not None:
        return Outcome(test, "failed")
    skipped = case.find("skipped")
    if skipped is None:
        return Outcome(test, "passed")
    return Outcome(test, "skipped", skipped.get("message") or "no reason given")


def main(allowed_path: str, *reports: str) -> int:
    """Prints each skip and the totals; gives the exit code."""
    allowed = read_allowed(Path(allowed_path))
    outcomes = [outcome for report in reports for outcome in read_outcomes(Path(report))]
    refused = 0
    for outcome in outcomes:
        if outcome.kind == "skipped":
            line = f"{outcome.test}: {outcome.reason}"
            verdict = "skipped" if any(pattern.search(line) for pattern in allowed) else "NOT ALLOWED TO SKIP"
            refused += verdict != "skipped"
            print(f"{verdict}: {line}")
    count = Counter(outcome.kind for outcome in outcomes)
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    return 1 if refused or count["failed"] or not count["passed"] else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
