"""Who reads whom, when each component steps, and in which order they start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dolphin_mp.checking.dataflow import Edge, Order, order_components
from dolphin_mp.checking.declarations import DeclarationFault, UnknownRecord, check_attribute, resolve_record
from dolphin_mp.checking.pools import fill_in
from dolphin_mp.checking.schedule import check_schedule
from dolphin_mp.duration import parse_duration
from dolphin_mp.faults import suggest
from dolphin_mp.plan import InputPlan, SchedulePlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dolphin_mp.checking.candidate import Candidate
    from dolphin_mp.component import Input
    from dolphin_mp.faults import Faults


@dataclass(frozen=True, slots=True)
class Trigger:
    """When a component steps; `on` names its inputs."""

    every_s: float | None = None
    on: tuple[str, ...] = ()
    schedule: SchedulePlan | None = None


def check_inputs(
    candidate: Candidate, candidates: Mapping[str, Candidate], faults: Faults
) -> tuple[InputPlan, ...]:
    """Give the inputs of a component, with the configuration's channels in place of its class's."""
    if candidate.component_class is None or candidate.is_faulty_pool:
        return ()
    declared = candidate.component_class.inputs()
    chosen = candidate.settings.inputs
    for attribute in chosen.keys() - declared.keys():
        name = candidate.component_class.__name__
        place = f"{candidate.place}.inputs.{attribute}"
        faults.add(place, f"{name} has no such input" + suggest(attribute, declared, "its inputs"))
    plans: list[InputPlan] = []
    for attribute, item in declared.items():
        place = f"{candidate.title}.{attribute}"
        if attribute in chosen:
            place = f"{candidate.place}.inputs.{attribute}"
        channel = chosen.get(attribute, item.channel)
        if candidate.settings.for_each is not None:
            channel = fill_in(channel, candidate.key)
        try:
            check_attribute(attribute)
            plans += _plans_of(attribute, item, channel, candidate, candidates)
        except DeclarationFault as fault:
            faults.add(place, str(fault))
        except UnknownRecord:
            pass
    shared = [item.attribute for item in plans if item.share]
    if len(shared) > 1:
        faults.add(
            candidate.title, f"inputs {', '.join(shared)} have share=True: a step has one dealt record"
        )
    return tuple(plans)


def _plans_of(
    attribute: str, declared: Input, channel: Any, reader: Candidate, candidates: Mapping[str, Candidate]
) -> list[InputPlan]:
    """Give an input's plan, of one that reads a whole pool a plan for each of the instances' channels."""
    stale_after_s = _stale_after(declared)
    pool, star, output = str(channel).partition("@*.")
    names = [candidate.name for candidate in candidates.values() if star and candidate.pool == pool]
    if star and pool in candidates and candidates[pool].is_faulty_pool:
        raise UnknownRecord
    if star and not names:
        there = f'"{pool}" is no pool' if pool in candidates else f'no pool is named "{pool}"'
        raise DeclarationFault(f'reads "{channel}", but {there}')
    if star and declared.share:
        raise DeclarationFault(f'deals the records of one channel (share=True), but reads "{channel}"')
    channels = [f"{name}.{output}" for name in names] if star else [channel]
    for each in channels:
        _check_channel(each, candidates)
        _check_record(declared, each, reader, candidates)
    if star:
        _check_alike(channels, candidates)
    kind = (stale_after_s, declared.required, declared.share, bool(star))
    return [InputPlan(attribute, each, *kind) for each in channels]


def _check_alike(channels: Sequence[str], candidates: Mapping[str, Candidate]) -> None:
    """Raise DeclarationFault unless a pool's channels have one form: who reads them all goes by it."""
    outputs = [(name, candidates[name.partition(".")[0]].outputs.get(name)) for name in channels]
    known = [(name, output.dtype, output.plan.shape) for name, output in outputs if output]
    for name, *form in known[1:]:
        if form != [*known[0][1:]]:
            raise DeclarationFault(f"{known[0][0]} and {name} differ in dtype or shape: read them one by one")


def _stale_after(declared: Input) -> float | None:
    if declared.stale_after is None:
        return None
    try:
        return parse_duration(declared.stale_after)
    except ValueError as error:
        raise DeclarationFault(f"stale_after: {error}") from None


