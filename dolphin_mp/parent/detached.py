"""A system whose parent is a process of its own session: for `--detach`, and for systems made in Python."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

from dolphin_mp.faults import ConfigurationError
from dolphin_mp.parent.errors import LaunchError, RunningError
from dolphin_mp.paths import log_folder
from dolphin_mp.plan import plan_from_json, plan_to_json

if TYPE_CHECKING:
    from dolphin_mp.plan import Plan

LOG_LIMIT = 16 << 20
_GONE = "its launcher ended"


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

    A tied system shuts down when this process ends.

    Raises ConfigurationError, LaunchError, RunningError.
    """
    reap_ended()
    ours, theirs = socket.socketpair()
    content = {
        "config": config,
        "plan": json.loads(plan_to_json(plan)) if plan else None,
        "for_s": for_s,
        "until_done": until_done,
        "tied": tied,
    }
    folder = log_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(folder / "output.log", "ab", opener=_private) as log:
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
    with ours, ours.makefile("rb") as stream:
        try:
            report = _read_reports(ours, stream, content)
        except BaseException:  # a Ctrl-C, say
            process.terminate()
            _let_go(process)
            raise
    if "system" in report:
        _let_go(process)
        return {**report, "pid": process.pid}
    process.wait()
    if "faults" in report:
        raise ConfigurationError(report["faults"])
    if "running" in report:
        raise RunningError(report["running"])
    log_path = folder / "output.log"
    raise LaunchError(
        report.get("error") or f"the system ended at its start (exit {process.returncode}); see {log_path}"
    )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


_STARTED: set[int] = set()  # parents that are this process' own children


def _let_go(process: subprocess.Popen[bytes]) -> None:
    _STARTED.add(process.pid)
    process.returncode = 0  # it outlives us on purpose: no warning that it was not waited for


def wait_ended(pid: int, limit_s: float) -> None:
    """Wait until a parent that has said goodbye is gone, if this process started it."""
    if pid in _STARTED:
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(pid)
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            poll.poll(limit_s * 1000)
            os.close(pidfd)
        reap_ended()


def reap_ended() -> None:
    """Leave no zombie of a system that this process started."""
    for pid in list(_STARTED):
        try:
            ended = os.waitpid(pid, os.WNOHANG)[0] != 0
        except ChildProcessError:  # somebody else has reaped it, or this is a fork
            ended = True
        if ended:
            _STARTED.discard(pid)


def _read_reports(ours: socket.socket, stream: BinaryIO, content: dict[str, Any]) -> dict[str, Any]:
    """Give the last report: settled, faults or an error; launched alone means that it died on the way."""
    with contextlib.suppress(ConnectionError):
        ours.sendall(json.dumps(content).encode() + b"\n")
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

    try:
        return run_system(
            content["config"],
            plan=plan,
            for_s=content["for_s"],
            until_done=content["until_done"],
            listener=report,
            tie=_launcher() if content["tied"] else -1,
            on_hangup="stop" if content["tied"] else "reload",
        )
    except ConfigurationError as error:
        report({"faults": list(error.faults)})
        return 2
    except RunningError as error:
        report({"running": str(error)})
        return 1
    except LaunchError as error:
        report({"error": str(error)})
        return 1


def _launcher() -> int:
    """Give a descriptor that tells when the launcher ends.

    Not the end of a pipe: a process that the launcher has forked would hold that open.
    """
    pid = os.getppid()
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        raise LaunchError(_GONE) from None
    if os.getppid() != pid:
        raise LaunchError(_GONE)
    return pidfd


if __name__ == "__main__":
    sys.exit(main())
