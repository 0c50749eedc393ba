"""What a parked process is told: where it lives, as a spare, and what to become; as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from dolphin_mp.plan import ComponentPlan, component_from_data, component_to_json

HERE, HELD = b"here", b"held"
"""How a parked process reports; held: its line ends only when it begins to die."""
HOME_ORDER = b"home\n"
"""The first order of a process that is to be a spare; what it says follows."""


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

    def home(self) -> dict[str, Any]:
        """Give what is the same for all processes of a system: a spare is told that when it parks."""
        return {name: getattr(self, name) for name in HOME}

    def to_json(self, *, at_home: bool = False) -> bytes:
        """Give the assignment as JSON text, without what a process knows that is at home."""
        left_out = {"members", *HOME} if at_home else {"members"}
        data = {name: getattr(self, name) for name in self.__slots__ if name not in left_out}
        members = ", ".join(map(_text_of, self.members))
        return f'{json.dumps(data)[:-1]}, "members": [{members}]}}'.encode()

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Assignment:
        """Rebuild an assignment from decoded JSON and, at home, what is known there."""
        members = tuple(component_from_data(item) for item in data.pop("members"))
        return cls(**data, members=members)


HOME = ("system", "open_files", "environment", "cwd", "notify")


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
