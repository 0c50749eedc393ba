"""`dolphin-mp init`: a system to begin with: its configuration, two components and their test."""

from __future__ import annotations

import re
from pathlib import Path

from dolphin_mp.cli.errors import DONE, FAILED, CommandError
from dolphin_mp.cli.show import print_json, say
from dolphin_mp.cli.templates import FILES, SYSTEM_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

_LONGEST_NAME = 31


def add_arguments(_name: str, parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", default=".", help="where; made if it is missing"
    )
    parser.add_argument("--json", action="store_true", help="print data for programs")


def execute(arguments: Namespace) -> int:
    """Write the files; none if one of them is there already."""
    folder = Path(arguments.folder)
    name = system_name(folder.resolve().name)
    paths = {folder / file: text.replace(SYSTEM_NAME, name) for file, text in FILES.items()}
    there = [str(path) for path in paths if path.exists() or path.is_symlink()]
    if there:
        raise CommandError(f"{', '.join(there)} is there already: name another folder", FAILED)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in paths.items():
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise CommandError(f"can't write {error.filename}: {error.strerror}") from None
    if arguments.json:
        print_json({"system": name, "files": [str(path) for path in paths]})
        return DONE
    for path in paths:
        print(path)
    place = "" if arguments.folder == "." else f"cd {arguments.folder}; "
    say(f"`{place}dolphin-mp launch` starts it, `{place}python -m unittest` tests it")
    return DONE


def system_name(folder: str) -> str:
    """Give the folder's name as a system's: what no name may hold becomes a hyphen."""
    name = re.sub(r"[^a-z0-9_-]+", "-", folder.lower()).strip("-_")[:_LONGEST_NAME]
    return name or "market"
