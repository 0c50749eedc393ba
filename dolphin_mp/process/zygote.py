"""The zygote: an exec'd, single-threaded process with numpy and the components' modules imported.

It forks twice for each process asked of it, so that the orchestrator, a subreaper, becomes the real parent:
it gets the exit status, and no pid is used again before it reaps. A forked process parks until it is told,
over its own inherited socket, what to be. Everything ends when the orchestrator's end of a socket closes.

Orders (one datagram each): ``fork`` + the child's socket; ``preload`` + JSON of import path and modules.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
from typing import Any, NoReturn

MAX_ORDER = 1 << 16


def main() -> int:
    """Serve orders until the orchestrator hangs up; argv: the socket's descriptor."""
    import numpy as np  # noqa: F401 - here once, in every child for nothing
    from setproctitle import setproctitle

    import dolphin_mp.process.main
    import dolphin_mp.process.runner  # noqa: F401

    control = socket.socket(fileno=int(sys.argv[1]))
    setproctitle("zygote [dolphin-mp]")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _freeze()
    control.send(b"ready")
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, MAX_ORDER, 4)
        if not order:
            return 0
        if order == b"fork":
            _fork_twice(control, descriptors[0])
        else:
            data = json.loads(order)
            setproctitle(f"zygote [dolphin-mp {data['system']}]")
            _preload(data)


def _freeze() -> None:
    """Keep the collector from touching, and thus copying, the pages shared with the children."""
    gc.collect()
    gc.freeze()


def _preload(order: dict[str, Any]) -> None:
    for folder in reversed(order["sys_path"]):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    for module in order["modules"]:
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - the child imports it again and reports; here it costs speed only
            sys.stderr.write(f"dolphin-mp: {module} is not preloaded: {error}\n")
    _freeze()


def _fork_twice(control: socket.socket, descriptor: int) -> None:
    middle = os.fork()
    if middle == 0:
        try:
            if os.fork():
                os._exit(0)
        except OSError:
            os._exit(1)
        control.close()
        _park(descriptor)
    os.waitpid(middle, 0)
    os.close(descriptor)


def _park(descriptor: int) -> NoReturn:
    """Wait to be told what to be, and be it."""
    from dolphin_mp.process.main import leave

    code = 1
    try:
        os.setsid()
        os.closerange(3, descriptor)
        os.closerange(descriptor + 1, 1 << 20)
        line = socket.socket(fileno=descriptor)
        line.send(b"here")
        order, descriptors, _, _ = socket.recv_fds(line, MAX_ORDER, 1)
        code = _obey(order, descriptors[0], line) if order else 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001 - nothing is above us
        import traceback

        traceback.print_exc()
    finally:
        leave(code)
    raise AssertionError


def _obey(order: bytes, descriptor: int, line: socket.socket) -> int:
    with open(descriptor, "r+b") as file:
        data = json.loads(file.read())
        if order == b"inspect":
            from dolphin_mp.process.inspector import inspect

            _reset(data["environment"], data["cwd"], data["open_files"])
            answer = inspect(data["config"])
            file.seek(0)
            file.truncate()
            file.write(answer)
            file.flush()
            line.send(b"done")
            return 0
    from dolphin_mp.process.assignment import Assignment
    from dolphin_mp.process.main import become

    line.close()
    assignment = Assignment.from_data(data)
    _reset(assignment.environment, assignment.cwd, assignment.open_files)
    return become(assignment)


def _reset(environment: dict[str, str], cwd: str, open_files: int) -> None:
    """Undo what a fork shares: signals, environment, folder, limits, numpy's old random state."""
    import resource

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(open_files, hard) if hard >= 0 else open_files, hard))
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()
    gc.unfreeze()


if __name__ == "__main__":
    sys.exit(main())
