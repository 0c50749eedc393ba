"""The plane that processes share: channels, the board, kernel locks. It knows no component and no policy."""

from __future__ import annotations

import importlib
import sys

if __name__ == "ipc":
    raise ImportError("import dolphin_mp.ipc, not ipc")
if "t" in sys.abiflags:  # a free-threaded build; sysconfig would cost each command 2 ms to say the same
    raise ImportError(
        f"dolphin-mp is not proven without a GIL: use an ordinary CPython than {sys.executable}"
    )

from dolphin_mp.ipc.errors import (
    BusyError,
    ChannelError,
    ClaimedError,
    ClosedError,
    FencedError,
    ForkedError,
    MismatchError,
    NoRecordError,
    NotClaimedError,
    OverrunError,
    ReplacedError,
    SegmentExistsError,
    SegmentFullError,
    SegmentInvalidError,
    SegmentMissingError,
    SupersededError,
)

TYPE_CHECKING = False  # typing is worth 3 ms of each command
if TYPE_CHECKING:
    from typing import Any

    from dolphin_mp.ipc._core import Record
    from dolphin_mp.ipc.board import Board
    from dolphin_mp.ipc.channel import Channel, Since, View, wait_any
    from dolphin_mp.ipc.channels import Channels
    from dolphin_mp.ipc.deal import Deal

__all__ = [
    "Board",
    "BusyError",
    "Channel",
    "ChannelError",
    "Channels",
    "ClaimedError",
    "ClosedError",
    "Deal",
    "FencedError",
    "ForkedError",
    "MismatchError",
    "NoRecordError",
    "NotClaimedError",
    "OverrunError",
    "Record",
    "ReplacedError",
    "SegmentExistsError",
    "SegmentFullError",
    "SegmentInvalidError",
    "SegmentMissingError",
    "Since",
    "SupersededError",
    "View",
    "wait_any",
]

_HOME = {
    "Board": "board",
    "Channel": "channel",
    "Channels": "channels",
    "Deal": "deal",
    "Record": "_core",
    "Since": "channel",
    "View": "channel",
    "wait_any": "channel",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'dolphin_mp.ipc' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"dolphin_mp.ipc.{home}"), name)
    globals()[name] = value
    return value
