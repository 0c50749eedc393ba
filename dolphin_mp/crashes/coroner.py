"""The parent's part: after a death, gather what the next incarnation is about to overwrite."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from dolphin_mp.crashes.death import Death, facts_of, is_crash
from dolphin_mp.crashes.last_words import Words, path_of, take, unread
from dolphin_mp.crashes.memory import OomWatch
from dolphin_mp.crashes.tail import MOST_BYTES as MOST_BYTES_OF_ONE
from dolphin_mp.crashes.tail import read_tail
from dolphin_mp.ipc import _core
from dolphin_mp.paths import segment_name
from dolphin_mp.supervision.flow import members_of
from dolphin_mp.supervision.policy import exit_text
from dolphin_mp.supervision.vocabulary import State

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from dolphin_mp.ipc import Board
    from dolphin_mp.ipc.board import Row
    from dolphin_mp.plan import ComponentPlan, Plan
    from dolphin_mp.supervision.vocabulary import ComponentStatus, Exited

MOST_BYTES = 8 << 20  # of records of one process, all its channels together


class Finding(NamedTuple):
    """What is to be kept of a crash: facts that refer to blobs of bytes, see `dolphin_mp.crashes.parcel`."""

    process: str
    facts: dict[str, Any]
    blobs: list[bytes]


class Plight(NamedTuple):
    """What a process in trouble was at: its rows of the board, and what the kernel said of its threads."""

    rows: list[Row]
    kernel_view: str


class Coroner:
    """Examines deaths.

    Args:
        plan: the system.
        board: what the processes said of themselves.
        folder: the system's runtime folder.
    """

    def __init__(self, plan: Plan, board: Board, folder: str) -> None:
        self._plan = plan
        self._board = board
        self._folder = folder
        self._oom = OomWatch()
        self._plights: dict[tuple[str, int], Plight] = {}

    def take_plan(self, plan: Plan) -> None:
        """Know another plan of the system."""
        self._plan = plan

    def note_plight(
        self, process: str, incarnation: int, members: Sequence[ComponentPlan], kernel_view: str
    ) -> None:
        """Keep until its death what a process in trouble is at: asked for its stacks, it may get unstuck."""
        self._plights[process, incarnation] = Plight(self._rows(members), kernel_view)

    def examine(
        self,
        event: Exited,
        members: Sequence[ComponentPlan],
        seen: Mapping[str, ComponentStatus],
        *,
        spawned_ns: int,
        died_ns: int,
        forced: bool = False,
    ) -> Finding | None:
        """Take what a dead process has left; gives what is to be kept of it if it crashed.

        Args:
            event: the death. It may be handled before: a successor needs longer to come up than this does.
            members: the components that were in it.
            seen: the rows as they were before the death was handled.
            spawned_ns: when it was born, CLOCK_BOOTTIME.
            died_ns: when it died.
            forced: everything is being killed, because somebody lost patience.
        """
        words = take(path_of(self._folder, event.process, event.incarnation))
        plight = self._plights.pop((event.process, event.incarnation), None)
        rows = [seen[member.name] for member in members]
        if not is_crash((row.state for row in rows), event.code, forced=forced):
            return None
        death = Death(
            system=self._plan.name,
            process=event.process,
            members=tuple(members),
            pid=max(row.pid or 0 for row in rows),
            incarnation=event.incarnation,
            restarts=rows[0].restarts,
            code=event.code,
            reason=_reason(event, rows),
            spawned_ns=spawned_ns,
            died_ns=died_ns,
            died_at=time.time() - (_core.boottime_ns() - died_ns) * 1e-9,
            oom_kills=self._oom.since() if event.code == -signal.SIGKILL else None,
        )
        if plight is None:
            return self._finding(death, words, self._rows(members))
        view = f"## the kernel's view\n{plight.kernel_view}"
        stacks = f"{words.stacks}\n{view}" if words.stacks else view
        return self._finding(death, words._replace(stacks=stacks), plight.rows)

    def examine_unread(self, spared: Container[tuple[str, int]] = ()) -> list[Finding]:
        """Give what is to be kept of those that said something and died while no parent lived.

        To be called before anything is started.

        Args:
            spared: process and incarnation of those that live, or are examined apart.
        """
        members = members_of(self._plan)
        found = []
        for process, incarnation, said_at in unread(self._folder):
            if (process, incarnation) in spared:
                continue
            words = take(path_of(self._folder, process, incarnation))
            if process in members and any(words):
                died_ns = _core.boottime_ns() - int((time.time() - said_at) * 1e9)
                death = Death(
                    system=self._plan.name,
                    process=process,
                    members=tuple(members[process]),
                    pid=0,
                    incarnation=incarnation,
                    restarts=0,
                    code=None,
                    reason="died while no parent lived",
                    spawned_ns=died_ns,
                    died_ns=died_ns,
                    died_at=said_at,
                )
                found.append(self._finding(death, words, self._rows(death.members)))
        return found

    def _rows(self, members: Sequence[ComponentPlan]) -> list[Row]:
        return [self._board.read(self._board.add(member.name)) for member in members]

    def _finding(self, death: Death, words: Words, rows: Sequence[Row]) -> Finding:
        channels, blobs = self._tails(death)
        facts = facts_of(death, rows) | {
            "source": self._plan.source,
            "folder": self._plan.folder,
            "sys_path": list(self._plan.sys_path),
            "traceback": words.traceback,
            "stacks": words.stacks,
            "channels": channels,
        }
        return Finding(death.process, facts, blobs)

    def _tails(self, death: Death) -> tuple[dict[str, Any], list[bytes]]:
        channels: dict[str, Any] = {}
        blobs: list[bytes] = []
        left = MOST_BYTES
        for output in (output for member in death.members for output in member.outputs):
            name = segment_name(death.system, output.channel)
            tail = read_tail(name, death.died_ns, most_bytes=min(left, MOST_BYTES_OF_ONE))
            if tail is not None:
                channels[output.channel] = tail.facts(len(blobs))
                blobs += [record.data for record in tail.records]
                left -= len(tail.records) * tail.record_size
        return channels, blobs


def _reason(event: Exited, rows: Sequence[ComponentStatus]) -> str:
    """Say why it died: what the supervisor had against it, and how it ended."""
    against = next((row.reason for row in rows if row.state is State.STOPPING and row.reason), "")
    return ", ".join(filter(None, (against, exit_text(event.code, event.reason))))
