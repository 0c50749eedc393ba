"""`dolphin-mp clean`: what crashed systems left in memory and on disk, and only that."""

from __future__ import annotations

from dolphin_mp.cli.errors import DONE, FAILED, NOT_RUNNING, CommandError
from dolphin_mp.cli.show import print_json, say, size
from dolphin_mp.remains import (
    LivingError,
    Remains,
    living_of,
    remains_of,
    remove_remains,
    system_of,
    systems_with_remains,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(_name: str, parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument("--all", action="store_true", help="what was left under other runtime folders, too")
    parser.add_argument("--system", metavar="NAME", help="only that system's; an error while any of it lives")
    parser.add_argument("--json", action="store_true", help="print data for programs")


def execute(arguments: Namespace) -> int:
    """Remove what nobody owns."""
    prefixes = systems_with_remains(everywhere=arguments.all)
    if arguments.system:
        prefixes = [prefix for prefix in prefixes if system_of(prefix) == arguments.system]
        if not prefixes:
            raise CommandError(f'nothing is left of a system "{arguments.system}"', NOT_RUNNING)
    removed: list[tuple[str, Remains]] = []
    living: list[tuple[str, str]] = []
    for prefix in prefixes:
        try:
            found = _look(prefix) if arguments.dry_run else remove_remains(prefix)
        except LivingError as error:
            living.append((system_of(prefix), str(error)))
        else:
            if found.segments or found.folders:
                removed.append((system_of(prefix), found))
    _tell(removed, living, arguments)
    return FAILED if arguments.system and living else DONE


def _look(prefix: str) -> Remains:
    """Give what `remove_remains` would remove; raises LivingError as it does."""
    living = living_of(prefix)
    if living:
        raise LivingError(", ".join(living))
    return remains_of(prefix)


def _tell(removed: list[tuple[str, Remains]], living: list[tuple[str, str]], arguments: Namespace) -> None:
    if arguments.json:
        print_json(
            {
                "removed": [{"system": name, **found._asdict()} for name, found in removed],
                "living": [{"system": name, "who": who} for name, who in living],
                "dry_run": arguments.dry_run,
            }
        )
    else:
        for name, found in removed:
            for path in [*found.folders, *(f"/dev/shm/{segment}" for segment in found.segments)]:
                print(path)
            say(f"{name}: {'would free' if arguments.dry_run else 'freed'} {size(found.nbytes)}")
        if not removed and not living:
            say("nothing is left over")
    for name, who in living:
        say(f"dolphin-mp: {name} lives, so nothing of it is removed: {who}")
