"""Spares that are prepared to succeed a process that is dying, while the kernel still takes its memory down.

Whether one is needed only the death tells, by its cause: until then an heir has left no trace, and one that
is not needed is let go.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dolphin_mp.parent.spares import Spare, Spares
    from dolphin_mp.process.assignment import Assignment


class Heirs:
    """At most one heir a process.

    Args:
        spares: where they come from.
    """

    def __init__(self, spares: Spares) -> None:
        self._spares = spares
        self._heirs: dict[str, tuple[Spare, Assignment]] = {}

    def prepare(self, assignment: Assignment) -> int:
        """Have a spare prepare for an assignment; gives its pid, 0 if there is none."""
        self.dismiss(assignment.process)
        spare = self._spares.take(b"prepare", assignment.to_json(at_home=True))
        if spare is None:
            return 0
        self._heirs[assignment.process] = spare, assignment
        return spare.pid

    def take(self, assignment: Assignment, timer: int) -> Spare | None:
        """Give the process that carries the assignment out from now on; None if none was prepared for it."""
        spare, prepared = self._heirs.get(assignment.process, (None, None))
        if spare is None or prepared != assignment:
            return None
        try:
            signal.pidfd_send_signal(spare.pidfd, signal.SIGCONT)  # whoever has stopped it meant no component
            spare.line.say(b"go", timer)
        except OSError:  # it is dead
            return None
        del self._heirs[assignment.process]
        return spare

    def dismiss(self, process: str) -> None:
        """Let go of an heir that is not needed: it ends, and is reaped with the strangers."""
        spare, _ = self._heirs.pop(process, (None, None))
        if spare is not None:
            spare.line.close()
            os.close(spare.pidfd)

    def close(self) -> None:
        """Let go of all."""
        for process in list(self._heirs):
            self.dismiss(process)
