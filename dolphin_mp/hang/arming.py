"""PURE, the child's part: until when the parent may sleep before it looks whether this process is stuck.

The pulse asks each second. While a step is in progress the answer is its begin (or its last beat) plus
``hang_after``. Else it is the next pulse plus ``hang_after``, for a step on an input can begin at any moment;
or the next step by time plus ``hang_after``, if that is further. A process that only waits thus never lets
the timer fire; one that can't run any more, whatever the reason, does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

PULSE_NS = 1_000_000_000


class Clock(NamedTuple):
    """One instant on both clocks: CLOCK_MONOTONIC stands still in suspend, CLOCK_BOOTTIME does not."""

    monotonic_ns: int
    boottime_ns: int


class Member(NamedTuple):
    """What a component of this process is at.

    Attributes: name; active (it is ready, so its steps count); begun_ns of the present step, 0 for none, and
    alive_ns of its last sign of life, both CLOCK_BOOTTIME; due_ns of the next step by time on
    CLOCK_MONOTONIC, -1 for none; hang_after_ns.
    """

    name: str
    active: bool
    begun_ns: int
    alive_ns: int
    due_ns: int
    hang_after_ns: int


@dataclass
class Arming:
    """What has to be remembered from pulse to pulse: where on the monotonic clock each step began.

    The board tells a step's begin on CLOCK_BOOTTIME. A suspend meanwhile does not make a step older: a begin
    that is seen for the first time lies after the last pulse, however long ago it seems.
    """

    _last: Clock | None = None
    _begins: dict[str, tuple[int, int]] = field(default_factory=dict)

    def deadline(self, now: Clock, members: Iterable[Member]) -> int | None:
        """Give when the timer is to fire, on CLOCK_MONOTONIC; None for never."""
        deadlines = [self._of(now, member) for member in members if member.active]
        self._last = now
        return min(deadlines, default=None)

    def _of(self, now: Clock, member: Member) -> int:
        if not member.begun_ns:
            self._begins.pop(member.name, None)
            return max(member.due_ns, now.monotonic_ns + PULSE_NS) + member.hang_after_ns
        since_ns = max(member.begun_ns, member.alive_ns)  # a beat in the midst of a step is a sign of life
        known = self._begins.get(member.name)
        if known is None or known[0] != since_ns:
            known = since_ns, self._on_monotonic(now, since_ns)
            self._begins[member.name] = known
        return known[1] + member.hang_after_ns

    def _on_monotonic(self, now: Clock, since_ns: int) -> int:
        began_ns = now.monotonic_ns - (now.boottime_ns - since_ns)
        return began_ns if self._last is None else max(began_ns, self._last.monotonic_ns)
