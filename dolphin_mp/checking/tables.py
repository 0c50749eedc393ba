"""The schema of a system's configuration: tables in, checked settings and a list of faults out."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dolphin_mp.checking.resources import LEAST_FILES, parse_cpus, parse_environment, parse_memory
from dolphin_mp.duration import parse_duration
from dolphin_mp.faults import ConfigurationError, Faults, suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Orphan = Literal["run", "stop"]
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,30}")
NAME_RULE = "a name has 1 to 31 of a-z 0-9 _ - and begins with a letter or digit"


def _positive(value: object) -> float:
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError(f'"{value}" is too short: it must be more than nothing')
    return seconds


Duration = Annotated[float, BeforeValidator(_positive)]
DurationOrZero = Annotated[float, BeforeValidator(parse_duration)]


class Table(BaseModel):
    """A table of the file: unknown keys and wrong types are faults."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class BackoffSettings(Table):
    """``components.NAME.backoff``."""

    first: DurationOrZero = 0.25
    factor: Annotated[float, Field(ge=1, le=1000)] = 2.0
    max: Duration = 30.0
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.2
    reset_after: DurationOrZero = 60.0


class ComponentSettings(Table):
    """``components.NAME``; ``options`` stand apart, because the component's class judges them."""

    run: str = ""
    every: Duration | None = None
    on: Annotated[tuple[str, ...], Field(strict=False)] | None = None
    schedule: Any = None  # a text or a table: `check_schedule` judges it, as it does a class's
    restart: Literal["always", "on-failure", "never"] = "always"
    process: Annotated[str, Field(pattern=f"^{NAME.pattern}$")] | None = None
    instances: Annotated[int, Field(ge=1, le=1024)] | None = None
    for_each: Annotated[tuple[str, ...], Field(strict=False)] | None = None
    inputs: dict[str, str] = {}
    backoff: BackoffSettings = BackoffSettings()
    max_restarts: Annotated[int, Field(ge=0)] | None = None
    within: Duration = 60.0
    on_failed: Literal["ignore", "stop", "restart-readers"] = "ignore"
    ready_within: Duration = 30.0
    stop_within: Duration = 10.0
    hang_after: Duration = 5.0
    preload: bool = True
    nice: Annotated[int, Field(ge=-20, le=19)] | None = None
    cpus: Annotated[tuple[int, ...], BeforeValidator(parse_cpus)] = ()
    memory_max: Annotated[int, BeforeValidator(parse_memory)] | None = None
    open_files: Annotated[int, Field(ge=LEAST_FILES)] | None = None
    env: Annotated[dict[str, str], BeforeValidator(parse_environment)] = {}
    env_file: str | None = None
    cwd: str | None = None


class SystemTable(Table):
    """``system``."""

    name: str | None = None
    orphan: Orphan | None = None


@dataclass(frozen=True, slots=True)
class SystemSettings:
    """A system as its configuration says, before its components' classes are looked at."""

    name: str
    orphan: Orphan
    components: Mapping[str, ComponentSettings]
    options: Mapping[str, Any] = field(default_factory=dict)


def read_toml(path: Path) -> dict[str, Any]:
    """Give the tables of a TOML file; raises ConfigurationError when it is missing or no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError([f"{path}: no such file"]) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{path}: not UTF-8 at byte {error.start}"]) from None
    except OSError as error:
        raise ConfigurationError([f"{path}: can't be read: {error.strerror}"]) from None
    except tomllib.TOMLDecodeError as error:
        text, _, place = str(error).partition(" (at ")
        line = re.match(r"line (\d+)", place)
        number = int(line[1]) if line else len(path.read_text(encoding="utf-8").splitlines())
        raise ConfigurationError([f"{path}:{number}: not TOML: {text[:1].lower()}{text[1:]}"]) from None


def check_tables(data: Mapping[str, Any], faults: Faults, *, name: str, orphan: Orphan) -> SystemSettings:
    """Check a configuration's tables; what is faulty is noted and left out of the settings.

    Args:
        data: the tables.
        faults: takes what is wrong.
        name: the system's name where the tables give none.
        orphan: likewise.
    """
    for key in data.keys() - {"system", "components"}:
        faults.add(key, "unknown table" + suggest(key, ("system", "components")))
    system = check_table(SystemTable, data.get("system", {}), "system", faults)
    tables = data.get("components", {})
    if not isinstance(tables, dict) or not tables:
        faults.add("components", "no component: add a table such as [components.ob] with a key run")
        tables = {}
    settings, options = {}, {}
    for key, table in tables.items():
        place = f"components.{key}"
        if not NAME.fullmatch(key):
            faults.add(place, f'"{key}" is no name: {NAME_RULE}')
        if isinstance(table, dict) and "run" not in table:
            faults.add(place, 'run is missing: write run = "module:Class"')
        options[key] = table.get("options") if isinstance(table, dict) else None
        settings[key] = check_table(ComponentSettings, table, place, faults)
    chosen = name if system.name is None else system.name
    if not NAME.fullmatch(chosen):
        faults.add("system.name", f'"{chosen}" is no name: {NAME_RULE}')
    return SystemSettings(chosen, system.orphan or orphan, settings, options)


AnyTable = TypeVar("AnyTable", bound=Table)


def check_table(model: type[AnyTable], table: Any, place: str, faults: Faults) -> AnyTable:
    """Validate a table; note its faulty keys and give the rest, so that all faults are found at once."""
    if not isinstance(table, dict):
        faults.add(place, f"should be a table, not {_show(table)}")
        return model()
    # The component's class judges its options, not this schema.
    rest = {
        key: value for key, value in table.items() if not (model is ComponentSettings and key == "options")
    }
    try:
        return model.model_validate(rest)
    except ValidationError as error:
        bad = set()
        for place_and_text in fault_lines(error, model):
            faults.add(".".join([place, *place_and_text[0]]), place_and_text[1])
            bad.add(place_and_text[0][0])
    return model.model_validate({key: value for key, value in rest.items() if key not in bad})


def fault_lines(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Give each fault that pydantic found as its place and a text."""
    for fault in error.errors(include_url=False):
        place = tuple(str(part) for part in fault["loc"])
        known: type[BaseModel] | None = model
        for part in place[:-1]:
            annotation = known.model_fields[part].annotation if known and part in known.model_fields else None
            known = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
        keys = list(known.model_fields) + (["options"] if known is ComponentSettings else []) if known else []
        yield place, fault_text(fault, keys)


def fault_text(fault: Mapping[str, Any], known: list[str]) -> str:
    """Say one of pydantic's faults in a line, with the nearest right key or value."""
    kind, given, last = fault["type"], fault["input"], str(fault["loc"][-1]) if fault["loc"] else ""
    if kind in {"extra_forbidden", "unexpected_keyword_argument"}:
        return "unknown key" + suggest(last, known)
    if kind.startswith("missing"):
        return "is missing"
    if kind in {"value_error", "assertion_error"}:
        return str(fault["ctx"]["error"])
    if kind in {"model_type", "dict_type", "dataclass_type"}:
        return f"should be a table, not {_show(given)}"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", fault["ctx"]["expected"])
        right = ", ".join(f'"{choice}"' for choice in choices)
        near = suggest(given, choices) if isinstance(given, str) else ""
        return f"should be one of {right}, not {_show(given)}" + (near if near.startswith("; did") else "")
    if kind == "string_pattern_mismatch":
        return f"{_show(given)} is no name: {NAME_RULE}"
    text = fault["msg"].removeprefix("Input ").replace("valid tuple", "list").replace("valid list", "list")
    return f"{text}, not {_show(given)}"


def _show(value: object) -> str:
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
