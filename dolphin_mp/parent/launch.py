"""From a configuration to a running system: zygote, inspection, ground, loop; in this process or detached."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from setproctitle import setproctitle

from dolphin_mp.parent.assigning import Surroundings
from dolphin_mp.parent.errors import LaunchError
from dolphin_mp.parent.ground import Ground, check_open_files, raise_open_files
from dolphin_mp.parent.inspection import inspect_now
from dolphin_mp.parent.orchestrator import Orchestrator
from dolphin_mp.parent.spawner import Spawner, SpawnError
from dolphin_mp.parent.subreaper import become_subreaper, children_of, end_children
from dolphin_mp.process.kin import unmark_self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolphin_mp.plan import Plan

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run_system(
    config: str | None,
    *,
    plan: Plan | None = None,
    for_s: float | None = None,
    until_done: bool = False,
    listener: Callable[[dict[str, Any]], None] | None = None,
    tie: int = -1,
    streams: tuple[int | None, int | None] = (None, None),
    on_hangup: Literal["stop", "reload"] = "stop",
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
        on_hangup: what SIGHUP does.

    Raises:
        ConfigurationError: with all faults; nothing was started.
        LaunchError: it can't be launched now, or is running already.
    """
    surroundings = Surroundings(dict(os.environ), str(Path.cwd()), raise_open_files())
    become_subreaper()
    unmark_self()
    others = children_of(os.getpid())
    spawner = Spawner(surroundings.environment, streams)
    try:
        spawner.start()
        spawner.wait_ready()
        trusted, source = False, ""
        if plan is None:
            plan, trusted = inspect_now(spawner, config, surroundings)
            source = str(Path(plan.source).absolute()) if plan.folder else ""
        if for_s is not None:
            plan = replace(plan, orphan="stop")
        check_open_files(plan)
        setproctitle(f"dolphin-mp [{plan.name}]")
    except SpawnError as error:
        spawner.close()
        raise LaunchError(str(error)) from None
    except BaseException:
        spawner.close()
        raise
    with _signals_held():  # what is made must be removed by whoever was told to end meanwhile
        try:
            ground = Ground(plan)
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
                config=source,
                on_hangup=on_hangup,
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


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Have the signals that end it wait until there is a loop that heeds them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _launched(plan: Plan) -> dict[str, Any]:
    return {
        "event": "launched",
        "system": plan.name,
        "pid": os.getpid(),
        "components": [component.name for component in plan.components],
        "notes": list(plan.notes),
    }
