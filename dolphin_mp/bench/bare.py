"""The floor of what a supervisor does: a process with numpy that forks by itself and watches what it forked.

Started with one order, as JSON, in argv; answers on stdout in one line of JSON.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any, NoReturn

import numpy as np

REST_S = 0.02  # between a birth and the next death: all caches as cold as in a system that idles


def ask(order: str, *arguments: int) -> Any:
    """Have a process of its own obey an order; gives what it measured."""
    command = [sys.executable, "-P", "-m", __name__, json.dumps([order, *arguments])]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)


def deaths(count: int, size: int) -> list[tuple[int, int]]:
    """Give, of each, the ns from SIGKILL until the kernel told of it, and until its successor ran.

    The processes hold `size` bytes of an array; the successor is forked when the death is told.
    """
    reading, writing = os.pipe()
    found = []
    pid = _fork_one(writing, size)
    _read_time(reading)
    for _ in range(count):
        select.select([], [], [], REST_S)
        pidfd = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        killed = time.monotonic_ns()
        os.kill(pid, signal.SIGKILL)
        poll.poll()
        told = time.monotonic_ns()
        os.waitpid(pid, 0)
        os.close(pidfd)
        pid = _fork_one(writing, size)
        found.append((told - killed, _read_time(reading) - killed))
    _end([pid])
    return found


def births(count: int) -> int:
    """Give the ns until so many processes are forked, have made an array and have said so."""
    reading, writing = os.pipe()
    began = time.monotonic_ns()
    pids = [_fork_one(writing, 1) for _ in range(count)]
    for _ in pids:
        _read_time(reading)
    took = time.monotonic_ns() - began
    _end(pids)
    return took


def footprint(count: int) -> int:
    """Give the bytes of memory that so many idle forked processes take, shared pages by their part."""
    reading, writing = os.pipe()
    pids = [_fork_one(writing, 1) for _ in range(count)]
    for _ in pids:
        _read_time(reading)
    total = sum(pss(pid) for pid in pids)
    _end(pids)
    return total


def pss(pid: int) -> int:
    """Give a process' proportional share of memory, in bytes: proc_pid_smaps(5)."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:  # noqa: PTH123
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))


def _fork_one(writing: int, size: int) -> int:
    pid = os.fork()
    if pid == 0:
        _be_one(writing, size)
    return pid


def _be_one(writing: int, size: int) -> NoReturn:
    now = time.monotonic_ns()
    array = np.ones(max(64, size // 8))
    os.write(writing, b"%19d\n" % now)
    while array.size:
        signal.pause()
    os._exit(0)


def _read_time(reading: int) -> int:
    return int(os.read(reading, 20))


def _end(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        os.waitpid(pid, 0)


def main() -> None:
    """Obey."""
    order, *arguments = json.loads(sys.argv[1])
    obey = {"deaths": deaths, "births": births, "footprint": footprint}[order]
    sys.stdout.write(json.dumps(obey(*arguments)) + "\n")  # type: ignore[operator]


if __name__ == "__main__":
    main()
