"""The folder of a system's crash bundles: where it is, what is kept in it, how one gets in and out whole."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from dolphin_mp.paths import log_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MOST_BUNDLES = 50
MOST_BYTES = 64 << 20
FACTS = "crash.json"
_UNFINISHED, _LEAVING = ".new-", ".old-"
_FORGOTTEN_S = 3600.0


class Bounds(NamedTuple):
    """What is kept: so many bundles of a system, of so many bytes in all."""

    bundles: int = MOST_BUNDLES
    nbytes: int = MOST_BYTES


class Held(NamedTuple):
    """A bundle that is there, and its size on disk."""

    name: str
    nbytes: int


def crashes_folder(system: str) -> Path:
    """Give the folder of a system's bundles; it need not exist."""
    return log_folder() / system / "crashes"


def surplus(held: Sequence[Held], bounds: Bounds) -> list[str]:
    """Give those that have to go, oldest last to be named; the newest stays, however large."""
    gone: list[str] = []
    total = 0
    for number, bundle in enumerate(sorted(held, reverse=True)):
        total += bundle.nbytes
        if number and (number >= bounds.bundles or total > bounds.nbytes):
            gone.append(bundle.name)
    return gone


def put(folder: Path, name: str, fill: Callable[[Path], None]) -> Path:
    """Make a bundle whole or not at all: filled under another name, then given its own. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = folder / f"{_UNFINISHED}{name}-{os.getpid()}"
    unfinished.mkdir(mode=0o700)
    try:
        fill(unfinished)
        return _rename(unfinished, folder, name)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _rename(unfinished: Path, folder: Path, name: str) -> Path:
    for number in range(1, 100):
        place = folder / (name if number == 1 else f"{name}.{number}")
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=0o700)  # it is ours then; rename(2) replaces an empty folder
            return unfinished.rename(place)
    raise FileExistsError(f"{folder / name} is there a hundred times")


def prune(folder: Path, bounds: Bounds) -> None:
    """Remove what is too much, and what a writer that died has left unfinished."""
    for name in surplus(bundles(folder), bounds):
        leaving = folder / f"{_LEAVING}{name}"
        with contextlib.suppress(OSError):  # another writer was quicker
            (folder / name).rename(leaving)
        shutil.rmtree(leaving, ignore_errors=True)
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            if entry.name.startswith((_UNFINISHED, _LEAVING)) and _is_forgotten(entry):
                shutil.rmtree(entry.path, ignore_errors=True)


def _is_forgotten(entry: os.DirEntry[str]) -> bool:
    with contextlib.suppress(OSError):
        return time.time() - entry.stat().st_mtime > _FORGOTTEN_S
    return False


def bundles(folder: Path) -> list[Held]:
    """Give what is there, oldest first; an unfinished one is not."""
    return [Held(name, _size(folder / name)) for name in names(folder)]


def names(folder: Path) -> list[str]:
    """Give the names of the bundles that are there, oldest first."""
    try:
        return sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    except OSError:
        return []


def _size(folder: Path) -> int:
    total = 0
    for path, _, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(OSError):
                total += os.lstat(f"{path}/{file}").st_blocks * 512
    return total


def systems() -> list[str]:
    """Give the systems that have a folder of crashes."""
    return sorted(path.parent.name for path in log_folder().glob("*/crashes") if path.is_dir())


def read_facts(bundle: Path) -> dict[str, Any] | None:
    """Give a bundle's facts, or None if they can't be read."""
    try:
        facts = json.loads((bundle / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None
