"""PURE, the parent's part: the timer has fired; is the process stuck, or is the alarm false?

The timer only wakes the parent; what decides is what the process has written on the board since. A parent
that was itself stopped or whose machine was suspended grants a period of grace first: the process may have
been so too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from dolphin_mp.hang.arming import PULSE_NS, Clock

if TYPE_CHECKING:
    from collections.abc import Sequence

_SLEPT_NS = 10_000_000  # chosen: the two clocks are read one after the other, not at one instant
_ON_TIME = 1  # expirations, a second apart, until a parent that is not held up has read them


class Sight(NamedTuple):
    """What the board says of one component; all times CLOCK_BOOTTIME in ns, 0 for never.

    Attributes: name; active (its word is that it is ready); begun_ns of the step in progress; alive_ns (its
    last step's end, or beat); pulse_ns (its process' last pulse); hang_after_ns.
    """

    name: str
    active: bool
    begun_ns: int
    alive_ns: int
    pulse_ns: int
    hang_after_ns: int


class Hung(NamedTuple):
    """It is stuck; the text says since when."""

    reason: str


class Again(NamedTuple):
    """It is not, or not yet: look again at that time of CLOCK_MONOTONIC, unless it puts that off itself."""

    due_ns: int


@dataclass(frozen=True, slots=True)
class Grace:
    """Until when nobody is called hung, and how far the clocks were apart when that was last looked at."""

    until_ns: int = 0
    slept_ns: int | None = None


def judge(now: Clock, fired: int, sights: Sequence[Sight], grace: Grace) -> tuple[Hung | Again | None, Grace]:
    """Say what a timer that has fired means; None if there is nothing to watch.

    Args:
        now: on both clocks.
        fired: how often it did until it was read, see `timer.fired`.
        sights: the process' members.
        grace: what the last call gave; one for all processes of a parent, for it was held up for all of them.
    """
    active = [sight for sight in sights if sight.active]
    apart_ns = now.boottime_ns - now.monotonic_ns
    slept = grace.slept_ns is not None and apart_ns - grace.slept_ns > _SLEPT_NS
    until_ns = grace.until_ns
    if fired > _ON_TIME or slept:
        longest_ns = max((sight.hang_after_ns for sight in active), default=0)
        until_ns = max(until_ns, now.monotonic_ns + PULSE_NS + longest_ns)
    grace = Grace(until_ns, apart_ns)
    if not active:
        return None, grace
    found = [_of(now, sight) for sight in active]
    hung = next((verdict for verdict in found if isinstance(verdict, Hung)), None)
    if hung is not None and now.monotonic_ns >= until_ns:
        return hung, grace
    if hung is not None:
        return Again(until_ns), grace
    return min((verdict for verdict in found if isinstance(verdict, Again)), key=lambda v: v.due_ns), grace


def _of(now: Clock, sight: Sight) -> Hung | Again:
    if sight.begun_ns:
        since_ns, what = max(sight.begun_ns, sight.alive_ns), "step begun"
        if sight.alive_ns > sight.begun_ns:
            what = "step begun and last beat"
        limit_ns = sight.hang_after_ns
    else:  # between steps its pulse may be a second old
        since_ns, what = max(sight.pulse_ns, sight.alive_ns), "last sign of life"
        limit_ns = sight.hang_after_ns + PULSE_NS
    age_ns = now.boottime_ns - since_ns
    if age_ns < limit_ns:
        return Again(now.monotonic_ns + limit_ns - age_ns)
    return Hung(f"hung: {what} {age_ns * 1e-9:.1f} s ago")
