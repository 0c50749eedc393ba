"""A process that is not to outlive its parent: it stops as if asked, and nothing of its group is left."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from dolphin_mp.process.kin import end_kin, mark_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolphin_mp.ipc import _core


class Tie:
    """Watches the parent from a thread; at its death, or at once if it is dead, the process stops.

    The steps are those of a living parent: the bells, SIGTERM after half of the time, SIGKILL to the group
    after all of it.

    Args:
        parent: its pid.
        bells: of the components.
        stop_within_s: how long they may take.
        ended: rung when they have ended.
    """

    def __init__(
        self, parent: int, bells: Sequence[_core.Doorbell], stop_within_s: float, ended: _core.Doorbell
    ) -> None:
        self._bells = bells
        self._half_ns = round(stop_within_s / 2 * 1e9)
        self._ended = ended
        self._is_cut = False
        try:
            self._pidfd = os.pidfd_open(parent)
        except ProcessLookupError:
            self._pidfd = -1
        self._is_dead = os.getppid() != parent
        threading.Thread(target=self._run, name="dolphin-mp-parent", daemon=True).start()

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # for the main thread alone
        if not self._is_dead:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            poll.poll()
        self._is_cut = True
        for bell in self._bells:
            bell.ring()
        if not self._ended.wait_until(time.monotonic_ns() + self._half_ns):
            os.kill(os.getpid(), signal.SIGTERM)
            if not self._ended.wait_until(time.monotonic_ns() + self._half_ns):
                end_kin({mark_of(os.getpid())})
                os.killpg(0, signal.SIGKILL)

    def end_group(self) -> None:
        """Kill what the components have left, and this process with its group, if no parent does."""
        if self._is_cut:
            end_kin({mark_of(os.getpid())})
            sys.stdout.flush()
            sys.stderr.flush()
            os.killpg(0, signal.SIGKILL)
