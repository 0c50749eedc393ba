"""What a process is told when it becomes part of a system: made of its plan and of where the system lives."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dolphin_mp.process.assignment import Assignment
from dolphin_mp.supervision.vocabulary import Spawn

if TYPE_CHECKING:
    from dolphin_mp.parent.roster import Roster


@dataclass(frozen=True)
class Surroundings:
    """What children go back to after the fork: the launcher's environment, folder and descriptor limit."""

    environment: dict[str, str]
    cwd: str
    open_files: int


class Assigner:
    """Makes assignments.

    Args:
        roster: who belongs to the system.
        surroundings: of the launch.
        folder: the system's runtime folder.
        logs: the folder of the pipes for what is said.
    """

    def __init__(self, roster: Roster, surroundings: Surroundings, folder: str, logs: str) -> None:
        self._roster = roster
        self._surroundings = surroundings
        self._notify = f"{folder}/notify"
        self._logs = logs

    def assignment(self, spawn: Spawn) -> Assignment:
        """Give what the process of a start is told."""
        roster = self._roster
        return Assignment(
            roster.plan.name,
            spawn.process,
            spawn.incarnation,
            roster.plan.orphan,
            os.getpid(),
            self._surroundings.open_files,
            self._surroundings.environment,
            self._surroundings.cwd,
            self._notify,
            self._logs,
            tuple(roster.parts_of(spawn.members)),
            roster.board.launched_ns,
            tuple(map(roster.rows.__getitem__, spawn.members)),
        )

    def home(self) -> bytes:
        """Give what a spare is told when it parks, as JSON: the same for all processes."""
        return json.dumps(self.assignment(Spawn("", 0, ())).home()).encode()
