"""What turns one plan of a system into another: who comes, who goes, who starts anew and why, who stays.

A component is restarted when something changed that its process was told at its birth, when a channel that it
uses is replaced, or when it shares a process with one that is. What only the supervisor knows of (back-off,
limits, patience) changes under a running process. A field of `ComponentPlan` that this module does not name
counts as told at birth.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from dolphin_mp.plan import ComponentPlan, InputPlan, OutputPlan
from dolphin_mp.supervision.flow import members_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dolphin_mp.plan import Plan

    Why = dict[str, list[str]]

Item = TypeVar("Item", InputPlan, OutputPlan)
# What no process is told of, or has no use for once it runs.
POLICY = (
    "restart",
    "backoff",
    "max_restarts",
    "within_s",
    "on_failed",
    "ready_within_s",
    "stop_within_s",
    "after",
)
_SAID_APART = ("name", "process", "run", "code", "blob", "options", "outputs", "inputs")
_BIRTH = tuple(f.name for f in fields(ComponentPlan) if f.name not in {*POLICY, *_SAID_APART})


@dataclass(frozen=True, slots=True)
class Changes:
    """What lies between two plans.

    Attributes: added and removed components; restarted, with the reasons of each; retuned: kept ones and the
    policies that changed; kept, retuned or not; channels that are made, replaced (with the reason), given up;
    drained: old processes that must be down before the new plan holds, because their members or a channel
    that they use changes; bound: components restarted only because they share a process.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    restarted: Mapping[str, tuple[str, ...]]
    retuned: Mapping[str, tuple[str, ...]]
    kept: tuple[str, ...]
    made: tuple[str, ...]
    replaced: Mapping[str, str]
    given_up: tuple[str, ...]
    drained: frozenset[str]
    bound: frozenset[str]

    @property
    def is_nothing(self) -> bool:
        """Whether both plans mean the same."""
        return not (self.added or self.removed or self.restarted or self.retuned)

    def to_data(self) -> dict[str, Any]:
        """Give the changes as plain data, as the protocol has them."""
        return {
            "added": list(self.added),
            "removed": list(self.removed),
            "restarted": {name: list(why) for name, why in self.restarted.items()},
            "retuned": {name: list(what) for name, what in self.retuned.items()},
            "kept": list(self.kept),
            "channels": {
                "made": list(self.made),
                "replaced": dict(self.replaced),
                "given_up": list(self.given_up),
            },
        }


def changes_between(old: Plan, new: Plan) -> Changes:
    """Compare two plans of one system; names stand in the order of the new plan, then of the old one."""
    before, after = _by_name(old), _by_name(new)
    channels = _channels(old), _channels(new)
    replaced = _replaced(*channels)
    why: Why = {name: [] for name in after if name in before}
    for name in why:
        why[name] += _own_reasons(before[name], after[name], replaced)
        why[name] += [f"orphan becomes {new.orphan}"] if old.orphan != new.orphan else []
    bound = _share_fate(old, new, why)
    restarted = {name: tuple(reasons) for name, reasons in why.items() if reasons}
    kept = tuple(name for name, reasons in why.items() if not reasons)
    tuned = {name: _changed(before[name], after[name], POLICY) for name in kept}
    given_up = tuple(name for name in channels[0] if name not in channels[1])
    return Changes(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        restarted=restarted,
        retuned={name: what for name, what in tuned.items() if what},
        kept=kept,
        made=tuple(name for name in channels[1] if name not in channels[0]),
        replaced=replaced,
        given_up=given_up,
        drained=_drained(old, new, {*replaced, *given_up}),
        bound=bound,
    )


def _by_name(plan: Plan) -> dict[str, ComponentPlan]:
    return {component.name: component for component in plan.components}


def _channels(plan: Plan) -> dict[str, OutputPlan]:
    return {output.channel: output for component in plan.components for output in component.outputs}


def _replaced(old: Mapping[str, OutputPlan], new: Mapping[str, OutputPlan]) -> dict[str, str]:
    """Give the channels whose segment can't stay, each with what of it changes."""
    found = {}
    for name, output in new.items():
        if name in old:
            parts = [part for part in ("dtype", "shape", "keep") if _differ(old[name], output, part)]
            if parts or _differ(old[name], output, "record_size"):
                found[name] = " and ".join(parts or ["record size"])
    return found


