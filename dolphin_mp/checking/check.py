"""A system's settings and its components' classes in, a plan or all faults out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dolphin_mp.checking.candidate import Candidate, pickle
from dolphin_mp.checking.digest import code_digest, option_digests
from dolphin_mp.checking.notes import policy_notes
from dolphin_mp.checking.pools import draft, resolve_drafts
from dolphin_mp.checking.resources import RESOURCE_KEYS, check_resources, environment_of, resources_plan
from dolphin_mp.checking.wiring import Trigger, check_inputs, check_order, check_trigger
from dolphin_mp.loader import run_string
from dolphin_mp.plan import BackoffPlan, ComponentPlan, InputPlan, Plan, ResourcesPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dolphin_mp.checking.tables import ComponentSettings, SystemSettings
    from dolphin_mp.faults import Faults

# What a process has once, so that its members must agree; keys of a component's table.
PROCESS_KEYS = ("restart", "backoff", "max_restarts", "within", "on_failed", "stop_within", *RESOURCE_KEYS)
HANG_MARGIN_S = 5.0  # chosen: a run past its deadline is ended by its own process first


def check_system(
    settings: SystemSettings,
    classes: Mapping[str, object],
    faults: Faults,
    *,
    folder: str,
    sys_path: Sequence[str],
) -> Plan:
    """Give the plan of a system.

    Args:
        settings: the checked tables.
        classes: those components' classes that were given as such; the others are imported by their `run`.
        faults: what was found before; takes the rest.
        folder: the configuration's, or "".
        sys_path: what has to be first on the import path where components are loaded.

    Raises:
        ConfigurationError: with all faults.
    """
    drafts = {name: draft(name, table, faults) for name, table in settings.components.items()}
    policies = process_policies([one for several in drafts.values() for one in several], faults)
    resources = {process: resources_plan(chosen, folder) for process, chosen in policies.items()}
    candidates: dict[str, Candidate] = {}
    for name, several in drafts.items():
        table = settings.components[name]
        check_resources(table, f"components.{name}", folder, faults)
        with environment_of(resources[several[0].process]):
            options = settings.options.get(name)
            candidates |= resolve_drafts(several, classes.get(name), options, folder, faults)
    inputs = {name: check_inputs(candidate, candidates, faults) for name, candidate in candidates.items()}
    triggers = {name: check_trigger(candidate, faults) for name, candidate in candidates.items()}
    order = check_order(list(candidates.values()), inputs, faults)
    blobs: dict[tuple[int, int], bytes] = {}
    for candidate in candidates.values():  # most of a pool's instances are the same to the byte
        same = (id(candidate.component_class), id(candidate.options))
        candidate.blob = blobs.get(same, b"")
        if not candidate.blob:
            pickle(candidate, sys_path, faults)
            blobs[same] = candidate.blob
    faults.raise_if_any()
    plans = [
        component_plan(
            candidates[name],
            order.after[name],
            inputs[name],
            triggers[name],
            policies[candidates[name].process],
            resources[candidates[name].process],
            folder,
        )
        for name in order.names
    ]
    return Plan(
        name=settings.name,
        components=tuple(plans),
        orphan=settings.orphan,
        folder=folder,
        source=faults.source,
        sys_path=tuple(sys_path),
        modules=shared_modules(candidates.values(), resources),
        notes=policy_notes(plans),
    )


def shared_modules(
    candidates: Iterable[Candidate], resources: Mapping[str, ResourcesPlan]
) -> tuple[str, ...]:
    """Give the modules that may be imported once for all processes.

    Not those of a component that says so, nor of one with surroundings of its own, which its module may see
    when it is imported.
    """
    modules: dict[str, None] = {}
    apart = set()
    for candidate in candidates:
        modules |= dict.fromkeys(candidate.modules)
        is_apart = not candidate.settings.preload or resources[candidate.process].shapes_imports
        if candidate.component_class and is_apart:
            apart.add(candidate.component_class.__module__)
    return tuple(module for module in modules if module not in apart)


def process_policies(candidates: Iterable[Candidate], faults: Faults) -> dict[str, dict[str, Any]]:
    """Give each process its policies: what one member's table says holds for all of them."""
    policies: dict[str, dict[str, Any]] = {}
    said_by: dict[tuple[str, str], str] = {}
    for candidate in candidates:
        chosen = policies.setdefault(candidate.process, {})
        for key in PROCESS_KEYS:
            value = getattr(candidate.settings, key)
            if key not in candidate.settings.model_fields_set:
                chosen.setdefault(key, value) if (candidate.process, key) not in said_by else None
                continue
            other = said_by.setdefault((candidate.process, key), candidate.name)
            if other != candidate.name and chosen[key] != value:
                text = f'shares process "{candidate.process}" and its fate with {other}, which says otherwise'
                faults.add(f"{candidate.place}.{key}", f"{text}: write it once")
            chosen[key] = value
    return policies


def component_plan(
    candidate: Candidate,
    after: tuple[str, ...],
    inputs: tuple[InputPlan, ...],
    trigger: Trigger,
    policies: Mapping[str, Any],
    resources: ResourcesPlan,
    folder: str,
) -> ComponentPlan:
    """Give the plan of a component without faults."""
    settings: ComponentSettings = candidate.settings
    backoff = policies["backoff"]
    found = candidate.component_class
    return ComponentPlan(
        name=candidate.name,
        run=settings.run or (run_string(found) if found else ""),
        process=candidate.process,
        blob=candidate.blob,
        after=after,
        outputs=tuple(output.plan for output in candidate.outputs.values() if output),
        inputs=inputs,
        every_s=trigger.every_s,
        on=trigger.on,
        schedule=trigger.schedule,
        restart=policies["restart"],
        backoff=BackoffPlan(backoff.first, backoff.factor, backoff.max, backoff.jitter, backoff.reset_after),
        max_restarts=policies["max_restarts"],
        within_s=policies["within"],
        on_failed=policies["on_failed"],
        ready_within_s=settings.ready_within,
        stop_within_s=policies["stop_within"],
        hang_after_s=hang_after_s(settings, trigger),
        resources=resources,
        options=option_digests(candidate.options),
        code=code_digest(found, folder) if found else "",
        pool=candidate.pool,
        keyed=settings.for_each is not None,
    )


def hang_after_s(settings: ComponentSettings, trigger: Trigger) -> float:
    """Give when a step is taken for hung: unless it is said, not before its schedule's deadline."""
    deadline_s = trigger.schedule.deadline_s if trigger.schedule else None
    if deadline_s is None or "hang_after" in settings.model_fields_set:
        return settings.hang_after
    return max(settings.hang_after, deadline_s + HANG_MARGIN_S)