def _check_channel(channel: Any, candidates: Mapping[str, Candidate]) -> None:
    component, dot, output = str(channel).partition(".")
    if not isinstance(channel, str) or not dot or not output:
        raise DeclarationFault(f'{channel!r} is no channel: write "component.output"')
    producer = candidates.get(component)
    if producer is None:
        instances = [candidate.name for candidate in candidates.values() if candidate.pool == component]
        if instances:
            which = (
                f'write "{component}@*.{output}" for all of its instances, or one: {", ".join(instances[:4])}'
            )
            raise DeclarationFault(f'reads "{channel}", but "{component}" is a pool: {which}')
        hint = suggest(component, candidates, "components")
        raise DeclarationFault(f'reads "{channel}", but no component is named "{component}"{hint}')
    # Of a class that could not be had nothing is known: its own fault is told.
    if producer.component_class is not None and channel not in producer.outputs:
        known = [name.partition(".")[2] for name in producer.outputs]
        hint = suggest(output, known, "its outputs")
        raise DeclarationFault(f'reads "{channel}", but "{component}" has no output "{output}"{hint}')


def _check_record(
    declared: Input, channel: str, reader: Candidate, candidates: Mapping[str, Candidate]
) -> None:
    """Compare what the reader expects with what the producer writes."""
    output = candidates[channel.partition(".")[0]].outputs.get(channel)
    if output is None or (declared.dtype is None and declared.shape is None):
        return
    given = output.dtype if declared.dtype is None else declared.dtype
    dtype, shape = resolve_record(given, () if declared.shape is None else declared.shape, reader.options)
    if dtype != output.dtype:
        raise DeclarationFault(f'expects dtype {dtype}, but "{channel}" has {output.dtype}')
    # A subarray dtype says a shape by itself.
    if (declared.shape is not None or shape) and shape != output.plan.shape:
        raise DeclarationFault(f'expects shape {shape}, but "{channel}" has {output.plan.shape}')


def check_trigger(candidate: Candidate, faults: Faults) -> Trigger:
    """Give when the component steps.

    The configuration's `every`, `on` and `schedule` replace all three of the class: they are one answer.
    """
    found, settings = candidate.component_class, candidate.settings
    if found is None:
        return Trigger()
    inputs = found.inputs()
    if settings.every or settings.on or settings.schedule is not None:
        place, every, given = candidate.place, settings.every, settings.schedule
        on: Any = settings.on
    else:
        place, on, given = candidate.title, found.on, found.schedule
        every = _every(found.every, f"{place}.every", faults)
    if isinstance(on, str):
        faults.add(f"{place}.on", f'"{on}" is a text: write a list of inputs, such as ["{on}"]')
        on = ()
    for attribute in on or ():
        if attribute not in inputs:
            faults.add(
                f"{place}.on",
                f'"{attribute}" is no input of it' + suggest(str(attribute), inputs, "its inputs"),
            )
    if every is not None and given is not None:
        faults.add(f"{place}.schedule", "every and schedule say when it steps, both: keep one of them")
    schedule = None if given is None else check_schedule(given, f"{place}.schedule", faults)
    if every is None and not on and given is None:
        if not inputs and not candidate.runs_itself and found.every is None:
            text = "has neither inputs nor every, on or schedule, so it would never step"
            faults.add(candidate.place, f'{text}: write for instance every = "1s"')
        # A step is a dealt record's where there are such; who wants other steps too says so with `on`.
        on = tuple(name for name, item in inputs.items() if item.share) or tuple(inputs)
    return Trigger(every, tuple(on or ()), schedule)


def _every(value: object, place: str, faults: Faults) -> float | None:
    if value is None:
        return None
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        faults.add(place, str(error))
        return None
    if seconds <= 0:
        faults.add(place, f'"{value}" is too short: it must be more than nothing')
    return seconds


def check_order(
    candidates: Sequence[Candidate], inputs: Mapping[str, Iterable[InputPlan]], faults: Faults
) -> Order:
    """Give the start order; a cycle of required inputs is noted."""
    edges = [
        Edge(item.channel.partition(".")[0], candidate.name, item.required)
        for candidate in candidates
        for item in inputs[candidate.name]
    ]
    process_of = {candidate.name: candidate.process for candidate in candidates}
    order = order_components([candidate.name for candidate in candidates], edges, process_of)
    for cycle in order.cycles:
        flow = " -> ".join(cycle)
        faults.add("", f"a cycle of required inputs: {flow}; none of them could start: make one not required")
    for reads in order.process_cycles:
        flow = ", ".join(f"{producer} -> {reader}" for producer, reader in reads)
        names = " and ".join(f'"{process_of[producer]}"' for producer, _ in reads)
        text = f"processes {names} wait for one another by required inputs ({flow}), so that none could start"
        faults.add("", f"{text}: let these components share one process, or none")
    return order
