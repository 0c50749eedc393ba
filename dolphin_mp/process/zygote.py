"""The zygote: an exec'd, single-threaded process with numpy and the components' modules imported.

It forks twice for each process asked of it, so that the orchestrator, a subreaper, becomes the real parent:
it gets the exit status, and no pid is used again before it reaps. A forked process parks until it is told,
over its own inherited socket, what to be. Everything ends when the orchestrator's end of a socket closes.
A forked process holds its end of it until it begins to die: see `dolphin_mp.ipc._tether`.

Orders, a datagram each: ``fork`` with the child's socket; else JSON of the system, import path and modules to
preload.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from dolphin_mp.process.assignment import HELD, HERE, HOME_ORDER, Assignment

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.process.home import Home

MAX_ORDER = 1 << 18
MAX_TOLD = 1 << 16
BATCH = 8  # chosen: so many share a middle process, and each costs little more than one fork
_DESCRIPTOR = struct.Struct("i")
_TWISTER_WORDS = 624  # the whole state of MT19937


def main() -> int:
    """Serve orders until the orchestrator hangs up; argv: the socket's descriptor."""
    import numpy as np  # noqa: F401 - here once, in every child for nothing
    from setproctitle import setproctitle

    import dolphin_mp.importing
    import dolphin_mp.process.assignment
    import dolphin_mp.process.main
    import dolphin_mp.process.rehearsal  # noqa: F401
    from dolphin_mp.process.lossy import take_streams

    control = socket.socket(fileno=int(sys.argv[1]))
    setproctitle("zygote [dolphin-mp]")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    take_streams()  # what a module prints when it is imported must not hold up all that are to be born
    _freeze()
    with contextlib.suppress(ConnectionError):  # the orchestrator is dead
        control.send(b"ready")
        _serve(control)
    return 0


_system = ""  # the name of the system whose modules it has


def _serve(control: socket.socket) -> None:
    from setproctitle import setproctitle

    global _system
    while True:
        order, lines = _next_order(control)
        if not order:
            return
        if order == b"fork":
            _fork_twice(control, lines)
        else:
            data = json.loads(order)
            _system = data["system"]
            setproctitle(f"zygote [dolphin-mp {_system}]")
            _preload(data)
            control.send(b"loaded")


_later: list[bytes] = []  # an order that was read when looking for more forks


def _next_order(control: socket.socket) -> tuple[bytes, list[int]]:
    """Give an order; forks that wait behind one another are one, with the lines of all."""
    order, lines = (_later.pop(), []) if _later else _receive(control)
    while order == b"fork" and len(lines) < BATCH:
        try:
            more, further = _receive(control, socket.MSG_DONTWAIT)
        except BlockingIOError:
            break
        lines += further
        if more != b"fork":
            _later.append(more)
            break
    return order, lines


def _receive(control: socket.socket, flags: int = 0, most: int = MAX_ORDER) -> tuple[bytes, list[int]]:
    # not socket.recv_fds, which passes no flags on
    order, extra, _, _ = control.recvmsg(most, socket.CMSG_LEN(4 * _DESCRIPTOR.size), flags)
    return order, [number for _, _, data in extra for (number,) in _DESCRIPTOR.iter_unpack(data)]


def _freeze() -> None:
    """Keep the collector from touching, and thus copying, the pages shared with the children."""
    _handled[:] = _handled_signals()
    gc.collect()
    gc.freeze()


def _preload(order: dict[str, Any]) -> None:
    from dolphin_mp.importing import extend_import_path
    from dolphin_mp.process.preload import import_clean

    extend_import_path(order["sys_path"])
    for line in import_clean(order["modules"], trusted=order["trusted"]):
        sys.stderr.write(f"dolphin-mp: {line}\n")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # or each child would say it again
    _freeze()


def _fork_twice(control: socket.socket, lines: list[int]) -> None:
    """Fork a process for each line, from one in the middle; where that fails the line ends, which tells."""
    try:
        middle = os.fork()
        if middle == 0:
            _fork_each(control, lines)
        os.waitpid(middle, 0)
    except OSError as error:
        sys.stderr.write(f"dolphin-mp: no process can be made: {error.strerror}\n")
    finally:
        for line in lines:
            os.close(line)


def _fork_each(control: socket.socket, lines: list[int]) -> NoReturn:
    middle = os.getpid()
    try:
        for line in lines:
            if os.fork() == 0:
                control.close()
                _park(line, middle)
    finally:
        os._exit(0)


def _outlive(parent: int) -> None:
    """Wait until this process is its subreaper's child: orphans move before a pidfd tells of the death."""
    if os.getppid() == parent:
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(parent)
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            poll.poll()
            os.close(pidfd)


def _park(descriptor: int, middle: int) -> NoReturn:
    """Wait to be told what to be, and be it; `middle` is the process that forked this one."""
    from dolphin_mp.ipc import _tether
    from dolphin_mp.process.kin import mark_self
    from dolphin_mp.process.lossy import own_descriptors
    from dolphin_mp.process.main import leave

    code = 1
    try:
        os.setsid()
        mark_self()
        _reset()
        _close_all_but({descriptor, *own_descriptors()})
        is_held = _tether.hold(descriptor)
        line = socket.socket(fileno=descriptor)
        home = _settle(line)
        _outlive(middle)
        line.send(HELD if is_held else HERE)
        order, descriptors = _receive(line, socket.MSG_CMSG_CLOEXEC, MAX_TOLD)
        code = _obey(order, descriptors, line, home) if order else 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except ConnectionError:  # the orchestrator is dead
        code = 0
    except BaseException:  # noqa: BLE001 - nothing is above us
        import traceback

        traceback.print_exc()
    finally:
        leave(code)
    raise AssertionError


