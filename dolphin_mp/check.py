"""A system's settings and its components' classes in, a plan or all faults out."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dolphin_mp.component import Component
from dolphin_mp.declarations import CheckedOutput, check_outputs
from dolphin_mp.faults import Faults, one_line, suggest
from dolphin_mp.importing import ImportFault, import_component
from dolphin_mp.loader import dump_component, is_importable, run_string
from dolphin_mp.options import OptionsFault, build_options
from dolphin_mp.plan import BackoffPlan, ComponentPlan, Plan
from dolphin_mp.wiring import Wiring, check_wiring

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dolphin_mp.config import ComponentSettings, SystemSettings

# What a process has once, so that its members must agree; by settings key.
PROCESS_POLICIES = ("restart", "backoff", "max_restarts", "within", "on_failed", "stop_within")


@dataclass(slots=True)
class Candidate:
    """A component while it is being checked; what could not be made is None."""

    name: str
    settings: ComponentSettings
    component_class: type[Component] | None = None
    options: Any = None
    outputs: dict[str, CheckedOutput | None] = field(default_factory=dict)
    blob: bytes = b""

    @property
    def process(self) -> str:
        """The process it runs in."""
        return self.settings.process or self.name


def check_system(
    settings: SystemSettings,
    classes: Mapping[str, object],
    faults: Faults,
    *,
    folder: str,
    sys_path: Sequence[str],
    notes: Sequence[str] = (),
) -> Plan:
    """Give the plan of a system; what is wrong is noted in `faults`, and raised together at the end.

    Args:
        settings: the checked tables.
        classes: the classes of components that were given as such; the others are imported by their `run`.
        faults: what was found before, and takes the rest.
        folder: the configuration's, or "".
        sys_path: what has to be first on the import path where components are loaded.
        notes: lines that the user should see at launch.

    Raises:
        ConfigurationError: with all faults.
    """
    candidates = [Candidate(name, table) for name, table in settings.components.items()]
    for candidate in candidates:
        _resolve(candidate, classes, settings.options.get(candidate.name), folder, faults)
    wiring = check_wiring(candidates, faults)
    policies = _process_policies(candidates, faults)
    for candidate in candidates:
        _pickle(candidate, sys_path, faults)
    faults.raise_if_any()
    by_name = {candidate.name: candidate for candidate in candidates}
    plans = [_component_plan(by_name[name], wiring, policies[by_name[name].process]) for name in wiring.order.names]
    modules = [run.component_class.__module__ for run in candidates if is_importable(run.component_class or object)]
    return Plan(
        name=settings.name,
        components=tuple(plans),
        orphan=settings.orphan,
        folder=folder,
        source=faults.source,
        sys_path=tuple(sys_path),
        modules=tuple(dict.fromkeys(modules)),
        notes=tuple(notes),
    )


def _resolve(candidate: Candidate, classes: Mapping[str, object], options: Any, folder: str, faults: Faults) -> None:
    """Find the candidate's class, make its options and outputs."""
    place = f"components.{candidate.name}"
    try:
        if candidate.name in classes:
            found = classes[candidate.name]
            if fault := component_fault(found, _named(found)):
                raise ImportFault(fault)
            candidate.component_class = found
        elif candidate.settings.run:
            candidate.component_class = import_component(candidate.settings.run, folder)
        else:
            return
    except ImportFault as fault:
        faults.add(f"{place}.run", str(fault))
        return
    check_methods(candidate.component_class, place, faults)
    outputs = candidate.component_class.outputs()
    candidate.outputs = {f"{candidate.name}.{attribute}": None for attribute in outputs}
    try:
        candidate.options = build_options(candidate.component_class, options, place, faults)
    except OptionsFault:
        return
    candidate.outputs = check_outputs(candidate.component_class, candidate.name, candidate.options, faults)
