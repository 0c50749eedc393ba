"""A component's options: a table of the configuration, or an instance, as its class's ``Options``."""

from __future__ import annotations

import dataclasses
import json
import typing
from datetime import date, time
from typing import Any

from dolphin_mp.checking.tables import fault_text
from dolphin_mp.faults import Faults, one_line, place_of_exception


class OptionsFault(Exception):  # noqa: N818 - the faults are noted where they were found
    """The options can't be made."""


def build_options(component_class: type, given: Any, place: str, faults: Faults) -> Any:
    """Give the instance of ``Options``, or None when the class has none.

    A table is checked strictly against the dataclass: unknown keys and wrong types are faults. An instance is
    taken as it is: its own constructor has judged it.

    Args:
        component_class: the user's class.
        given: a table, an instance, or None.
        place: the dotted key of the component, for the faults.
        faults: takes what is wrong.

    Raises:
        OptionsFault: they can't be made; why is in `faults`.
    """
    kind = getattr(component_class, "Options", None)
    name, place = component_class.__name__, f"{place}.options"
    if kind is None:
        if given:
            faults.add(place, f"{name} takes no options: it has no nested dataclass Options")
        return None
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        faults.add(place, f"{name}.Options is no dataclass: put @dataclass above it")
        raise OptionsFault
    if isinstance(given, kind):
        return given
    if given is not None and not isinstance(given, dict):
        faults.add(place, f"should be a table (or an instance of {name}.Options), not {given!r}")
        raise OptionsFault
    return _validate(kind, given or {}, place, faults)


def _validate(kind: type, table: dict[str, Any], place: str, faults: Faults) -> Any:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    try:
        # A dataclass takes no configuration from outside; a list hands its own down to it.
        enclosing: Any = list[kind]  # type: ignore[valid-type]
        config = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)
        # JSON is pydantic's strict mode for data from files: lists for tuples, text for paths and dates.
        return TypeAdapter(enclosing, config=config).validate_json(json.dumps([table], default=_plain))[0]
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            parts = [str(part) for part in fault["loc"][1:]]
            known = _field_names(kind, parts[:-1])
            faults.add(".".join([place, *parts]), fault_text(fault, known))
    except _NotPlainError as error:
        faults.add(place, f"a {error} fits no table: give an instance of {kind.__qualname__}")
    except Exception as error:  # noqa: BLE001 - from the user's __post_init__ or annotations
        faults.add(place, f"can't be made: {one_line(error)}{place_of_exception(error)}")
    raise OptionsFault


class _NotPlainError(Exception):
    pass


def _plain(value: object) -> str:
    if isinstance(value, date | time):
        return value.isoformat()
    raise _NotPlainError(type(value).__name__)


def _field_names(kind: Any, path: list[str]) -> list[str]:
    """Give the field names of the dataclass at a path of fields below another, else none."""
    for name in path:
        try:
            hint = typing.get_type_hints(kind).get(name)
        except (NameError, TypeError):
            return []
        # An optional one is a union with None.
        kind = next((part for part in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(part)), None)
    return [item.name for item in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
