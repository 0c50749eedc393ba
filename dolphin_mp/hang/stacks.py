"""Where a process is stuck: its own stacks, if it can still write them, and what the kernel says of it.

faulthandler writes from a signal handler, without the GIL, so also for a process that is lost in C. One that
is stopped has to be continued first; of one in uninterruptible sleep /proc tells at least where it waits.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

STACKS_SIGNAL = signal.SIGRTMIN + 7  # chosen: programs that use signals 10, 12 or few real-time ones go free
MOST_THREADS = 64
_MOST_BYTES = 4096
_PLIGHTS = {
    "T": "stopped by a signal",
    "t": "stopped by a debugger",
    "D": "in uninterruptible sleep",
}


def ask_for_stacks(pid: int, pidfd: int) -> None:
    """Have a process write down its stacks (see `dolphin_mp.crashes.last_words`); one stopped is continued.

    In this order: what is stopped then does nothing before it has written them. The question goes to a thread
    that can answer: one sent to the process lands with its main thread, even if that is uninterruptible.
    """
    threads = _threads(pid)
    able = [thread for thread in threads if _state(f"/proc/{pid}/task/{thread}") != "D"] or threads
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, 0)  # it still is who it was
        if able:
            ctypes.CDLL(None).tgkill(pid, int(able[0]), STACKS_SIGNAL)
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)


def plight(pid: int) -> str:
    """Say in what unusual state a process is; nothing if it runs or sleeps as usual."""
    states = [_state(f"/proc/{pid}/task/{thread}") for thread in _threads(pid)]
    return next((_PLIGHTS[state] for state in ("t", "T", "D") if state in states), "")


def kernel_view(pid: int) -> str:
    """Give what /proc says of each thread: state, where in the kernel it waits, for root its kernel stack.

    Only files that the kernel fills without taking the process' memory lock, which a stuck one may hold.
    """
    threads = _threads(pid)
    lines = [_thread(f"/proc/{pid}/task/{thread}", thread) for thread in threads[:MOST_THREADS]]
    if len(threads) > MOST_THREADS:
        lines.append(f"... {len(threads) - MOST_THREADS} more threads\n")
    return "".join(lines)


def _threads(pid: int) -> list[str]:
    try:
        return sorted(os.listdir(f"/proc/{pid}/task"), key=int)  # noqa: PTH208 - as fast as it can be
    except OSError:
        return []


def _thread(folder: str, thread: str) -> str:
    name = _read(f"{folder}/comm").strip()
    where, call = _read(f"{folder}/wchan").strip(), _read(f"{folder}/syscall").split()
    text = f"thread {thread} {name!r} state {_state(folder) or '?'}"
    if where and where != "0":
        text += f", waits in {where}"
    if call and call[0].isdigit():
        text += f", system call {call[0]}"
    stack = _read(f"{folder}/stack").splitlines()
    return "\n".join([text, *(f"  {line}" for line in stack)]) + "\n"


def _state(folder: str) -> str:
    return _read(f"{folder}/stat").rpartition(")")[2].strip()[:1]  # proc_pid_stat(5), field 3


def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, _MOST_BYTES).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(fd)
