"""From a configuration to a running system: zygote, inspection, ground, loop; in this process or detached."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setproctitle import setproctitle

from dolphin_mp.faults import ConfigurationError
from dolphin_mp.parent.errors import LaunchError
from dolphin_mp.parent.ground import Ground, raise_open_files
from dolphin_mp.parent.orchestrator import Orchestrator, Surroundings
from dolphin_mp.parent.spawner import Line, Spawner, SpawnError
from dolphin_mp.parent.subreaper import become_subreaper, children_of, end_children, end_group
from dolphin_mp.plan import Plan, plan_from_json
from dolphin_mp.process.kin import end_kin, mark_of
from dolphin_mp.supervision.policy import exit_text

if TYPE_CHECKING:
    from collections.abc import Callable

INSPECTION_LIMIT_S = 60.0


def run_system(
    config: str | None,
    *,
    plan: Plan | None = None,
    for_s: float | None = None,
    until_done: bool = False,
    listener: Callable[[dict[str, Any]], None] | None = None,
    tie: int = -1,
    streams: tuple[int | None, int | None] = (None, None),
) -> int:
    """Check and run a system in this process until it ends; gives its exit code.

    Args:
        config: path of the TOML file; None for the folder's, or the built-in demo.
        plan: a system that is checked already, in place of a configuration.
        for_s: shut down by itself after so many seconds; its components then stop with their parent.
        until_done: shut down when all components are done.
        listener: hears each event; it must not wait.
        tie: a descriptor at whose end of file the system shuts down; -1 for none.
        streams: descriptors for the components' stdout and stderr; None leaves them this process' own.

    Raises:
        ConfigurationError: with all faults; nothing was started.
        LaunchError: it can't be launched now, or is running already.
    """
    surroundings = Surroundings(dict(os.environ), str(Path.cwd()), raise_open_files())
    become_subreaper()
    others = children_of(os.getpid())
    spawner = Spawner(surroundings.environment, streams)
    try:
        spawner.start()
        spawner.wait_ready()
        trusted = False
        if plan is None:
            plan, trusted = _inspect(spawner, config, surroundings)
        if for_s is not None:
            plan = replace(plan, orphan="stop")
        setproctitle(f"dolphin-mp [{plan.name}]")
        ground = Ground(plan)
    except SpawnError as error:
        spawner.close()
        raise LaunchError(str(error)) from None
    except BaseException:
        spawner.close()
        raise
    spawner.preload(plan, trusted=trusted)
    try:
        orchestrator = Orchestrator(
            plan,
            ground,
            spawner,
            surroundings,
            until_done=until_done,
            for_s=for_s,
            listener=listener,
            tie=tie,
        )
    except BaseException:
        spawner.close()
        ground.give_up()
        raise
    try:
        if listener is not None:
            listener(_launched(plan))
        code = orchestrator.run()
    except BaseException:  # a bug of ours: the components go on, as after any other death of their parent
        orchestrator.close()
        raise
    orchestrator.close()
    end_children(others | {orchestrator.collector})
    orchestrator.end_logs()
    ground.remove()
    orchestrator.say_goodbye()
    return code


def _launched(plan: Plan) -> dict[str, Any]:
    return {
        "event": "launched",
        "system": plan.name,
        "pid": os.getpid(),
        "components": [component.name for component in plan.components],
        "notes": list(plan.notes),
    }


def _inspect(spawner: Spawner, config: str | None, surroundings: Surroundings) -> tuple[Plan, bool]:
    """Have a throwaway process import the users' code and check the system.

    Gives the plan, and whether the imports left the process as it was.
    """
    content = {
        "config": config,
        "environment": surroundings.environment,
        "cwd": surroundings.cwd,
        "open_files": surroundings.open_files,
    }
    line, memory = spawner.fork_inspector(json.dumps(content).encode())
    with open(memory, "rb") as file:  # noqa: PTH123 - a descriptor
        said, how = _wait_for_inspector(line)
        file.seek(0)
        text = file.read()
    if said != b"done":
        raise LaunchError(
            f"importing the components ended the process that did it ({how}): see its output above"
        )
    data = json.loads(text)
    if "faults" in data:
        raise ConfigurationError(data["faults"])
    return plan_from_json(json.dumps(data["plan"]).encode()), bool(data["clean"])


def _wait_for_inspector(line: Line) -> tuple[bytes, str]:
    """Give its last word and how it ended; it ends in any case."""
    pid, mark = None, 0
    line.socket.settimeout(INSPECTION_LIMIT_S)
    try:
        pid = line.here()
        mark = mark_of(pid) if pid else 0
        said = line.socket.recv(16) if pid else b""
    except TimeoutError:
        raise LaunchError(
            f"importing the components took longer than {INSPECTION_LIMIT_S:g} s: "
            "does a module do its work when it is imported?"
        ) from None
    except ConnectionError:
        said = b""
    finally:
        line.close()
        how = exit_text(end_group(pid)) if pid else "it died at its birth"
        end_kin({mark})
    return said, how
