"""dolphin-mp: one supervised OS process per component, numpy state shared between them at memory speed.

Importing this package costs next to nothing: each public name is imported when it is first used.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

TYPE_CHECKING = False  # typing is worth 3 ms of each command
if TYPE_CHECKING:
    from typing import Any

    from dolphin_mp.client import Client
    from dolphin_mp.component import Component, Done, Input, Output
    from dolphin_mp.ipc import Channel
    from dolphin_mp.system import System

_HOME = {
    "Channel": "dolphin_mp.ipc",
    "Client": "dolphin_mp.client",
    "Component": "dolphin_mp.component",
    "Done": "dolphin_mp.component",
    "Input": "dolphin_mp.component",
    "Output": "dolphin_mp.component",
    "System": "dolphin_mp.system",
}

__all__ = ["Channel", "Client", "Component", "Done", "Input", "Output", "System", "__version__"]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'dolphin_mp' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
