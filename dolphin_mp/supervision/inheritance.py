"""PURE: what a dead parent's board says of a process becomes events for the supervisor of the next one.

What was answered to an operator outlives the parent: one stopped on request stays stopped, what is done or
failed stays so. What was under way is forgotten: one that was being stopped or restarted is wanted up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dolphin_mp.supervision.flow import Ebb, flow_of
from dolphin_mp.supervision.replan import changes_between
from dolphin_mp.supervision.vocabulary import ON_REQUEST, Adopted, Exited, Past, Remembered, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dolphin_mp.plan import Plan

TERMINATED = 143  # what a component that SIGTERM ends leaves with
_GOING = frozenset({"stopping", "stopped", "failed"})
_STAYS = {"done": State.DONE, "failed": State.FAILED, "backoff": State.BACKOFF}
_UP = frozenset({"starting", "ready"})
_LEAVING = frozenset({0, TERMINATED, -15})  # how a process ends that does as it is asked


@dataclass(frozen=True, slots=True)
class Trace:
    """What the board says of one component.

    Attributes: name; state, incarnation, restarts, reason (the parent's word; incarnation 0: it has said
    nothing); phase, word (the component's own, empty if they are not of that incarnation); asked (its bell is
    rung).
    """

    name: str
    state: str = ""
    incarnation: int = 0
    restarts: int = 0
    reason: str = ""
    phase: str = ""
    word: str = ""
    asked: bool = False

    @property
    def is_done(self) -> bool:
        """Whether it has ended for good, and nobody has wanted it up again since."""
        return self.state == "done" or (self.phase == "done" and self.state != "waiting")

    @property
    def should_live(self) -> bool:
        """Whether the parent's word allows for a process."""
        return self.state in {"starting", "ready", "stopping"} or self.is_done


@dataclass(frozen=True, slots=True)
class Legacy:
    """What a process' traces come to: an event before the launch, if any, and its death, for after it."""

    before: Adopted | Remembered | None = None
    deaths: tuple[Exited, ...] = ()


def legacy_of(process: str, traces: Sequence[Trace], pid: int, *, alive: bool, code: int | None) -> Legacy:
    """Say what is to be told of a process.

    Args:
        process: its name.
        traces: of its members.
        pid: of the living process, or of the last one.
        alive: whether it lives.
        code: how it ended, if that is known.
    """
    rest = [trace for trace in traces if not trace.is_done]
    past = Past(
        max(trace.incarnation for trace in traces),
        max(trace.restarts for trace in traces),
        frozenset(trace.name for trace in traces if trace.is_done),
    )
    if not past.incarnation:
        return Legacy()
    if alive:
        leaves = any(t.asked or t.state == "stopping" or t.phase in _GOING for t in rest)
        return Legacy(Adopted(process, past, pid, _ready(rest), leaves))
    if not rest:
        return Legacy(Remembered(process, past, State.DONE, traces[0].reason))
    return _legacy_of_the_dead(process, rest, past, pid, code)


def _legacy_of_the_dead(
    process: str, rest: Sequence[Trace], past: Past, pid: int, code: int | None
) -> Legacy:
    state, reason = rest[0].state, rest[0].reason
    if state in _UP and any(trace.phase for trace in rest):
        word, why = exit_word(rest)
        code = word if code is None else code
        if code in _LEAVING and any(trace.asked for trace in rest):
            # its parent died between asking it to stop and writing that down: what for nobody knows any more
            return Legacy(Remembered(process, past, State.WAITING, reason))
        end = Exited(process, past.incarnation, code, why)
        return Legacy(Adopted(process, past, pid, _ready(rest)), (end,))
    if was_stopped(state, reason):
        return Legacy(Remembered(process, past, State.STOPPED, reason))
    return Legacy(Remembered(process, past, _STAYS.get(state, State.WAITING), reason))


def was_stopped(state: str, reason: str) -> bool:
    """Tell whether an operator has stopped it, and was told so."""
    return state == "stopped" and reason.startswith(ON_REQUEST)


def _ready(traces: Iterable[Trace]) -> frozenset[str]:
    return frozenset(trace.name for trace in traces if trace.phase == "ready")


def exit_word(traces: Iterable[Trace]) -> tuple[int | None, str]:
    """Give the exit code that the last words of members speak of, None for none, and the reason."""
    words = [(trace.phase, trace.word) for trace in traces]
    for phase, word in words:
        if phase == "failed":
            number = re.fullmatch(r"exit (\d+)", word)
            return (int(number[1]), "") if number else (1, word)
    if words and all(phase in {"stopped", "done"} for phase, _ in words):
        return (TERMINATED if any(word == "terminated" for _, word in words) else 0), ""
    return None, ""


def turns(plan: Plan, going: frozenset[str]) -> Iterator[list[str]]:
    """Give the processes that are to go, in the order of the ebb: readers before whom they read from."""
    ebb = Ebb(flow_of(plan))
    turn = ebb.first()
    while turn:
        yield [process for process in turn if process in going]
        turn = tuple(dict.fromkeys(following for process in turn for following in ebb.went_down(process)))


def differing(old: Plan, new: Plan) -> frozenset[str]:
    """Give the components of the old plan that can't go on under the new one; see `changes_between`.

    That their code was edited since is no reason: whoever launches wants the system up, not another program.
    """
    old, new = _without_code(old), _without_code(new)
    if (old.components, old.orphan) == (new.components, new.orphan):
        return frozenset()
    changes = changes_between(old, new)
    return frozenset({*changes.removed, *changes.restarted})


def _without_code(plan: Plan) -> Plan:
    components = tuple(replace(c, code="by name" if c.code else "") for c in plan.components)
    return replace(plan, components=components)
