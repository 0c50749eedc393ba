"""What a process takes on at its birth: read, compared with what this machine gives, made a plan."""

from __future__ import annotations

import os
import re
import resource
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dolphin_mp.envfile import NAME, EnvFileError, read_env
from dolphin_mp.plan import ResourcesPlan
from dolphin_mp.size import parse_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dolphin_mp.checking.tables import ComponentSettings
    from dolphin_mp.faults import Faults

RESOURCE_KEYS = ("nice", "cpus", "memory_max", "open_files", "env", "env_file", "cwd")
LEAST_MEMORY = 64 << 20  # chosen: a component that does nothing but have numpy takes about 30 MiB
LEAST_FILES = 64  # chosen: channels, locks and streams of a component with many inputs
_CAP_SYS_NICE = 23  # capabilities(7)
_RANGE = re.compile(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?")
_CPUS_RIGHT = 'write numbers and ranges, such as "0-3,5", or a list of numbers'


# ------------------------------------------------------------------ values: the same on every machine


def parse_cpus(value: object) -> tuple[int, ...]:
    """Give the CPU numbers of "0-3,5" or of a list; raises ValueError."""
    if isinstance(value, list | tuple):
        if not value or not all(type(number) is int and number >= 0 for number in value):
            raise ValueError(f"{list(value)!r} holds no CPU numbers: {_CPUS_RIGHT}")
        return tuple(sorted(set(value)))
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no set of CPUs: {_CPUS_RIGHT}")  # noqa: TRY004 - a fault of the configuration
    found: set[int] = set()
    for part in value.split(","):
        form = _RANGE.fullmatch(part)
        first, last = (int(form[1]), int(form[2] or form[1])) if form else (1, 0)
        if last < first:
            raise ValueError(f'"{value}" is no set of CPUs: {_CPUS_RIGHT}')
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def parse_memory(value: object) -> int:
    """Give the bytes of a limit of memory; raises ValueError."""
    size = parse_size(value)
    if size < LEAST_MEMORY:
        least = f"at least {LEAST_MEMORY >> 20}MiB"
        raise ValueError(f'"{value}" is less than a process with numpy needs to begin with: {least}')
    return size


def parse_environment(value: object) -> dict[str, str]:
    """Give a table of variables; raises ValueError, which names a variable but never shows its value."""
    if not isinstance(value, dict):
        raise ValueError('should be a table of texts, such as { LEVEL = "2" }')  # noqa: TRY004
    for name, text in value.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError(f'"{name}" is no name of a variable: letters, digits and _, no digit first')
        if not isinstance(text, str):
            raise ValueError(f"{name} is no text: put its value in quotes")  # noqa: TRY004
        if "\0" in text:
            raise ValueError(f"{name} holds a NUL")
    return value


# ------------------------------------------------------------------ this machine


def check_resources(settings: ComponentSettings, place: str, folder: str, faults: Faults) -> None:
    """Note which of a component's own keys this machine or this user can't give."""
    texts = {
        "nice": "" if settings.nice is None else _nice_fault(settings.nice),
        "cpus": _cpus_fault(settings.cpus),
        "open_files": "" if settings.open_files is None else _open_files_fault(settings.open_files),
        "env_file": _env_file_fault(_resolved(settings.env_file, folder)),
        "cwd": _folder_fault(_resolved(settings.cwd, folder)),
    }
    for key, text in texts.items():
        if text:
            faults.add(f"{place}.{key}", text)


def _nice_fault(nice: int) -> str:
    least = min(os.getpriority(os.PRIO_PROCESS, 0), 20 - resource.getrlimit(resource.RLIMIT_NICE)[0])
    if nice >= least or _has_capability(_CAP_SYS_NICE):
        return ""
    return f"{nice} needs a right that this user lacks (CAP_SYS_NICE, or ulimit -e): at least {least}"


def _has_capability(number: int) -> bool:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
        effective = next((line.split()[1] for line in file if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> number & 1)


def _cpus_fault(cpus: tuple[int, ...]) -> str:
    here = sorted(os.sched_getaffinity(0))
    missing = [str(cpu) for cpu in cpus if cpu not in here]
    if not missing:
        return ""
    what = f"CPU {missing[0]} is" if len(missing) == 1 else f"CPUs {', '.join(missing[:8])} are"
    return f"{what} not there, or not for this system: it may use {show_cpus(here)}"


def show_cpus(cpus: list[int]) -> str:
    """Give CPU numbers, sorted, as text: "0-3,5"."""
    parts: list[list[int]] = []
    for cpu in cpus:
        if parts and parts[-1][-1] == cpu - 1:
            parts[-1] = [parts[-1][0], cpu]
        else:
            parts.append([cpu])
    return ",".join("-".join(map(str, part)) for part in parts)


def _open_files_fault(count: int) -> str:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != hard < count:
        return f"{count} is over the hard limit: at most {hard} here (ulimit -Hn)"
    return ""


def _env_file_fault(path: str) -> str:
    try:
        read_env(path) if path else None
    except EnvFileError as error:
        return str(error)
    return ""


def _folder_fault(path: str) -> str:
    if not path:
        return ""
    if not Path(path).exists():
        return f"{path}: no such folder"
    if not Path(path).is_dir():
        return f"{path} is no folder"
    return "" if os.access(path, os.X_OK) else f"{path} can't be entered by this user"


# ------------------------------------------------------------------ plans


def resources_plan(chosen: Mapping[str, Any], folder: str) -> ResourcesPlan:
    """Give the plan of a process from what its members have agreed on; paths are relative to the folder."""
    return ResourcesPlan(
        nice=chosen["nice"],
        cpus=chosen["cpus"],
        memory_max=chosen["memory_max"] or 0,
        open_files=chosen["open_files"] or 0,
        env=chosen["env"],
        env_file=_resolved(chosen["env_file"], folder),
        cwd=_resolved(chosen["cwd"], folder),
    )


@contextmanager
def environment_of(plan: ResourcesPlan) -> Iterator[None]:
    """Have the environment of a process inside the block: its components' modules may read it at import."""
    given: dict[str, str] = {}
    with suppress(EnvFileError):  # noted already
        given = read_env(plan.env_file) if plan.env_file else {}
    given |= plan.env
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _resolved(path: str | None, folder: str) -> str:
    return str(Path(folder or ".", path).absolute()) if path else ""
