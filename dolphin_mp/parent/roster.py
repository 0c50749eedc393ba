"""Who belongs to a system now: of each component its plan, and its row on the board."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dolphin_mp.ipc import Board
    from dolphin_mp.ipc.board import Row
    from dolphin_mp.plan import ComponentPlan, Plan


class Roster:
    """The components of the plan that holds.

    Args:
        plan: the system; a reload brings another.
        board: where each has a row.

    Attributes: plan; board; parts (what the plan says of each component); rows (its index on the board).
    """

    def __init__(self, plan: Plan, board: Board) -> None:
        self.board = board
        self.rows: dict[str, int] = {}
        self.take_plan(plan)

    def take_plan(self, plan: Plan) -> None:
        """Go over to the plan that holds from now on."""
        self.plan = plan
        self.parts: dict[str, ComponentPlan] = {component.name: component for component in plan.components}
        self.rows.clear()  # in place: who hears the components' words looks into it too
        self.rows.update({name: self.board.add(name) for name in self.parts})

    def parts_of(self, names: Iterable[str]) -> list[ComponentPlan]:
        """Give what the plan says of some components."""
        return list(map(self.parts.__getitem__, names))

    def members_of(self, process: str) -> tuple[str, ...]:
        """Give the components that the plan puts into a process."""
        return tuple(name for name, part in self.parts.items() if part.process == process)

    def read(self, names: Iterable[str]) -> list[Row]:
        """Give what the board says of some components."""
        return [self.board.read(self.rows[name]) for name in names]
