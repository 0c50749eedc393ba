"""What a system's events say to people, a line each."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

from dolphin_mp.status import TROUBLE


def introduction(event: dict[str, Any], command: str) -> list[str]:
    """Give the first lines of a launch: what it is, what its author notes, and what to type elsewhere."""
    if event["event"] == "launching":
        is_local = event["config"] is None and Path("dolphin.toml").is_file()
        what = "dolphin.toml" if is_local else event["config"] or "the built-in demo"
        return [f"launching {what}"]
    count = len(event["components"])
    return [
        f"{event['system']}: {count} component{'s' * (count != 1)}, pid {event['pid']}; Ctrl-C stops it",
        *event["notes"],
        f"in a second terminal: {second_terminal(event['system'], command)}",
    ]


def second_terminal(system: str, command: str) -> str:
    """Give the command that shows this system from another terminal, as short as it works.

    Args:
        system: its name.
        command: what this program was started as.
    """
    from dolphin_mp.client import running_systems

    words = [_program(command), "status"]
    if any(name != system for name in running_systems()):
        words += ["--system", system]
    return shlex.join(words)


def _program(command: str) -> str:
    path = Path(command).absolute()
    if path.name != "dolphin-mp" or shutil.which("dolphin-mp") == str(path):
        return "dolphin-mp"
    return str(path)


def describe(event: dict[str, Any]) -> str:
    """Give an event as a line, without its time; empty for one that says nothing to people."""
    match event["event"]:
        case "state":
            return _describe_state(event)
        case "settled":
            states = list(event["states"].values())
            counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
            return f"{event['system']} is up: {', '.join(counts)}"
        case "shutdown" if event["forced"]:
            return "killing what still runs"
        case "shutdown":
            return f"stopping ({event['why']}); Ctrl-C kills what does not stop"
        case "reload" | "scale" if event["ok"]:
            return _describe_change(event)
        case "reload":
            return f"not reloaded: {event['reason']}"
        case "adopted":
            count = len(event["components"])
            return f"taken over from a parent that died: {count} living component{'s' * (count != 1)}"
        case "lost":
            return f"{event['count']} events could not be shown in time"
        case "crash":
            found = event.get("error") or f"`dolphin-mp crashes {event['id']}` shows all that is known"
            return f"{event['process']} crashed: {found}"
    return str(event.get("reason", ""))


def _describe_change(event: dict[str, Any]) -> str:
    kinds = ("removed", "added", "restarted", "retuned")
    done = ", ".join(f"{len(event[kind])} {kind}" for kind in kinds if event[kind])
    what = "scaled" if event["event"] == "scale" else f"reloaded {event['config']}"
    return f"{what}: {done or 'nothing has changed'}"


def _describe_state(event: dict[str, Any]) -> str:
    state, reason = event["state"], event["reason"]
    text = f"{event['component']} {state}"
    if state == "ready":
        text += f" (pid {event['pid']})" + (f", restart {event['restarts']}" if event["restarts"] else "")
    elif reason and state == "starting":
        text += f" again after {reason}"
    elif reason and (state in TROUBLE or state in {"waiting", "done"}):
        text += f": {reason}"
    return text


def closing(exit_code: int | None, command: str) -> str:
    """Give the last line; without an exit code the parent has left no word."""
    if exit_code is None:
        return (
            "the parent is gone without a word; its components may live on: "
            f"`{shlex.join([_program(command), 'status'])}` tells"
        )
    return "stopped" if exit_code == 0 else f"stopped with exit code {exit_code}"
