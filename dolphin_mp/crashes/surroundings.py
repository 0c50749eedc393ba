"""What the writer finds out about the machine and the code, so that the parent need not."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

_MEMORY = ("MemTotal", "MemAvailable", "SwapFree")


def host_facts() -> dict[str, Any]:
    """Give the machine's name, kernel, load and memory, as they are now."""
    system = os.uname()
    facts: dict[str, Any] = {
        "name": system.nodename,
        "kernel": f"{system.sysname} {system.release}",
        "machine": system.machine,
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
        "memory_bytes": {},
        "shared_memory_free_bytes": None,
    }
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name in _MEMORY:
                facts["memory_bytes"][name] = int(value.split()[0]) * 1024
    with contextlib.suppress(OSError):
        found = os.statvfs("/dev/shm")
        facts["shared_memory_free_bytes"] = found.f_bavail * found.f_frsize
    return facts


def code_facts(runs: list[str], folders: list[str]) -> dict[str, Any]:
    """Give the versions of what ran: dolphin-mp, Python, numpy, the components' files and their repository.

    Args:
        runs: "module:Class" of the components.
        folders: where their modules are looked for; nothing is imported.
    """
    from importlib.metadata import PackageNotFoundError, version

    from dolphin_mp import __version__

    facts: dict[str, Any] = {"dolphin_mp": __version__, "python": sys.version.split()[0], "numpy": None}
    with contextlib.suppress(PackageNotFoundError):
        facts["numpy"] = version("numpy")
    places = [*folders, *sys.path]
    facts["components"] = {run: found for run in runs if (found := _module(run, places))}
    facts["commit"] = next((commit for folder in folders if (commit := _commit(Path(folder)))), None)
    return facts


def _module(run: str, folders: list[str]) -> dict[str, Any] | None:
    stem = run.partition(":")[0].replace(".", "/")
    for folder in folders:
        for name in (f"{stem}.py", f"{stem}/__init__.py"):
            path = Path(folder, name)
            with contextlib.suppress(OSError):
                text = path.read_bytes()
                digest = hashlib.sha256(text).hexdigest()[:16]
                return {"path": str(path), "sha256": digest, "modified": path.stat().st_mtime}
    return None


def _commit(folder: Path) -> str | None:
    """Give what is checked out there, read without git: gitrepository-layout(5)."""
    for place in (folder, *folder.parents):
        git = place / ".git"
        with contextlib.suppress(OSError, ValueError):
            head = (git / "HEAD").read_text(encoding="ascii").strip()
            if not head.startswith("ref: "):
                return head[:40]
            name = head.removeprefix("ref: ")
            with contextlib.suppress(OSError):
                return (git / name).read_text(encoding="ascii").strip()[:40]
            for line in (git / "packed-refs").read_text(encoding="ascii").splitlines():
                if line.endswith(f" {name}"):
                    return line[:40]
    return None
