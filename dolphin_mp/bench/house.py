"""Systems to measure, each in a runtime folder of its own, beside whatever else this user runs."""

from __future__ import annotations

import contextlib
import os
import select
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dolphin_mp.client import Client
from dolphin_mp.parent.detached import start_detached

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARIABLES = ("XDG_RUNTIME_DIR", "XDG_STATE_HOME")
_MEMORY = "/dev/shm"
LIMIT_S = 10.0


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """Have systems live in a folder that nobody else uses; gives it."""
    before = {name: os.environ.get(name) for name in _VARIABLES}
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="dmp-bench-", dir=place, ignore_cleanup_errors=True) as folder:
        os.environ.update(dict.fromkeys(_VARIABLES, folder))
        try:
            yield Path(folder)
        finally:
            _wait_for_writers(folder)
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _wait_for_writers(folder: str) -> None:
    """Wait, within a bound, for those that still write crash bundles there: they outlive their system."""
    limit = time.monotonic() + LIMIT_S
    while time.monotonic() < limit and _is_written_to(folder):
        select.select([], [], [], 0.02)


def _is_written_to(folder: str) -> bool:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if os.fsencode(folder) in entry.read_bytes():
                return True
    return False


@contextlib.contextmanager
def running(folder: Path, name: str, components: str) -> Iterator[Client]:
    """Have a system run in a folder of `own_folder`; gives a client of it."""
    path = write(folder, name, components)
    start_detached(str(path))
    with Client(name) as client:
        try:
            yield client
        finally:
            client.shutdown()


def write(folder: Path, name: str, components: str) -> Path:
    """Write a system's configuration."""
    path = folder / f"{name}.toml"
    path.write_text(f'[system]\nname = "{name}"\n{components}', encoding="utf-8")
    return path


def many(count: int) -> str:
    """Give the tables of so many small components."""
    return "".join(f'[components.c{n}]\nrun = "dolphin_mp.bench.actors:Small"\n' for n in range(count))
