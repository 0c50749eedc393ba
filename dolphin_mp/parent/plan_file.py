"""The plan that runs, for the next parent: ``plan.json`` in the runtime folder, replaced as a whole.

It holds digests where the plan holds code, options and environment: they are compared, never loaded, and no
secret among them is written down.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from dolphin_mp import __version__
from dolphin_mp.plan import plan_from_json, plan_to_json

if TYPE_CHECKING:
    from collections.abc import Container

    from dolphin_mp.plan import ComponentPlan, Plan

_NAME = "plan.json"


class Recalled(NamedTuple):
    """What ran by the last parent's word: its dolphin-mp's version, and its plan, sealed."""

    version: str
    plan: Plan | None


def sealed(plan: Plan) -> Plan:
    """Give the plan with digests in place of code and options."""
    return replace(plan, components=tuple(map(_sealed_component, plan.components)))


def _sealed_component(component: ComponentPlan) -> ComponentPlan:
    blob = sha256(component.blob).digest()
    env = {name: sha256(value.encode()).hexdigest() for name, value in component.resources.env.items()}
    return replace(component, blob=blob, resources=replace(component.resources, env=env))


def remember(folder: str, plan: Plan, unsure: Container[str] = ()) -> None:
    """Write down that this plan runs.

    Args:
        folder: the runtime folder.
        plan: the whole plan.
        unsure: components that are changing just now: a parent that finds them can't know what they run.
    """
    plan = replace(plan, components=tuple(c for c in plan.components if c.name not in unsure))
    text = f'{{"version": {json.dumps(__version__)}, "plan": '.encode() + plan_to_json(sealed(plan)) + b"}"
    path = f"{folder}/{_NAME}"
    fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(fd, "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(text)
    os.replace(f"{path}.new", path)  # noqa: PTH105


def recall(folder: str) -> Recalled:
    """Read what `remember` wrote; of another version's plan, or an unreadable one, nothing is understood."""
    try:
        with open(f"{folder}/{_NAME}", "rb") as file:  # noqa: PTH123
            data = json.load(file)
        version = str(data["version"])
        if version != __version__:
            return Recalled(version, None)
        return Recalled(version, plan_from_json(json.dumps(data["plan"]).encode()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Recalled("", None)