def _settle(line: socket.socket) -> Home | None:
    """Be a spare, if its first order says so: do before anybody waits for it what can be done before."""
    if line.recv(len(HOME_ORDER), socket.MSG_PEEK) != HOME_ORDER:
        return None  # somebody waits for it
    from dolphin_mp.process.home import Home

    told, descriptors = _receive(line, socket.MSG_CMSG_CLOEXEC, MAX_TOLD)
    data = json.loads(_content(told, descriptors))
    _rehearse()
    _surround(data["environment"], data["cwd"], data["open_files"])
    return Home.enter(data)


def _rehearse() -> None:
    from setproctitle import setproctitle

    from dolphin_mp.process.rehearsal import rehearse

    setproctitle(f"spare [dolphin-mp {_system}]")
    try:
        rehearse(_system, _carry_out)
    except OSError:  # no room for the files, say: it is only slower then
        pass
    except Exception:  # noqa: BLE001 - a bug of ours, which is only slower too
        import traceback

        traceback.print_exc()
    _reset_signals(_handled_signals())


def _close_all_but(kept: set[int]) -> None:
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = max(first, fd + 1)
    os.closerange(first, 1 << 20)


def _content(told: bytes, descriptors: list[int]) -> bytes:
    """Give what came with an order; it lies in a memory file if it was too long for a datagram."""
    content = told.partition(b"\n")[2]
    if not content:
        with open(descriptors.pop(0), "rb") as file:  # noqa: PTH123 - a descriptor
            content = file.read()
    return content


def _obey(told: bytes, descriptors: list[int], line: socket.socket, home: Home | None) -> int:
    order = told.partition(b"\n")[0]
    if order == b"inspect":
        with open(descriptors[0], "r+b") as file:  # noqa: PTH123 - a descriptor
            _inspect(json.loads(file.read()), file, line)
        return 0
    content = _content(told, descriptors)
    if order == b"prepare":
        return _carry_out(content, home=home, go=partial(_wait_for_go, line))
    line.close()
    return _carry_out(content, descriptors[0] if descriptors else -1, home)


def _wait_for_go(line: socket.socket) -> int:
    """Wait until what this process is prepared for is needed; gives the timer. Leaves if it never will be."""
    word, descriptors = _receive(line, socket.MSG_CMSG_CLOEXEC)
    line.close()
    if word != b"go":
        raise SystemExit(0)
    return descriptors[0]


def _carry_out(
    content: bytes, timer: int = -1, home: Home | None = None, go: Callable[[], int] | None = None
) -> int:
    from dolphin_mp.process.home import Home
    from dolphin_mp.process.main import become

    data = json.loads(content)
    if home is None:
        _surround(data["environment"], data["cwd"], data["open_files"])
        home = Home.enter(data)
    return become(Assignment.from_data({**data, **home.told}), timer, home, go)


def _inspect(data: dict[str, Any], file: BinaryIO, line: socket.socket) -> None:
    import faulthandler

    from dolphin_mp.process.inspector import inspect

    faulthandler.enable()  # a module that crashes at import is to be named
    _die_with(line)
    _surround(data["environment"], data["cwd"], data["open_files"])
    answer = inspect(data["config"])
    file.seek(0)
    file.truncate()
    file.write(answer)
    file.flush()
    sys.stdout.flush()
    line.send(b"done")  # and is killed


def _die_with(line: socket.socket) -> None:
    """Have the kernel end this process by SIGIO when the other end hangs up: fcntl(2), O_ASYNC."""
    fcntl.fcntl(line, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(line, fcntl.F_SETFL, fcntl.fcntl(line, fcntl.F_GETFL) | os.O_ASYNC)


def _reset() -> None:
    """Undo what a fork shares, whatever the process is to be: signals, numpy's old random state."""
    _reset_signals(_handled)
    random = sys.modules.get("numpy.random")
    if random is not None:  # seed() would take three times as long, and copy as many pages
        words = sys.modules["numpy"].frombuffer(os.urandom(4 * _TWISTER_WORDS), "u4")
        random.set_state(("MT19937", words, _TWISTER_WORDS))


def _surround(environment: dict[str, str], cwd: str, open_files: int) -> None:
    """Undo what a fork shares and the launcher has said: environment, folder, limits."""
    import resource

    _reset_environment(environment)
    try:
        os.chdir(cwd)
    except OSError as error:  # it was moved or removed meanwhile: the zygote is still there
        sys.stderr.write(f"dolphin-mp: {cwd}: {error.strerror}; this process stays in what it was\n")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(open_files, hard) if hard >= 0 else open_files, hard))


def _reset_environment(environment: dict[str, str]) -> None:
    """Change what differs; to set all of it anew would cost as much as the fork."""
    own = dict(os.environ)
    for name in own.keys() - environment.keys():
        del os.environ[name]
    for name, value in environment.items():  # not update(), which asks abc what it was given
        if own.get(name) != value:
            os.environ[name] = value


_handled: list[int] = []  # signals that the zygote does not leave to the kernel: to look at all takes 0.3 ms


def _handled_signals() -> list[int]:
    numbers = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    return [number for number in numbers if signal.getsignal(number) not in {signal.SIG_DFL, None}]


def _reset_signals(handled: list[int]) -> None:
    """Handle signals as a fresh Python does, but for SIGINT: a Ctrl-C is the parent's to handle."""
    signal.set_wakeup_fd(-1)
    for number in handled:
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


if __name__ == "__main__":
    sys.exit(main())