def _differ(old: object, new: object, name: str) -> bool:
    mine, its = getattr(old, name), getattr(new, name)
    return bool(_plain(mine) != _plain(its))


def _plain(value: Any) -> Any:
    """Make alike what is told apart only because it went through JSON."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def _changed(old: ComponentPlan, new: ComponentPlan, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.removesuffix("_s") for name in names if _differ(old, new, name))


# ------------------------------------------------------------------ why a component starts anew


def _own_reasons(old: ComponentPlan, new: ComponentPlan, replaced: Mapping[str, str]) -> Iterator[str]:
    if old.process != new.process:
        yield f"moves to process {new.process}"
    if old.run != new.run:
        yield f"runs {new.run} instead of {old.run}"
    elif old.code != new.code:
        yield "its code changed"
    elif not new.code and old.blob != new.blob:  # a class that travels by value
        yield "its class or options changed"
    yield from _option_reasons(dict(old.options), dict(new.options))
    yield from (f"{name} changed" for name in _changed(old, new, _BIRTH))
    yield from _channel_reasons("output", old.outputs, new.outputs)
    yield from _channel_reasons("input", old.inputs, new.inputs)
    for verb, items in (("writes", new.outputs), ("reads", new.inputs)):
        changed = [item.channel for item in items if item.channel in replaced]
        yield from (f"{verb} {channel}, whose {replaced[channel]} changes" for channel in changed)


def _option_reasons(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    names = sorted(name for name in {**old, **new} if old.get(name) != new.get(name))
    if names:
        yield f"option{'s' * (len(names) > 1)} {', '.join(names)} changed"


def _channel_reasons(what: str, old: Iterable[Item], new: Iterable[Item]) -> Iterator[str]:
    before, after = ({_place(item): item for item in items} for items in (old, new))
    for name in {**before, **after}:
        if name not in before:
            yield f"{what} {name} is new"
        elif name not in after:
            yield f"{what} {name} is gone"
        elif before[name].channel != after[name].channel:
            yield f"{what} {name} is {after[name].channel} instead of {before[name].channel}"
        elif what == "input" and before[name] != after[name]:
            yield f"{what} {name} changed"


def _place(item: Item) -> str:
    """Give what one of a component's inputs or outputs is known by: of a whole pool's the channel as well."""
    is_many = isinstance(item, InputPlan) and item.many
    return f"{item.attribute} of {item.channel.partition('.')[0]}" if is_many else item.attribute


def _share_fate(old: Plan, new: Plan, why: Why) -> frozenset[str]:
    """Restart whoever shares a process with one that comes, goes or restarts; gives those."""
    was = {p: [m.name for m in members] for p, members in members_of(old).items()}
    causes: dict[str, list[str]] = {}
    for process, members in members_of(new).items():
        names = [m.name for m in members]
        before = was.get(process, [])
        texts = [f"{n}, which joins it" for n in names if n not in before]
        texts += [f"{n}, which leaves" for n in before if n not in names]
        texts += [f"{n}, which restarts" for n in names if n in before and why.get(n)]
        causes.update({n: texts for n in names if n in why and not why[n]})
    bound = frozenset(name for name, texts in causes.items() if texts)
    for name in bound:
        why[name].append(f"shares its process with {causes[name][0]}")
    return bound


def _drained(old: Plan, new: Plan, channels: set[str]) -> frozenset[str]:
    """Give the old processes whose members change, or of which a member uses one of the channels."""
    was, becomes = ({p: {m.name for m in ms} for p, ms in members_of(plan).items()} for plan in (old, new))
    using = {c.name for plan in (old, new) for c in plan.components if not channels.isdisjoint(_used(c))}
    return frozenset(p for p, names in was.items() if names != becomes.get(p) or not names.isdisjoint(using))


def _used(component: ComponentPlan) -> set[str]:
    return {item.channel for item in component.outputs} | {item.channel for item in component.inputs}
