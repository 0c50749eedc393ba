"""A checked system as plain frozen records: what the inspector hands to the orchestrator.

Nothing here imports numpy, a validator or a user's module, so that the parent process stays small and
cannot be hurt by any of them. Times are seconds. A plan crosses process borders as JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class BackoffPlan:
    """How long a dead process rests before its next start; the first restart comes at once."""

    first_s: float = 0.25
    factor: float = 2.0
    max_s: float = 30.0
    jitter: float = 0.2
    reset_after_s: float = 60.0


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """One channel: its full name is ``component.output``; dtype is the channel layout's description."""

    attribute: str
    channel: str
    dtype: Any
    shape: tuple[int, ...]
    keep: int
    record_size: int


@dataclass(frozen=True, slots=True)
class InputPlan:
    """One input and a channel it reads; of a whole pool (``many``) there is one a channel."""

    attribute: str
    channel: str
    stale_after_s: float | None = None
    required: bool = False
    share: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True)
class SchedulePlan:
    """When a component runs by the calendar: by a cron expression, or by a period (then ``cron`` is empty).

    A period is ``aligned`` to 1970 in UTC, or counts from the component's first start. ``missed`` says what
    follows runs that could not be in time, "skip" or "run-once"; ``deadline_s`` how long a run may take.
    """

    cron: str = ""
    period_s: float | None = None
    aligned: bool = True
    timezone: str = "UTC"
    missed: str = "skip"
    deadline_s: float | None = None

    def __str__(self) -> str:
        if self.period_s is not None:
            return f"every {self.period_s:g} s" + ("" if self.aligned else " from its start")
        return self.cron if self.timezone == "UTC" else f"{self.cron} {self.timezone}"


@dataclass(frozen=True, slots=True)
class ResourcesPlan:
    """What a process takes on at its birth; what is empty, 0 or None stays as the launcher has it.

    ``memory_max`` is bytes of private memory; ``env`` comes after ``env_file``, which each start reads anew,
    so that its secrets are in no plan. Neither is ever shown.
    """

    nice: int | None = None
    cpus: tuple[int, ...] = ()
    memory_max: int = 0
    open_files: int = 0
    env: dict[str, str] = field(default_factory=dict, repr=False)
    env_file: str = ""
    cwd: str = ""

    @property
    def shapes_imports(self) -> bool:
        """Whether a module may see something else when it is imported in such a process."""
        return bool(self.env or self.env_file or self.cwd)


@dataclass(frozen=True, slots=True)
class ComponentPlan:
    """One component instance: what runs, when it steps, and what follows its death.

    ``after`` names the components whose readiness its first start waits for. ``blob`` is the pickled class
    and options; it only ever travels through pipes that the launcher made and its children inherited.
    ``options`` holds a digest of each option by its dotted name, ``code`` one of the class's source ("" for a
    class that travels by value): they tell whether two plans mean the same without loading anything.
    ``pool`` is what it is an instance of, ``keyed`` whether its key is one of the configuration's list.
    """

    name: str
    run: str
    process: str
    blob: bytes
    after: tuple[str, ...] = ()
    outputs: tuple[OutputPlan, ...] = ()
    inputs: tuple[InputPlan, ...] = ()
    every_s: float | None = None
    on: tuple[str, ...] = ()
    schedule: SchedulePlan | None = None
    restart: str = "always"
    backoff: BackoffPlan = field(default_factory=BackoffPlan)
    max_restarts: int | None = None
    within_s: float = 60.0
    on_failed: str = "ignore"
    ready_within_s: float = 30.0
    stop_within_s: float = 10.0
    hang_after_s: float = 5.0
    resources: ResourcesPlan = field(default_factory=ResourcesPlan)
    options: tuple[tuple[str, str], ...] = ()
    code: str = ""
    pool: str = ""
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole system, checked; ``components`` stand in an order in which they can start."""

    name: str
    components: tuple[ComponentPlan, ...]
    orphan: str = "run"
    folder: str = ""
    source: str = ""
    sys_path: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def component(self, name: str) -> ComponentPlan:
        """Give the component of that name; raises KeyError for a name that the system does not have."""
        for component in self.components:
            if component.name == name:
                return component
        raise KeyError(name)


def plan_to_json(plan: Plan) -> bytes:
    """Give the plan as JSON text."""
    return json.dumps(plan, default=_plain).encode()


def plan_from_json(text: bytes) -> Plan:
    """Read what `plan_to_json` wrote."""
    data = json.loads(text)
    data["components"] = tuple(component_from_data(item) for item in data["components"])
    for key in ("sys_path", "modules", "notes"):
        data[key] = tuple(data[key])
    return Plan(**data)


def component_to_json(component: ComponentPlan) -> bytes:
    """Give one component's plan as JSON text."""
    return json.dumps(component, default=_plain).encode()


def component_from_data(data: dict[str, Any]) -> ComponentPlan:
    """Rebuild a component's plan from decoded JSON."""
    item = dict(data)
    item["blob"] = bytes.fromhex(item["blob"])
    item["after"] = tuple(item["after"])
    item["on"] = tuple(item["on"])
    item["backoff"] = BackoffPlan(**item["backoff"])
    item["outputs"] = tuple(OutputPlan(**{**o, "shape": tuple(o["shape"])}) for o in item["outputs"])
    item["inputs"] = tuple(InputPlan(**i) for i in item["inputs"])
    item["schedule"] = SchedulePlan(**item["schedule"]) if item["schedule"] else None
    resources = item["resources"]
    item["resources"] = ResourcesPlan(**{**resources, "cpus": tuple(resources["cpus"])})
    item["options"] = tuple((name, digest) for name, digest in item["options"])
    return ComponentPlan(**item)


def _plain(value: object) -> Any:
    if is_dataclass(value):  # not by `asdict`, which copies all of it: of 1,000 components that takes 0.4 s
        return {item.name: getattr(value, item.name) for item in fields(value)}
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"a plan holds no {type(value).__name__}")
