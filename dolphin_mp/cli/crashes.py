"""`dolphin-mp crashes`: the crashes of a system, newest first, or all that is known of one."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import NamedTuple

from dolphin_mp.cli.errors import DONE, NO_SUCH, WRONG_USE, CommandError
from dolphin_mp.cli.show import BOLD, Column, age, paint, print_json, say, table, terminal_width, uses_colour
from dolphin_mp.crashes.shelf import crashes_folder, names, read_facts, systems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable
    from pathlib import Path
    from typing import Any

MOST_LISTED = 20
_MOST_LOG_LINES = 20
COLUMNS = (
    Column("ID"),
    Column("SYSTEM", rank=3),
    Column("PROCESS"),
    Column("AGO", right=True),
    Column("LIVED", right=True, rank=2),
    Column("RESTARTS", right=True, rank=1),
    Column("REASON"),
)


class Crash(NamedTuple):
    """A bundle and its facts."""

    path: Path
    facts: dict[str, Any]


def add_arguments(_name: str, parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "which", metavar="ID|NAME", nargs="?", help="show this crash, or the newest one of this component"
    )
    parser.add_argument(
        "-n", type=int, default=MOST_LISTED, metavar="NUMBER", help=f"list so many (default {MOST_LISTED})"
    )
    parser.add_argument("--json", action="store_true", help="print data for programs")
    parser.add_argument("--system", metavar="NAME", help="only those of this system (or DOLPHIN_SYSTEM)")


def execute(arguments: Namespace) -> int:
    """List crashes, or show one."""
    if arguments.n < 1:
        raise CommandError("-n takes a number from 1 on", WRONG_USE)
    crashes = find_crashes(arguments.system or os.environ.get("DOLPHIN_SYSTEM"))
    if arguments.which is None:
        _list(crashes, arguments.n, as_json=arguments.json)
        return DONE
    found = pick(arguments.which, crashes)
    if arguments.json:
        print_json(whole(found[0]))
        return DONE
    for line in _lines(found[0]):
        print(line)
    if len(found) > 1:
        say(f"{len(found) - 1} earlier of {arguments.which}: `dolphin-mp crashes` lists them")
    return DONE


def find_crashes(system: str | None) -> list[Crash]:
    """Give all crashes of a system, or of all, newest first; raises CommandError for an unknown system."""
    known = systems()
    if system is not None and system not in known:
        from dolphin_mp.cli.systems import known_systems

        if system not in known_systems():
            from dolphin_mp.faults import suggest

            near = suggest(system, known, "with crashes")
            raise CommandError(f'no crash of a system "{system}" is known{near}', NO_SUCH)
    places = [crashes_folder(name) for name in known if system in {None, name}]
    paths = sorted((folder / name for folder in places for name in names(folder)), key=lambda path: path.name)
    return [Crash(path, facts) for path in reversed(paths) if (facts := read_facts(path)) is not None]


def pick(which: str, crashes: list[Crash]) -> list[Crash]:
    """Give the crashes that an id, its beginning, or a component's or process' name means, newest first."""
    exact = [crash for crash in crashes if crash.path.name == which]
    named = [crash for crash in crashes if which in {crash.facts.get("process"), *_components(crash)}]
    begun = [crash for crash in crashes if crash.path.name.startswith(which)]
    if exact or named:
        return exact or named
    if len(begun) == 1:
        return begun
    if begun:
        raise CommandError(f'{len(begun)} crashes begin with "{which}": give more of the id', WRONG_USE)
    from dolphin_mp.faults import suggest

    known = {name for crash in crashes for name in _components(crash)}
    raise CommandError(f'no crash "{which}" is known{suggest(which, known, "crashed have")}', NO_SUCH)


def whole(crash: Crash) -> dict[str, Any]:
    """Give everything of a bundle as plain data."""
    return {
        **_fact_row(crash),
        **crash.facts,
        "id": crash.path.name,
        "path": str(crash.path),
        "traceback": _text(crash, "traceback.txt"),
        "stacks": _text(crash, "stacks.txt"),
        "log": _log(crash),
        "records": _data(crash, "records.json") or {},
        "config": _data(crash, "config.json"),
    }


def _list(crashes: list[Crash], most: int, *, as_json: bool) -> None:
    shown = crashes[:most]
    if as_json:
        print_json({"crashes": [_fact_row(crash) for crash in shown], "total": len(crashes)})
        return
    if not crashes:
        say("no crash is known")
        return
    rows = [
        [
            crash.path.name,
            str(crash.facts.get("system", "-")),
            str(crash.facts.get("process", "-")),
            age(_seconds_since(crash)),
            age(crash.facts.get("uptime_s")),
            str(crash.facts.get("restarts", "-")),
            plain(str(crash.facts.get("reason", ""))),
        ]
        for crash in shown
    ]
    print("\n".join(table(COLUMNS, rows, terminal_width(), {})))
    if len(crashes) > len(shown):
        say(f"{len(crashes) - len(shown)} more: -n {len(crashes)} lists all")
    say("`dolphin-mp crashes ID` shows one")


def _fact_row(crash: Crash) -> dict[str, Any]:
    keys = (
        "system",
        "process",
        "components",
        "pid",
        "incarnation",
        "restarts",
        "exit_code",
        "signal",
        "reason",
        "died_at",
        "uptime_s",
    )
    row = {key: crash.facts.get(key) for key in keys}
    return {"id": crash.path.name, "path": str(crash.path), **row}


def _lines(crash: Crash) -> Iterable[str]:
    """Give all of a crash for people, the records last."""
    yield from _headline(crash)
    for title, name in (("traceback", "traceback.txt"), ("stacks", "stacks.txt")):
        text = _text(crash, name)
        if text:
            yield from _section(title, plain(text).rstrip("\n").split("\n"))
    log = _log(crash)
    if log:
        shown = log[-_MOST_LOG_LINES:]
        yield from _section(f"last {len(shown)} log records", _log_lines(shown))
    for channel, tail in (_data(crash, "records.json") or {}).items():
        yield from _section(f"last records of {channel}", _records(tail))


def _headline(crash: Crash) -> Iterable[str]:
    facts = crash.facts
    yield _title(f"{facts.get('process')}: {plain(str(facts.get('reason', '')))}")
    lines = {
        "system": f"{facts.get('system')}, components {', '.join(_components(crash))}",
        "process": f"pid {facts.get('pid')}, start number {facts.get('incarnation')}",
        "died": f"{facts.get('died_at')}, {age(_seconds_since(crash))} ago",
        "lived": f"{age(facts.get('uptime_s'))}, after {facts.get('restarts')} restarts",
        "ended": facts.get("signal") or f"exit {facts.get('exit_code')}",
        "folder": str(crash.path),
    }
    if facts.get("oom_kills"):
        lines["memory"] = f"the kernel killed {facts['oom_kills']} process(es) for want of memory meanwhile"
    for name, step in (facts.get("steps") or {}).items():
        begun = f"in a step for {age(step['begun_ago_s'])}" if step.get("in_progress") else "between steps"
        lines[f"step of {name}"] = f"{begun}, {step.get('beats')} done, {step.get('phase') or 'not up yet'}"
    if facts.get("left_out"):
        lines["left out"] = plain(str(facts["left_out"]))
    width = max(map(len, lines))
    yield from (f"  {name.ljust(width)}  {text}" for name, text in lines.items())


def _records(tail: dict[str, Any]) -> Iterable[str]:
    from dolphin_mp.cli.rendering import lines_of

    if not tail["records"]:
        return ["none was published" if not tail["version"] else "too large to be kept"]
    rows = []
    for record in tail["records"]:
        value = record["value"]
        fields = value if isinstance(value, dict) else {"value": value}
        rows.append({"version": record["version"], "age": age(record["age_s"]), **fields})
    return [plain(line) for line in lines_of(rows)]


def _log_lines(records: Iterable[dict[str, Any]]) -> Iterable[str]:
    """Give records as `dolphin-mp logs` shows them."""
    from dolphin_mp.cli.logs import line_of

    for record in records:
        try:
            text = line_of(record)
        except (KeyError, TypeError, AttributeError):  # somebody has edited the file
            text = json.dumps(record, ensure_ascii=False)
        yield from plain(text).split("\n")


def _log(crash: Crash) -> list[dict[str, Any]]:
    found = []
    for line in _text(crash, "log.jsonl").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            found.append(record)
    return found


def _section(title: str, lines: Iterable[str]) -> Iterable[str]:
    yield ""
    yield _title(title)
    yield from (f"  {line}".rstrip() for line in lines)


def _title(text: str) -> str:
    return paint(text, BOLD, wanted=uses_colour(sys.stdout))


def plain(text: str) -> str:
    """Give a text that does nothing to a terminal: what a component wrote is only to be seen."""
    return "".join(c if c in "\n\t" or c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _components(crash: Crash) -> list[str]:
    return [str(name) for name in crash.facts.get("components") or ()]


def _seconds_since(crash: Crash) -> float | None:
    from datetime import datetime

    try:
        return max(0.0, time.time() - datetime.fromisoformat(str(crash.facts["died_at"])).timestamp())
    except (KeyError, ValueError):
        return None


def _text(crash: Crash, name: str) -> str:
    try:
        return (crash.path / name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _data(crash: Crash, name: str) -> Any:
    try:
        return json.loads(_text(crash, name))
    except ValueError:
        return None
