"""What a process has of its system before it is any of its components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from dolphin_mp.ipc import Board
from dolphin_mp.logs.stream import Voice, take_streams
from dolphin_mp.paths import board_name
from dolphin_mp.process.assignment import HOME
from dolphin_mp.process.notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Mapping


class Home(NamedTuple):
    """The system's board and the way to its parent, open; streams and loggers that are still to be connected.

    Attributes: told (the assignment's fields that are the same for all of the system, see `assignment.HOME`);
    board; notifier; voice.
    """

    told: Mapping[str, Any]
    board: Board
    notifier: Notifier
    voice: Voice

    @classmethod
    def enter(cls, data: Mapping[str, Any], board: Board | None = None) -> Home:
        """Open them, the board too if that was not done; raises ChannelError where there is none."""
        told = {name: data[name] for name in HOME}
        board = board or Board.attach(board_name(told["system"]))
        return cls(told, board, Notifier(told["notify"]), take_streams())
