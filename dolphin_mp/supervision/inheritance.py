"""PURE: what a dead parent's board says of a process becomes events for the supervisor of the next one.

What was answered to an operator outlives the parent: one stopped on request stays stopped, what is done or
failed stays so. What was under way is forgotten: one that was being stopped or restarted is wanted up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING

from dolphin_mp.plan import ComponentPlan
from dolphin_mp.supervision.flow import Ebb, flow_of, members_of
from dolphin_mp.supervision.vocabulary import ON_REQUEST, Adopted, Exited, Past, Remembered, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dolphin_mp.plan import Plan

TERMINATED = 143  # what a component that SIGTERM ends leaves with
_GOING = frozenset({"stopping", "stopped", "failed"})
_STAYS = {"done": State.DONE, "failed": State.FAILED, "backoff": State.BACKOFF}
_UP = frozenset({"starting", "ready"})


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
        end = Exited(process, past.incarnation, word if code is None else code, why)
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


# What only the supervisor knows of: a process that runs by another word on these runs rightly.
_POLICY = frozenset(
    {
        "after",
        "restart",
        "backoff",
        "max_restarts",
        "within_s",
        "on_failed",
        "ready_within_s",
        "stop_within_s",
        "code",  # an operator's reload or restart brings in a new file
    }
)


def differing(old: Plan, new: Plan) -> frozenset[str]:
    """Give the components of the old plan that the new one leaves out or has run otherwise.

    With them who reads a channel that is replaced or shares a process with others than before, and all if
    processes are to see their parent's death in another way.
    """
    after = {component.name: component for component in new.components}
    if old.orphan != new.orphan:
        return frozenset(component.name for component in old.components)
    names = [f.name for f in fields(ComponentPlan) if f.name not in _POLICY]
    gone = {c.name for c in old.components if c.name not in after or _differ(c, after[c.name], names)}
    outputs = {o.channel: o for c in new.components for o in c.outputs}
    replaced = {
        o.channel
        for c in old.components
        for o in c.outputs
        if o.channel not in outputs or _plain(o) != _plain(outputs[o.channel])
    }
    companions = _companions(new)
    return frozenset(
        c.name
        for process, members in members_of(old).items()
        for c in members
        if c.name in gone
        or any(i.channel in replaced for i in c.inputs)
        or companions.get(process) != {m.name for m in members}
    )


def _companions(plan: Plan) -> dict[str, set[str]]:
    return {process: {m.name for m in members} for process, members in members_of(plan).items()}


def _differ(old: object, new: object, names: Iterable[str]) -> bool:
    if old == new:
        return False
    return any(_plain(getattr(old, name)) != _plain(getattr(new, name)) for name in names)


def _plain(value: object) -> object:
    """Make alike what is told apart only because it went through JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value
