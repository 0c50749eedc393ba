"""A spare goes once through a component's whole life before it parks.

After a fork the first write to each page of memory copies it, the first call of each function finds it cold.
A rehearsal pays for that before anybody waits: an assignment as it will come, a board, a channel and a
component, all of them nameless and the process' own; nobody else sees them, and nothing of them is left.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import resource
import sys
import threading
from typing import TYPE_CHECKING

from dolphin_mp.component import Component, Done
from dolphin_mp.hang.stacks import STACKS_SIGNAL
from dolphin_mp.hang.timer import create_timer
from dolphin_mp.ipc import Board, Channel, board
from dolphin_mp.ipc.layout import describe_dtype
from dolphin_mp.ipc.segment import Segment, new_header
from dolphin_mp.logs.stream import take_streams
from dolphin_mp.paths import runtime_folder
from dolphin_mp.plan import ComponentPlan
from dolphin_mp.process.assignment import Assignment
from dolphin_mp.process.home import Home
from dolphin_mp.process.notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "spare"


class Rehearsed(Component):
    """Does with a channel and a thread what a component and its process do."""

    def setup(self) -> None:
        """Go through it, and be done."""
        import numpy as np

        dtype = np.dtype([("time", "i8"), ("value", "f8")])
        header = new_header(describe_dtype(dtype), (), dtype.itemsize, 4)
        with Channel(Segment.nameless(NAME, header)) as channel:
            channel.claim()
            channel.publish(time=1, value=1.0)
            channel.latest()
        raise Done


def rehearse(system: str, carry_out: Callable[..., int]) -> None:
    """Go through a component's life; the process is a spare of that system afterwards.

    Args:
        system: its name, for the process' title.
        carry_out: what makes a process the components of an assignment.
    """
    memory = os.memfd_create("dolphin-mp-rehearsal", os.MFD_CLOEXEC)
    os.ftruncate(memory, board.SIZE)
    folder = f"{runtime_folder(system)}/{NAME}.{os.getpid()}"  # it goes with that at the latest
    _sweep(runtime_folder(system))
    os.mkdir(folder, 0o700)  # noqa: PTH102
    try:
        os.mkfifo(f"{folder}/notify", 0o600)
        with _own_surroundings():
            assignment = _assignment(system, folder)
            notifier = Notifier(assignment.notify)
            home = Home(assignment.home(), Board(NAME, memory), notifier, take_streams())
            carry_out(assignment.to_json(at_home=True), home=home, go=create_timer)
    finally:
        _remove(folder)


@contextlib.contextmanager
def _own_surroundings() -> Iterator[None]:
    """Put back what a component's process changes of itself, and close what it has opened."""
    streams = sys.stdout, sys.stderr
    hooks = sys.excepthook, threading.excepthook
    copies = os.dup(1), os.dup(2)
    before = _descriptors()
    try:
        yield
    finally:
        for fd, copy in enumerate(copies, 1):
            os.dup2(copy, fd, inheritable=True)
            os.close(copy)
        faulthandler.disable()
        faulthandler.unregister(STACKS_SIGNAL)
        sys.stdout, sys.stderr = streams
        sys.excepthook, threading.excepthook = hooks
        for fd in _descriptors() - before:
            os.close(fd)


def _sweep(parent: str) -> None:
    """Remove what spares have left that were killed in their rehearsal."""
    for name in os.listdir(parent):  # noqa: PTH208
        pid = name.removeprefix(f"{NAME}.")
        if pid != name and not os.path.exists(f"/proc/{pid}"):  # noqa: PTH110
            _remove(f"{parent}/{name}")


def _remove(folder: str) -> None:
    with contextlib.suppress(OSError):
        for path, _, names in os.walk(folder, topdown=False):
            for name in names:
                os.unlink(f"{path}/{name}")  # noqa: PTH108
            os.rmdir(path)  # noqa: PTH106


def _descriptors() -> set[int]:
    found = {int(name) for name in os.listdir("/proc/self/fd")}  # noqa: PTH208
    return {fd for fd in found if _is_open(fd)}  # not that of the list itself


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _assignment(system: str, folder: str) -> Assignment:
    blob = pickle.dumps(([], ("name", f"{__name__}:{Rehearsed.__name__}", pickle.dumps(None))))
    return Assignment(
        system=system,
        process=NAME,
        incarnation=1,
        orphan="run",
        parent=os.getppid(),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        environment={**os.environ, "DOLPHIN_MP_REHEARSAL": "1"},  # the next one takes that out again
        cwd=os.getcwd(),  # noqa: PTH109
        notify=f"{folder}/notify",
        logs=folder,
        members=(ComponentPlan(NAME, "", NAME, blob),),
    )
