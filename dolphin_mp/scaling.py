"""A plan with another number of instances of one pool: pure, from the plan alone, without any user's code.

Instances of a pool are alike, for their outputs are functions of options that they share: a new one is a copy
of the first under its own name. Who reads the whole pool reads the new ones too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from dolphin_mp.plan import ComponentPlan, InputPlan, Plan

MOST_INSTANCES = 1024  # a deal's entries


class ScaleError(Exception):
    """The pool can't have so many instances; says why in a line."""


def pools_of(plan: Plan) -> tuple[str, ...]:
    """Give the names of a plan's pools."""
    return tuple(dict.fromkeys(component.pool for component in plan.components if component.pool))


def instances_of(plan: Plan, pool: str) -> list[ComponentPlan]:
    """Give a pool's instances, in the plan's order."""
    return [component for component in plan.components if component.pool == pool]


def scaled(plan: Plan, pool: str, count: int) -> Plan:
    """Give the plan with so many instances of a pool: new ones behind the last, the highest numbers go.

    Raises:
        ScaleError: no such pool, one that follows keys, or a number that can't be.
    """
    present = instances_of(plan, pool)
    if not present:
        there = ", ".join(pools_of(plan)) or "none"
        raise ScaleError(f"no pool {pool!r}; pools: {there}")
    if present[0].keyed:
        text = "its instances are those of for_each: change the configuration and reload"
        raise ScaleError(f"{pool} can't be scaled: {text}")
    if not 1 <= count <= MOST_INSTANCES:
        raise ScaleError(f"{pool} can't have {count} instances: 1 to {MOST_INSTANCES}")
    names = [f"{pool}@{number}" for number in range(count)]
    known = {component.name for component in present}
    gone = known - set(names)
    _check_unread(plan, pool, gone)
    new = [_copy(present[0], name) for name in names if name not in known]
    components = []
    for component in plan.components:
        if component.name not in gone:
            components.append(component)
        if component is present[-1]:
            components += new
    return replace(plan, components=tuple(_rewired(component, pool, names) for component in components))


def _check_unread(plan: Plan, pool: str, gone: Collection[str]) -> None:
    """Raise ScaleError if somebody reads one of these by its own name."""
    for component in plan.components:
        for item in component.inputs:
            if not item.many and _writer(item) in gone and component.name not in gone:
                raise ScaleError(f"{pool} can't be scaled: {component.name} reads {item.channel}")


def _writer(item: InputPlan) -> str:
    return item.channel.partition(".")[0]


def _copy(template: ComponentPlan, name: str) -> ComponentPlan:
    outputs = tuple(replace(o, channel=f"{name}.{o.channel.partition('.')[2]}") for o in template.outputs)
    process = name if template.process == template.name else template.process
    return replace(template, name=name, process=process, outputs=outputs)


def _rewired(component: ComponentPlan, pool: str, names: list[str]) -> ComponentPlan:
    """Have a component read all instances where it reads the whole pool, and wait for them likewise."""
    of_pool = [name for name in component.after if name.startswith(f"{pool}@")]
    after = tuple(name for name in component.after if name not in of_pool)
    if of_pool:
        whole = any(item.many and _writer(item) in of_pool for item in component.inputs)
        after += tuple(names) if whole else tuple(name for name in of_pool if name in names)
    return replace(component, inputs=tuple(_inputs(component, pool, names)), after=after)


def _inputs(component: ComponentPlan, pool: str, names: list[str]) -> Iterator[InputPlan]:
    done = set()
    for item in component.inputs:
        if not item.many or not item.channel.startswith(f"{pool}@"):
            yield item
        elif item.attribute not in done:
            done.add(item.attribute)
            output = item.channel.partition(".")[2]
            yield from (replace(item, channel=f"{name}.{output}") for name in names)
