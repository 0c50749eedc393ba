"""Fails if a built wheel or sdist holds what it should not, or lacks what it must have.

Usage: contents.py DIST-FOLDER FORBIDDEN-PATH...
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path


def wheel_faults(path: Path, forbidden: list[bytes]) -> list[str]:
    """Only our package and its metadata, compiled, and no folder of this machine in any file."""
    with zipfile.ZipFile(path) as wheel:
        files = {name: wheel.read(name) for name in wheel.namelist()}
    version = path.name.split("-")[1]
    ours = ("dolphin_mp/", f"dolphin_mp-{version}.dist-info/")
    faults = [f"{name} is not ours" for name in files if not name.startswith(ours)]
    faults += [f"{name} is a source" for name in files if name.endswith((".c", ".pyx", ".o"))]
    faults += [f"{name} names {path.decode()}" for path in forbidden for name in files if path in files[name]]
    if not any(name.startswith("dolphin_mp/ipc/_core.") and name.endswith(".so") for name in files):
        faults.append("the compiled core is missing")
    return faults + missing(set(files))


def sdist_faults(path: Path) -> list[str]:
    """Real files in place of the links, the core's source, nothing built."""
    with tarfile.open(path) as sdist:
        members = {member.name.partition("/")[2]: member for member in sdist}
    faults = [f"{name} is a link" for name, member in members.items() if member.issym() or member.islnk()]
    faults += [f"{name} was built" for name in members if name.endswith((".so", ".pyc", ".c"))]
    return faults + missing(members.keys(), "dolphin_mp/ipc/_core.pyx")


def missing(names: set[str] | object, *more: str) -> list[str]:
    """What every archive must hold: each module of the tree, and ``more``."""
    tree = Path(__file__).resolve().parent.parent
    modules = [
        str(Path("dolphin_mp", inside, file.relative_to(tree / top)))
        for top, inside in (("dolphin_mp", ""), ("ipc", "ipc"), ("workers", "workers"))
        for file in (tree / top).rglob("*")
        if file.suffix in {".py", ".pyi", ".toml"} or file.name == "py.typed"
    ]
    return [f"{name} is missing" for name in [*modules, *more] if name not in names]
