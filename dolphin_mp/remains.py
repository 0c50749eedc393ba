"""What is left of a system without a parent: components that live on, and files that nobody owns.

Liveness is asked of kernel locks, never of pids or files' names; a pid is signalled only after its start time
was found to be the recorded one, through a descriptor that can't come to mean another process.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import shutil
import signal
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from dolphin_mp.exits import kill_group
from dolphin_mp.ipc import Board, ChannelError, SegmentExistsError, lock
from dolphin_mp.ipc.folder import FOLDER, NAMESPACE, segments
from dolphin_mp.ipc.segment import sweep
from dolphin_mp.paths import (
    FolderError,
    base_folder,
    board_name,
    check_private,
    runtime_folder,
    segment_prefix,
)
from dolphin_mp.process.kin import end_kin, mark_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dolphin_mp.ipc.board import Row

STOP_WITHIN_S = 10.0
_BOARD = "board"


class LivingError(Exception):
    """Something of the system lives, so that nothing of it may be removed."""


class Remains(NamedTuple):
    """What a dead system left: names in /dev/shm, folders, and their bytes in memory."""

    segments: list[str]
    folders: list[str]
    nbytes: int


def living_rows(board: Board) -> list[Row]:
    """Give the rows of the components that live."""
    rows = (board.read(index) for index in range(board.used))
    return [row for row in rows if row.alive]


def describe_living(board: Board) -> list[str]:
    """Give what lives of a system, each as a name and a pid; empty if nothing does."""
    parent = [f"its parent (pid {board.parent_pid})"] if board.parent_alive else []
    return parent + [f"{row.name} (pid {row.pid})" for row in living_rows(board)]


def systems_with_remains(*, everywhere: bool = False) -> list[str]:
    """Give the prefixes of all systems of which a segment or a runtime folder is there, alive or not.

    Args:
        everywhere: those of other runtime folders of this user as well.
    """
    uid = f"{NAMESPACE}{os.geteuid()}-"
    own = segment_prefix("")[:-1]
    prefixes = {name.partition(".")[0] + "." for name in segments(uid if everywhere else own) if "." in name}
    with contextlib.suppress(FileNotFoundError):
        prefixes |= {segment_prefix(entry.name) for entry in os.scandir(base_folder()) if entry.is_dir()}
    return sorted(prefixes)


def system_of(prefix: str) -> str:
    """Give the system's name in a prefix of segment names."""
    return prefix.removeprefix(NAMESPACE).split("-", 2)[2].removesuffix(".")


def remains_of(prefix: str) -> Remains:
    """Give what is there of the system with that prefix, without a judgement whether it lives."""
    names = segments(prefix)
    nbytes = 0
    for name in names:
        with contextlib.suppress(OSError):
            nbytes += os.stat(f"{FOLDER}/{name}").st_blocks * 512  # noqa: PTH116
    folder = runtime_folder(system_of(prefix))
    is_ours = segment_prefix(system_of(prefix)) == prefix and os.path.isdir(folder)  # noqa: PTH112
    return Remains(names, [folder] if is_ours else [], nbytes)


def dead_systems(*, everywhere: bool = False) -> dict[str, Remains]:
    """Give what dead systems left, by prefix; see `systems_with_remains`."""
    dead = {}
    for prefix in systems_with_remains(everywhere=everywhere):
        if not living_of(prefix):
            found = remains_of(prefix)
            if found.segments or found.folders:
                dead[prefix] = found
    return dead


def living_of(prefix: str) -> list[str]:
    """Give what lives of the system with that prefix, each as a name and a pid; empty if nothing does."""
    try:
        board = Board.attach(prefix + _BOARD)
    except ChannelError:
        return []
    try:
        return describe_living(board)
    finally:
        board.close()


def remove_remains(prefix: str) -> Remains:
    """Remove all that a dead system left; gives what was removed.

    Raises:
        LivingError: a parent, a component or another user of its board lives; nothing was removed.
    """
    board = _take_over(prefix)
    try:
        if board is not None:
            end_descendants(board)
        found = remains_of(prefix)
        removed = [name for name in found.segments if name != prefix + _BOARD and sweep(name)]
        if board is not None:
            removed.append(board.name)
        folders = [folder for folder in found.folders if _remove_folder(folder)]
    finally:
        if board is not None:
            board.close(unlink=True)
    return Remains(removed, folders, found.nbytes)


