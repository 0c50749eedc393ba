"""From a configuration to a running system: zygote, inspection, ground, loop; in this process or detached."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setproctitle import setproctitle

from dolphin_mp.faults import ConfigurationError
from dolphin_mp.parent.errors import LaunchError
from dolphin_mp.parent.ground import Ground, become_subreaper, raise_open_files
from dolphin_mp.parent.orchestrator import Orchestrator, Surroundings
from dolphin_mp.parent.spawner import Spawner, SpawnError
from dolphin_mp.plan import Plan, plan_from_json

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
) -> int:
    """Check and run a system in this process until it ends; gives its exit code.

    Args:
        config: path of the TOML file; None for the folder's, or the built-in demo.
        plan: a system that is checked already, in place of a configuration.
        for_s: shut down by itself after so many seconds; its components then stop with their parent.
        until_done: shut down when all components are done.
        listener: hears each event; it must not wait.
        tie: a descriptor at whose end of file the system shuts down; -1 for none.

    Raises:
        ConfigurationError: with all faults; nothing was started.
        LaunchError: it can't be launched now, or is running already.
    """
    surroundings = Surroundings(dict(os.environ), str(Path.cwd()), raise_open_files())
    become_subreaper()
    spawner = Spawner(surroundings.environment)
    try:
        spawner.start()
        spawner.wait_ready()
        plan = plan or _inspect(spawner, config, surroundings)
        if for_s is not None:
            plan = _ending_with_parent(plan)
        setproctitle(f"dolphin-mp [{plan.name}]")
        spawner.preload(plan)
        ground = Ground(plan)
    except SpawnError as error:
        spawner.close()
        raise LaunchError(str(error)) from None
    except BaseException:
        spawner.close()
        raise
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
        ground.remove()
        raise
    try:
        if listener is not None:
            listener(
                {"event": "launched", "system": plan.name, "pid": os.getpid(), "notes": list(plan.notes)}
            )
        return orchestrator.run()
    finally:
        orchestrator.close()
        ground.remove()
        orchestrator.say_goodbye()


def _ending_with_parent(plan: Plan) -> Plan:
    from dataclasses import replace

    return replace(plan, orphan="stop")


def _inspect(spawner: Spawner, config: str | None, surroundings: Surroundings) -> Plan:
    """Have a throwaway process import the users' code and check the system."""
    content = {
        "config": config,
        "environment": surroundings.environment,
        "cwd": surroundings.cwd,
        "open_files": surroundings.open_files,
    }
    line, memory = spawner.fork(b"inspect", json.dumps(content).encode())
    try:
        line.socket.settimeout(INSPECTION_LIMIT_S)
        pid = line.here()
        answer = line.socket.recv(16) if pid else b""
    except TimeoutError:
        line.close()
        raise LaunchError(
            f"importing the components took longer than {INSPECTION_LIMIT_S:.0f} s: "
            "does a module do its work when it is imported?"
        ) from None
    finally:
        os.lseek(memory, 0, os.SEEK_SET)
        with open(memory, "rb") as file:  # noqa: PTH123 - a descriptor
            text = file.read()
    line.close()
    code = _reap(pid)
    if answer != b"done":
        raise LaunchError(
            f"importing the components ended the process that did it ({code}): see its output above"
        )
    data = json.loads(text)
    if "faults" in data:
        raise ConfigurationError(data["faults"])
    return plan_from_json(json.dumps(data["plan"]).encode())


def _reap(pid: int | None) -> str:
    if not pid:
        return "it died at its birth"
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return f"exit {status}" if status >= 0 else f"signal {-status}"
