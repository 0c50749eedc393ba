"""Signals as something to read: they wake the loop, and are heeded there."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.parent.poller import Poller

HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)


class Signals:
    """The signals that a parent heeds, from now on; SIGHUP stays ignored under nohup(1).

    Args:
        poller: tells when some have come.
        heed: takes the number of each, once however often it has come meanwhile.
    """

    def __init__(self, poller: Poller, heed: Callable[[int], None]) -> None:
        self._heed = heed
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        for number in HEEDED:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: None)
        poller.add(self._ours.fileno(), self._came)

    def _came(self) -> None:
        for number in set(self._ours.recv(4096)):
            self._heed(number)

    def close(self) -> None:
        """Be woken no more."""
        signal.set_wakeup_fd(-1)
        self._ours.close()
        self._theirs.close()
