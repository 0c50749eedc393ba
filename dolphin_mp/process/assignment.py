"""What a parked process is told to become, as JSON in an inherited memory file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from dolphin_mp.plan import ComponentPlan, component_from_data, component_to_json


@dataclass(frozen=True, slots=True)
class Assignment:
    """A process' part in its system.

    Attributes: system; process; incarnation; orphan ("run" or "stop" when the parent dies); parent (its pid);
    open_files (the soft limit to go back to); environment; cwd; members (what runs in it, a thread each if
    several); notify (the path of the parent's FIFO); logs (the folder of the pipes for what is said, empty
    where there are none); launched_ns (when that parent took the board: one that was followed by another is
    not obeyed any more; 0 for none); rows (of the members on the board, where they are known).
    """

    system: str
    process: str
    incarnation: int
    orphan: str
    parent: int
    open_files: int
    environment: dict[str, str]
    cwd: str
    notify: str
    logs: str
    members: tuple[ComponentPlan, ...]
    launched_ns: int = 0
    rows: tuple[int, ...] = ()

    def to_json(self) -> bytes:
        """Give the assignment as JSON text."""
        data = {name: getattr(self, name) for name in self.__slots__ if name != "members"}
        members = ", ".join(map(_text_of, self.members))
        return f'{json.dumps(data)[:-1]}, "members": [{members}]}}'.encode()

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Assignment:
        """Rebuild an assignment from decoded JSON."""
        members = tuple(component_from_data(item) for item in data.pop("members"))
        return cls(**data, members=members)


MOST_TEXTS = 4096  # as many as a system can have components
_texts: dict[int, tuple[ComponentPlan, str]] = {}  # by identity: a plan never changes, and holds lists


def _text_of(plan: ComponentPlan) -> str:
    """Give a component's plan as JSON text, kept for its next start."""
    known = _texts.get(id(plan))
    if known is not None and known[0] is plan:
        return known[1]
    if len(_texts) >= MOST_TEXTS:
        _texts.clear()
    text = component_to_json(plan).decode()
    _texts[id(plan)] = plan, text
    return text
