"""PURE: when the next step of a component with `every` is due."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Beat:
    """A grid of beats that never drifts: each is a whole number of periods after the first.

    A beat that comes less than a period late is still done; of several that passed meanwhile only the last
    is, and the others are counted in `missed`.
    """

    period_ns: int
    due_ns: int
    missed: int = 0

    def take(self, now_ns: int) -> bool:
        """Tell whether a beat is due by now; if so the next one becomes due."""
        if now_ns < self.due_ns:
            return False
        passed = (now_ns - self.due_ns) // self.period_ns
        self.missed += passed
        self.due_ns += (passed + 1) * self.period_ns
        return True
