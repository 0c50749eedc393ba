"""One component while it is being checked: its class, its options, its outputs, its bytes."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dolphin_mp.checking.declarations import UNKNOWN, check_outputs
from dolphin_mp.checking.options import OptionsFault, build_options
from dolphin_mp.component import Component
from dolphin_mp.faults import one_line
from dolphin_mp.importing import ImportFault, component_fault, import_component
from dolphin_mp.loader import dump_component, is_importable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolphin_mp.checking.declarations import CheckedOutput
    from dolphin_mp.checking.tables import ComponentSettings
    from dolphin_mp.faults import Faults


@dataclass(slots=True)
class Candidate:
    """A component that may become a plan; what could not be made is None, as is a faulty output.

    An instance of a pool has the pool's settings, its name and its key.
    """

    name: str
    settings: ComponentSettings
    component_class: type[Component] | None = None
    options: Any = None
    outputs: dict[str, CheckedOutput | None] = field(default_factory=dict)
    blob: bytes = b""
    pool: str = ""
    key: str = ""

    @property
    def title(self) -> str:
        """The name under which it is configured: its pool's, or its own."""
        return self.pool or self.name

    @property
    def is_faulty_pool(self) -> bool:
        """Whether it stands for a pool whose instances can't be named; that fault is told."""
        return not self.pool and self.settings.for_each is not None

    @property
    def place(self) -> str:
        """Its table's dotted key."""
        return f"components.{self.title}"

    @property
    def process(self) -> str:
        """The process it runs in."""
        return self.settings.process or self.name

    @property
    def runs_itself(self) -> bool:
        """Whether it has an ``async def run`` in place of steps."""
        return hasattr(self.component_class, "run")

    @property
    def modules(self) -> tuple[str, ...]:
        """What its processes import: the class's module, or what unpacks a class that travels by value."""
        found = self.component_class
        if found is None:
            return ()
        carrier = found.__module__ if is_importable(found) else "dill"
        return (carrier, "asyncio") if self.runs_itself else (carrier,)


def resolve(candidate: Candidate, given: object, options: Any, folder: str, faults: Faults) -> Candidate:
    """Find a component's class, make its options and outputs; what is wrong is noted.

    Args:
        candidate: with its name and settings alone; it is filled.
        given: its class, or None to import what the settings' `run` names.
        options: its options as they were given.
        folder: the configuration's, for suggestions.
        faults: takes what is wrong.
    """
    try:
        candidate.component_class = _find(candidate.settings, given, folder)
    except ImportFault as fault:
        faults.add(f"{candidate.place}.run", str(fault))
    found = candidate.component_class
    if found is None:
        return candidate
    for text in method_faults(found):
        faults.add(candidate.place, text)
    try:
        candidate.options = build_options(found, options, candidate.place, faults)
    except OptionsFault:
        candidate.options = UNKNOWN
    candidate.outputs = check_outputs(found, candidate.name, candidate.options, faults)
    return candidate


def pickle(candidate: Candidate, sys_path: Sequence[str], faults: Faults) -> None:
    """Make the bytes that carry the class and its options to other processes."""
    if candidate.component_class is None:
        return
    try:
        candidate.blob = dump_component(candidate.component_class, candidate.options, sys_path)
    except Exception as error:  # noqa: BLE001 - whatever an object's own pickling raises
        text = (
            f"{candidate.component_class.__name__} or something it uses can't be carried to another process"
        )
        faults.add(candidate.place, f"{text} ({one_line(error)}): make it in setup()")


def method_faults(found: type[Component]) -> list[str]:
    """Give what is wrong with the methods of a component class."""
    name = found.__name__
    faults = [
        f"{name}.{method} is async: only run() may be"
        for method in ("setup", "step", "on_stale", "close")
        if inspect.iscoroutinefunction(getattr(found, method))
    ]
    run = getattr(found, "run", None)
    if run is not None and not inspect.iscoroutinefunction(run):
        faults.append(f"{name}.run is not async: write `async def run(self)`, or name the method step")
    if run is not None and found.step is not Component.step:
        faults.append(f"{name} defines step() and run(): keep one of them")
    if run is None and found.step is Component.step:
        faults.append(f"{name} does nothing: define step(self), or `async def run(self)`")
    if text := _needs_arguments(found):
        faults.append(text)
    return faults


def _needs_arguments(found: type[Component]) -> str:
    if found.__init__ is Component.__init__:
        return ""
    try:
        inspect.signature(found.__init__).bind(None)
    except TypeError:
        return f"{found.__name__}.__init__ needs arguments: it is called without any; use Options instead"
    except ValueError:  # a signature that can't be known
        return ""
    return ""


def _find(settings: ComponentSettings, given: object, folder: str) -> type[Component] | None:
    if given is None:  # a table without a usable `run` has its fault already
        return import_component(settings.run, folder) if "run" in settings.model_fields_set else None
    if fault := component_fault(given, getattr(given, "__qualname__", repr(given))):
        raise ImportFault(fault)
    return given  # type: ignore[return-value]
