"""Pools: one table of the configuration becomes as many components as it has instances."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dolphin_mp.checking.candidate import Candidate, resolve

if TYPE_CHECKING:
    from dolphin_mp.checking.tables import ComponentSettings
    from dolphin_mp.faults import Faults

MOST_INSTANCES = 1024  # a deal's entries
LONGEST = 48  # an instance's whole name: what a row of the board holds
TEMPLATE = "{key}"
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
KEY_RULE = "it is part of file names and titles: letters, digits, _ and -, not first one of _ -"


def draft(name: str, settings: ComponentSettings, faults: Faults) -> list[Candidate]:
    """Give a component of the configuration, or a pool's instances, as drafts; at least one."""
    keys = _keys(name, settings, faults)
    if not keys:
        return [Candidate(name, settings)]
    return [Candidate(f"{name}@{key}", settings, pool=name, key=key) for key in keys]


def resolve_drafts(
    drafts: list[Candidate], given: object, options: Any, folder: str, faults: Faults
) -> dict[str, Candidate]:
    """Find the class of a table's drafts, make their options and outputs; arguments as of `resolve`."""
    first = drafts[0]
    is_keyed = first.settings.for_each is not None
    first_options = fill_in(options, first.key) if is_keyed else options
    resolve(first, given, first_options, folder, faults)
    candidates = {first.name: first}
    for one in drafts[1:]:
        its_options = fill_in(options, one.key) if is_keyed else options
        if its_options is first_options or (isinstance(options, dict) and its_options == first_options):
            candidates[one.name] = _like(first, one.name, one.key)
        else:
            candidates[one.name] = resolve(one, given, its_options, folder, faults)
    return candidates


def _like(first: Candidate, name: str, key: str) -> Candidate:
    """Give another instance of the same options."""
    outputs = {}
    for channel, output in first.outputs.items():
        renamed = f"{name}.{channel.partition('.')[2]}"
        outputs[renamed] = output and replace(output, plan=replace(output.plan, channel=renamed))
    return replace(first, name=name, key=key, outputs=outputs)


def fill_in(value: Any, key: str) -> Any:
    """Put the key in place of ``{key}`` in every text of a table."""
    if isinstance(value, str):
        return value.replace(TEMPLATE, key)
    if isinstance(value, dict):
        return {name: fill_in(item, key) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([fill_in(item, key) for item in value])
    return value


def _keys(name: str, settings: ComponentSettings, faults: Faults) -> list[str] | None:
    """Give the keys of a pool's instances, those without fault; None for a component that is no pool."""
    place = f"components.{name}"
    if settings.instances is not None and settings.for_each is not None:
        faults.add(f"{place}.for_each", "stands beside instances: keep one of them")
    if settings.for_each is None:
        return None if settings.instances is None else [str(n) for n in range(settings.instances)]
    keys: list[str] = []
    if not settings.for_each:
        faults.add(f"{place}.for_each", "is empty: it makes one instance a key")
    for key in settings.for_each:
        if not KEY.fullmatch(key):
            faults.add(f"{place}.for_each", f'"{key}" is no key: {KEY_RULE}')
        elif len(f"{name}@{key}") > LONGEST:
            text = f'"{name}@{key}" has {len(name) + 1 + len(key)} characters: at most {LONGEST}'
            faults.add(f"{place}.for_each", text)
        elif key in keys:
            faults.add(f"{place}.for_each", f'"{key}" stands there twice')
        else:
            keys.append(key)
    return keys
