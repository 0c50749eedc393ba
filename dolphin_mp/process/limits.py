"""What a process may use and where it runs: taken on at its birth, before any code of a component.

Memory has two limits. The process' pulse compares its private memory with ``memory_max`` each second and ends
the process when it is over. Between two looks, and while a C function keeps the interpreter's lock, the
kernel holds: RLIMIT_DATA, set somewhat above, refuses what is asked for (a MemoryError). It counts private
writable memory that is reserved, touched or not (setrlimit(2)), thus the room; channels are shared and
count in neither. Grandchildren each have the same kernel limit and are not added up.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from typing import TYPE_CHECKING, Any

from dolphin_mp.envfile import EnvFileError, read_env
from dolphin_mp.size import show_excess

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from dolphin_mp.plan import ResourcesPlan

_PAGE = os.sysconf("SC_PAGE_SIZE")
ROOM = 128 << 20  # chosen: sixteen stacks of threads, which are reserved and hardly touched


class LimitError(Exception):
    """The surroundings that the configuration asks for can't be had; the text says which."""


def take_on(plan: ResourcesPlan) -> None:
    """Give this process its environment, folder and limits, for good; raises LimitError.

    Niceness and CPUs are a thread's: all that there are get them, and those to come inherit them.
    """
    try:
        _take_environment(plan)
    except EnvFileError as error:
        raise LimitError(f"env_file: {error}") from None
    if plan.cwd:
        _take("cwd", os.chdir, plan.cwd)
    if plan.open_files:
        _take("open_files", _limit_open_files, plan.open_files)
    if plan.nice is not None:
        _take("nice", _be_nice, plan.nice)
    if plan.cpus:
        _take("cpus", _run_on, plan.cpus)
    if plan.memory_max:
        _take("memory_max", _limit_memory, plan.memory_max)


def over_memory(memory_max: int, private: int) -> str:
    """Say that a process uses more private memory than it may, or nothing; no limit is 0."""
    return f"over memory_max: {show_excess(private, memory_max)}" if 0 < memory_max < private else ""


def _take(key: str, call: Callable[..., None], *arguments: Any) -> None:
    try:
        call(*arguments)
    except (OSError, ValueError) as error:
        raise LimitError(f"{key}: {getattr(error, 'strerror', None) or error}") from None


def _take_environment(plan: ResourcesPlan) -> None:
    if plan.env_file:
        os.environ.update(read_env(plan.env_file))
    os.environ.update(plan.env)
    if plan.env_file or "TZ" in plan.env:
        time.tzset()


def _be_nice(nice: int) -> None:
    """Set the niceness, also that of the session: where autogroups are on, sessions share by theirs alone.

    Source: sched(7). A component has a session of its own, but for one that was started from a shell.
    """
    for thread in _threads():
        os.setpriority(os.PRIO_PROCESS, thread, nice)
    if os.getsid(0) == os.getpid():
        with (
            contextlib.suppress(OSError),  # no autogroups here
            open("/proc/self/autogroup", "w", encoding="ascii") as file,  # noqa: PTH123
        ):
            file.write(str(nice))


def _run_on(cpus: Collection[int]) -> None:
    for thread in _threads():
        os.sched_setaffinity(thread, cpus)


def _threads() -> list[int]:
    return [int(name) for name in os.listdir("/proc/self/task")]  # noqa: PTH208


def _limit_open_files(count: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def _limit_memory(memory_max: int) -> None:
    """Refuse more than half as much again, beyond what the zygote has left here."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        data = int(file.read().split()[5]) * _PAGE  # proc_pid_statm(5): data and stack, as the kernel counts
    limit = data + memory_max + memory_max // 2 + ROOM
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