def _take_over(prefix: str) -> Board | None:
    """Become the dead system's parent, so that no other begins meanwhile; None if there is no sound board."""
    try:
        board = Board.attach(prefix + _BOARD)
    except ChannelError:  # none, or rubbish of that name, which is swept as any segment is
        return None
    try:
        board.take_parent()
    except SegmentExistsError:
        living = describe_living(board)
        board.close()
        raise LivingError(", ".join(living)) from None
    living = [f"{row.name} (pid {row.pid})" for row in living_rows(board)]
    if living or not board.last_user():
        board.close()
        raise LivingError(", ".join(living) or "a component that waits for its inputs")
    return board


def _remove_folder(folder: str) -> bool:
    try:
        check_private(folder)
        shutil.rmtree(folder)
    except (FolderError, OSError):
        return False
    return True


def end_orphans(system: str, grace_s: float = STOP_WITHIN_S) -> list[Row]:
    """End the components of a system without a parent: asked, then told, then killed; gives who they were.

    Raises:
        SegmentMissingError: there is no such system.
        SegmentExistsError: its parent lives: ask that.
        LivingError: some can't be told from other processes, or outlived SIGKILL.
    """
    board = Board.attach(board_name(system))
    try:
        board.take_parent()
        rows = living_rows(board)
        for row in reversed(rows):  # rows stand in the order of their start: consumers are asked first
            board.doorbell(row.index).ring()
        end_processes(rows, grace_s)
        end_descendants(board)
        left = living_rows(board)
        if left:
            who = ", ".join(f"{row.name} (pid {row.pid})" for row in left)
            raise LivingError(f"{who} can't be ended")
        return rows
    finally:
        board.close()


class Named(Protocol):
    """Who is meant by a pid: the process of that start time, and its group."""

    @property
    def pid(self) -> int: ...  # noqa: D102

    @property
    def group(self) -> int: ...  # noqa: D102

    @property
    def start(self) -> int: ...  # noqa: D102


def end_processes(rows: Iterable[Named], grace_s: float, *, asked: bool = True) -> None:
    """End processes, and what is left of their groups then.

    Args:
        rows: who they are.
        grace_s: after half of it they get SIGTERM, after all of it SIGKILL.
        asked: they were asked to stop just now; else a first SIGTERM asks them.
    """
    handles = _open_processes(rows)
    try:
        if not asked:
            _terminate(handles)
        _end(handles, grace_s)
        for pidfd, row in handles.items():
            if row.group == row.pid:
                kill_group(pidfd, row.pid)
    finally:
        for pidfd in handles:
            os.close(pidfd)


def end_descendants(board: Board) -> None:
    """End what the board's dead components have left, wherever it went."""
    rows = [board.read(index) for index in range(board.used)]
    living = {row.pid for row in rows if row.alive}  # of whose members some may be done
    end_kin({mark_for(row.pid, row.start) for row in rows if row.pid and row.pid not in living})


def _open_processes(rows: Iterable[Named]) -> dict[int, Named]:
    """Give a descriptor of each process that is the one its row names."""
    handles: dict[int, Named] = {}
    for pid, row in {row.pid: row for row in rows}.items():
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            continue
        if lock.start_time(pid) == row.start:
            handles[pidfd] = row
        else:
            os.close(pidfd)
    return handles


def _terminate(pidfds: Iterable[int]) -> None:
    for pidfd in pidfds:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
            signal.pidfd_send_signal(pidfd, signal.SIGCONT)


def _end(handles: Iterable[int], grace_s: float) -> None:
    left = _wait_for_deaths(set(handles), grace_s / 2)
    _terminate(left)
    left = _wait_for_deaths(left, grace_s / 2)
    for pidfd in left:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    _wait_for_deaths(left, grace_s)


def _wait_for_deaths(pidfds: set[int], timeout_s: float) -> set[int]:
    """Wait until all are dead, at most so long; gives who is not."""
    left = set(pidfds)
    poll = select.poll()
    for pidfd in left:
        poll.register(pidfd, select.POLLIN)
    deadline = time.monotonic() + timeout_s
    while left:
        dead = poll.poll(math.ceil(max(0.0, deadline - time.monotonic()) * 1000))
        if not dead:
            break
        for pidfd, _ in dead:
            poll.unregister(pidfd)
            left.discard(pidfd)
    return left
