"""Fails if a built wheel or sdist holds what it should not, or lacks what it must have.

Usage: contents.py DIST-FOLDER TREE BUILD-FOLDER
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

CORES = ("_board", "_core", "_deal", "_tether")


def wheel_faults(path: Path, modules: Iterable[str], folders: Iterable[str]) -> list[str]:
    """Only our package and its metadata, compiled, and no folder of this machine in any file."""
    with zipfile.ZipFile(path) as wheel:
        files = {name: wheel.read(name) for name in wheel.namelist()}
    ours = ("dolphin_mp/", "-".join(path.name.split("-")[:2]) + ".dist-info/")
    faults = [f"{name} is not ours" for name in files if not name.startswith(ours)]
    faults += [f"{name} is a source" for name in files if name.endswith((".c", ".pyx", ".o"))]
    faults += [
        f"{name} names {folder}" for folder in folders for name in files if folder.encode() in files[name]
    ]
    for core in CORES:
        if not any(name.startswith(f"dolphin_mp/ipc/{core}.") and name.endswith(".so") for name in files):
            faults.append(f"the compiled {core} is missing")
    return faults + missing(modules, files)


def sdist_faults(path: Path, modules: Iterable[str]) -> list[str]:
    """Real files in place of the links, the core's source, nothing built."""
    with tarfile.open(path) as sdist:
        members = {member.name.partition("/")[2]: member for member in sdist}
    faults = [f"{name} is a link" for name, member in members.items() if member.issym() or member.islnk()]
    faults += [f"{name} was built" for name in members if name.endswith((".so", ".pyc", ".c"))]
    return faults + missing([*modules, *(f"dolphin_mp/ipc/{core}.pyx" for core in CORES)], members)


def missing(wanted: Iterable[str], names: Container[str]) -> list[str]:
    """What an archive lacks."""
    return [f"{name} is missing" for name in wanted if name not in names]


def modules_of(tree: Path) -> list[str]:
    """What every archive must hold; ipc and workers lie beside the package here, and inside it there."""
    homes = {"dolphin_mp": "dolphin_mp", "ipc": "dolphin_mp/ipc", "workers": "dolphin_mp/workers"}
    return [
        str(inside / file.relative_to(tree / top))
        for top, inside in ((top, Path(home)) for top, home in homes.items())
        for file in sorted((tree / top).rglob("*"))
        if file.suffix in {".py", ".pyi", ".toml"} or file.name == "py.typed"
    ]


def main(dist: Path, tree: Path, build: Path) -> int:
    """Prints every fault; gives the exit code."""
    modules = modules_of(tree)
    (wheel,) = dist.glob("*.whl")
    (sdist,) = dist.glob("*.tar.gz")
    folders = (
        [str(tree), str(build), sys.base_prefix] if sys.base_prefix != "/usr" else [str(tree), str(build)]
    )
    faults = [f"{wheel.name}: {fault}" for fault in wheel_faults(wheel, modules, folders)]
    faults += [f"{sdist.name}: {fault}" for fault in sdist_faults(sdist, modules)]
    print("\n".join(faults) or f"{wheel.name}, {sdist.name}: as they should be")
    return 1 if faults else 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(*map(Path, sys.argv[1:])))
