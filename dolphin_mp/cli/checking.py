"""`dolphin-mp check`: a configuration read and judged in this process, without starting anything."""

from __future__ import annotations

from pathlib import Path

from dolphin_mp.cli.errors import DONE, WRONG_USE
from dolphin_mp.cli.show import print_json, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from dolphin_mp.plan import ComponentPlan, Plan


def add_config_argument(parser: ArgumentParser) -> None:
    """Give a command its CONFIG."""
    text = "a configuration file, or the folder of a dolphin.toml; without it ./dolphin.toml, else the demo"
    parser.add_argument("config", metavar="CONFIG", nargs="?", help=text)


def local_system_name() -> str | None:
    """Give the name of the system that ./dolphin.toml describes, or None if there is no such file."""
    from dolphin_mp.faults import ConfigurationError
    from dolphin_mp.system import CONFIG_NAME, System

    try:
        return System.from_toml(CONFIG_NAME).name if Path(CONFIG_NAME).is_file() else None
    except ConfigurationError:
        return None


def add_arguments(_name: str, parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_config_argument(parser)
    parser.add_argument("--json", action="store_true", help="print data for programs")


def execute(arguments: Namespace) -> int:
    """Print the components in the order of their start, or all faults."""
    from dolphin_mp.faults import ConfigurationError
    from dolphin_mp.system import find_system

    name = None
    try:
        system = find_system(Path(arguments.config) if arguments.config else None)
        name = system.name
        plan = system.plan()
    except ConfigurationError as error:
        if not arguments.json:
            raise
        print_json({"ok": False, "system": name, "faults": error.faults})
        return WRONG_USE
    if arguments.json:
        components = [_as_data(component) for component in plan.components]
        print_json({"ok": True, "system": plan.name, "components": components})
    else:
        _show(plan)
    return DONE


def _as_data(component: ComponentPlan) -> dict[str, Any]:
    return {
        "name": component.name,
        "run": component.run,
        "process": component.process,
        "after": list(component.after),
        "reads": [item.channel for item in component.inputs],
        "writes": [output.channel for output in component.outputs],
        "every_s": component.every_s,
        "on": list(component.on),
        "schedule": str(component.schedule) if component.schedule else None,
        "restart": component.restart,
    }


def _show(plan: Plan) -> None:
    for note in plan.notes:
        say(note)
    say(f"{plan.source}: good; its components start in this order")
    for component in plan.components:
        print(f"{component.name}: {_trigger(component)}{_reads(component)}")


def _trigger(component: ComponentPlan) -> str:
    if component.every_s is not None:
        return f"every {component.every_s:g} s"
    if component.schedule is not None:
        return f'at "{component.schedule}"'
    return (
        f"on {', '.join(component.on)}" if component.on else "on its inputs" if component.inputs else "runs"
    )


def _reads(component: ComponentPlan) -> str:
    channels = ", ".join(item.channel for item in component.inputs)
    return f"; reads {channels}" if channels else ""
