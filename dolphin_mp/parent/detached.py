"""A system whose parent is a process of its own session: for `--detach`, and for systems made in Python."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from dolphin_mp.faults import ConfigurationError
from dolphin_mp.parent.errors import LaunchError
from dolphin_mp.paths import log_folder
from dolphin_mp.plan import plan_from_json, plan_to_json

if TYPE_CHECKING:
    from dolphin_mp.plan import Plan

LOG_LIMIT = 16 << 20


def start_detached(
    config: str | None,
    *,
    plan: Plan | None = None,
    for_s: float | None = None,
    until_done: bool = False,
    tied: bool = False,
) -> dict[str, Any]:
    """Start a system's parent and wait until its components have settled.

    Gives ``{"system", "pid", "states"}``.

    A tied system shuts down when this process closes its end of the pipe, that is when it ends.

    Raises ConfigurationError, LaunchError.
    """
    ours, theirs = socket.socketpair()
    content = {
        "config": config,
        "plan": json.loads(plan_to_json(plan)) if plan else None,
        "for_s": for_s,
        "until_done": until_done,
        "tied": tied,
    }
    folder = log_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output.log").open("ab") as log:
        if log.tell() > LOG_LIMIT:
            os.truncate(log.fileno(), 0)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dolphin_mp.parent.detached", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    theirs.close()
    ours.sendall(json.dumps(content).encode() + b"\n")
    stream = ours.makefile("rb")
    report = _read_reports(stream)
    stream.close()
    if tied and "system" in report:
        _TIES[report["system"]] = ours  # open as long as this process lives
    else:
        ours.close()
    if "system" in report:
        process.returncode = 0  # it outlives us on purpose: no warning that it was not waited for
        return {**report, "pid": process.pid}
    process.wait()
    if "faults" in report:
        raise ConfigurationError(report["faults"])
    log_path = folder / "output.log"
    raise LaunchError(
        report.get("error") or f"the system ended at its start (exit {process.returncode}); see {log_path}"
    )


_TIES: dict[str, socket.socket] = {}


def _read_reports(stream: Any) -> dict[str, Any]:
    """Give the last report: settled, faults or an error; launched alone means that it died on the way."""
    for line in stream:
        report: dict[str, Any] = json.loads(line)
        if report.get("event") != "launched":
            return report
    return {}


def main() -> int:
    """Be the parent; argv: the launcher's socket."""
    from dolphin_mp.parent.launch import run_system

    pipe = socket.socket(fileno=int(sys.argv[1]))
    with pipe.makefile("rb") as stream:
        content = json.loads(stream.readline())
    plan = plan_from_json(json.dumps(content["plan"]).encode()) if content["plan"] else None
    talks = True

    def report(event: dict[str, Any]) -> None:
        nonlocal talks
        if talks and event.get("event") in {None, "launched", "settled"}:
            with contextlib.suppress(OSError):
                pipe.sendall(json.dumps(event).encode() + b"\n")
            talks = event.get("event") == "launched"

    tie = pipe.fileno() if content["tied"] else -1
    try:
        return run_system(
            content["config"],
            plan=plan,
            for_s=content["for_s"],
            until_done=content["until_done"],
            listener=report,
            tie=tie,
        )
    except ConfigurationError as error:
        report({"faults": list(error.faults)})
        return 2
    except LaunchError as error:
        report({"error": str(error)})
        return 1


if __name__ == "__main__":
    sys.exit(main())
