"""Which modules the zygote may import for all: those that leave the process as they found it.

A thread or a crash would harm every process to come; a descriptor would be shared by all of them; a changed
environment, folder, umask or signal handler is undone after each fork. A module that leaves such traces is
kept out, and each process that needs it imports it itself. To find out, a fork is thrown away.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import select
import signal
import time
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from dolphin_mp.supervision.policy import exit_text

if TYPE_CHECKING:
    from collections.abc import Sequence

TRIAL_LIMIT_S = 20.0  # chosen: less than the usual `ready_within`, for processes to be born wait meanwhile
_PR_SET_PDEATHSIG = 1
_BEGUN = "begun"


class Traces(NamedTuple):
    """What an import may leave behind."""

    threads: int
    descriptors: frozenset[str]
    environment: dict[str, str]
    folder: str
    umask: str
    handlers: tuple[object, ...]

    def fault(self, before: Traces) -> str:
        """Say what was left since `before`, or nothing."""
        texts = {
            "threads": "leaves a thread",
            "descriptors": "leaves an open file",
            "environment": "changes the environment",
            "folder": "changes the current folder",
            "umask": "changes the umask",
            "handlers": "changes the signal handlers",
        }
        left = [texts[name] for name in self._fields if getattr(self, name) != getattr(before, name)]
        return " and ".join(left)


def traces() -> Traces:
    """Give what can be seen of this process now."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
        status = dict(line.split(":\t", 1) for line in file if ":\t" in line)
    try:
        folder = os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        folder = ""
    return Traces(
        int(status["Threads"]),
        frozenset(os.listdir("/proc/self/fd")),  # noqa: PTH208
        dict(os.environ),
        folder,
        status["Umask"],
        tuple(signal.getsignal(number) for number in sorted(signal.valid_signals())),
    )


def import_clean(modules: Sequence[str], *, trusted: bool) -> list[str]:
    """Import those of the modules that leave no traces; gives a line for each of the others.

    Args:
        modules: their names.
        trusted: a throwaway process has imported all of them and found no trace.
    """
    kept_out = {} if trusted else _try(modules)
    for module in modules:
        if module not in kept_out:
            try:
                importlib.import_module(module)
            except BaseException as error:  # noqa: BLE001 - who needs it imports it again, and reports
                kept_out[module] = f"fails: {type(error).__name__}: {error}"
    return [
        f"importing {module} {fault}: each process that needs it does that itself"
        for module, fault in kept_out.items()
    ]


def _try(modules: Sequence[str]) -> dict[str, str]:
    """Give, by module, what is wrong with importing it.

    Tried again without them until nothing is found: what a module leaves may come from one that it imports.
    """
    kept_out: dict[str, str] = {}
    while True:
        found = _try_once([module for module in modules if module not in kept_out])
        kept_out |= found
        if not found:
            return kept_out


def _try_once(modules: Sequence[str]) -> dict[str, str]:
    if not modules:
        return {}
    reading, writing = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _try_here(modules, writing, parent)
    os.close(writing)
    faults: dict[str, str] = {}
    for line in _listen(reading, pid):
        module, _, fault = line.partition("\t")
        faults[module] = fault
    os.close(reading)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return {
        module: f"ends the process ({exit_text(code)})" if fault == _BEGUN else fault
        for module, fault in faults.items()
        if fault
    }


def _try_here(modules: Sequence[str], writing: int, parent: int) -> NoReturn:
    """Import one after the other; a line says that it begins, another what it left."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for module in modules if os.getppid() == parent else ():
        before = traces()
        os.write(writing, f"{module}\t{_BEGUN}\n".encode())
        try:
            importlib.import_module(module)
            fault = traces().fault(before)
        except BaseException as error:  # noqa: BLE001 - a user's module may raise anything
            fault = f"fails: {type(error).__name__}"
        os.write(writing, f"{module}\t{fault}\n".encode())
    os._exit(0)


def _listen(reading: int, pid: int) -> list[str]:
    """Give the lines that a trial writes until its end; one that takes too long is ended."""
    text = b""
    limit = time.monotonic() + TRIAL_LIMIT_S
    while select.select([reading], [], [], max(0.0, limit - time.monotonic()))[0]:
        part = os.read(reading, 4096)
        if not part:
            break
        text += part
    else:
        os.kill(pid, signal.SIGKILL)
    return text.decode(errors="replace").splitlines()
