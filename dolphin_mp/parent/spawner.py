"""The orchestrator's hold on its zygote: orders go out without waiting, children come back as sockets."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dolphin_mp.process.assignment import HELD, HERE, HOME_ORDER

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.plan import Plan

_CREDENTIALS = struct.Struct("iII")
MAX_LINE = 4096
INLINE = 32 * 1024  # bytes of an assignment that need no memory file: to make one and read it costs 50 us
START_LIMIT_S = 60.0
CLOSE_LIMIT_S = 0.5


class SpawnError(Exception):
    """No process could be made; the text says why."""


@dataclass
class Line:
    """The parent's end of a forked process' socket.

    Attributes: held (whether it ends only when the process begins to die).
    """

    socket: socket.socket
    held: bool = False

    def here(self) -> int | None:
        """Give the pid of the process that reported, in the kernel's words; None if it died before.

        Raises TimeoutError if the socket has a limit.
        """
        try:
            text, extra, _, _ = self.socket.recvmsg(MAX_LINE, socket.CMSG_SPACE(_CREDENTIALS.size))
        except ConnectionError:  # it died before it took its order
            return None
        for _level, kind, data in extra:
            if text in {HERE, HELD} and kind == socket.SCM_CREDENTIALS:
                self.held = text == HELD
                return int(_CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0])
        return None

    def tell(self, order: bytes, content: bytes, *descriptors: int) -> None:
        """Send an order ("run", "prepare") with the assignment that the process is to carry out.

        Raises OSError: ConnectionError if the process is dead.
        """
        if len(content) <= INLINE:
            socket.send_fds(self.socket, [order, b"\n", content], descriptors)
        else:
            os.close(self.tell_by_file(order, content, *descriptors))

    def say(self, word: bytes, *descriptors: int) -> None:
        """Send a word with descriptors; raises OSError, ConnectionError if the process is dead."""
        socket.send_fds(self.socket, [word], descriptors)

    def tell_by_file(self, order: bytes, content: bytes, *descriptors: int) -> int:
        """Send an order and a memory file with its content, which the caller closes."""
        memory = _memory_file(content)
        try:
            socket.send_fds(self.socket, [order], [memory, *descriptors])
        except BaseException:
            os.close(memory)
            raise
        return memory

    def fileno(self) -> int:
        """Give the socket's descriptor."""
        return self.socket.fileno()

    def has_ended(self) -> bool:
        """Tell whether the process at the other end is gone."""
        try:
            return not self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Hang up; a process that is still parked ends."""
        self.socket.close()


class Spawner:
    """Starts a zygote when there is none and has it fork.

    Args:
        environment: of the zygote.
        streams: descriptors that it and its children get as stdout and stderr; None is the parent's own.

    Attributes: pid of the zygote, 0 without one; generation: another number after each preload.
    """

    def __init__(
        self, environment: dict[str, str], streams: tuple[int | None, int | None] = (None, None)
    ) -> None:
        # one BLAS thread: a forker must be single-threaded, and a component of its own is parallel enough
        self._environment = {
            **environment,
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
        }
        self._streams = streams
        self._orders: deque[tuple[bytes, list[int]]] = deque()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._preload: bytes | None = None
        self.generation = 0
        self.is_loading = False

    @property
    def pid(self) -> int:
        """The zygote's pid, 0 without one."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start a zygote; it takes orders at once and carries them out when it is up."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        command = [sys.executable, "-P", "-m", "dolphin_mp.process.zygote", str(theirs.fileno())]
        try:
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._streams[0],
                stderr=self._streams[1],
                env=self._environment,
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise SpawnError(f"can't start the zygote: {error.strerror}") from None
        finally:
            theirs.close()
        self._control = ours
        if self._preload:
            self._orders.appendleft((self._preload, []))
            self.is_loading = True

    def preload(self, plan: Plan, *, trusted: bool) -> None:
        """Have this zygote, and each that follows it, import the components' modules.

        Trusted: a throwaway process has imported them and found no traces of that.
        """
        order = {
            "system": plan.name,
            "sys_path": plan.sys_path,
            "modules": plan.modules,
            "trusted": trusted,
        }
        self._preload = json.dumps(order).encode()
        self.generation += 1
        self.is_loading = True
        self._orders.append((self._preload, []))
        self.flush()

    def park(self, home: bytes) -> Line:
        """Ask for a spare, which waits until it is told what to be; gives its line.

        Raises SpawnError when the machine has no more descriptors or processes.
        """
        return self._fork(lambda line: line.tell(HOME_ORDER.rstrip(), home))

    def fork(self, content: bytes, *descriptors: int) -> Line:
        """Ask for a process that carries out an assignment, and gets the descriptors; gives its line.

        Raises SpawnError when the machine has no more descriptors or processes.
        """
        return self._fork(lambda line: line.tell(b"run", content, *descriptors))

    def fork_inspector(self, content: bytes) -> tuple[Line, int]:
        """Ask for a process that inspects; gives its line, and the memory file that its answer comes in.

        The caller closes the file. Raises SpawnError when the machine has no more descriptors or processes.
        """
        memory = []
        line = self._fork(lambda line: memory.append(line.tell_by_file(b"inspect", content)))
        return line, memory[0]

    def _fork(self, tell: Callable[[Line], None]) -> Line:
        """Ask for a process; what it is told rests in its line until it is born."""
        try:
            if self._control is None:
                self.start()
            ours, theirs = _line()
        except OSError as error:
            raise _no_process(error) from None
        try:
            tell(ours)
        except OSError as error:
            ours.close()
            theirs.close()
            raise _no_process(error) from None
        self._order(theirs)
        return ours

    def _order(self, theirs: socket.socket) -> None:
        self._orders.append((b"fork", [theirs.detach()]))
        self.flush()

    def flush(self) -> bool:
        """Send what the zygote has room for; tells whether something is left."""
        while self._orders and self._control is not None:
            order, descriptors = self._orders[0]
            try:
                socket.send_fds(self._control, [order], descriptors)
            except BlockingIOError:
                return True
            except OSError:  # it is dead, as `read` will say
                self._drop_orders()
                return False
            self._orders.popleft()
            _close(descriptors)
        return bool(self._orders)

    def fileno(self) -> int:
        """Give the control socket's descriptor, -1 without a zygote."""
        return self._control.fileno() if self._control is not None else -1

    def read(self) -> bytes:
        """Give what the zygote says: ready, loaded, or none if that is nothing; empty when it is dead."""
        try:
            word = self._control.recv(MAX_LINE) if self._control is not None else b""
        except BlockingIOError:
            return b"none"
        except OSError:
            return b""
        if word == b"loaded":
            self.is_loading = False
        return word

    def wait_ready(self) -> None:
        """Wait, before the loop runs, until the first zygote is up; raises SpawnError."""
        control = self._control
        if control is None:
            raise SpawnError("no zygote was started")
        control.settimeout(START_LIMIT_S)
        try:
            ready = control.recv(MAX_LINE)
        except OSError:
            ready = b""
        control.setblocking(False)
        if ready != b"ready":
            raise SpawnError("the zygote did not come up: does `python -c 'import numpy'` work?")

    def lost(self) -> None:
        """Forget a zygote that hung up, and what it was asked for."""
        process, self._process = self._process, None
        self.hang_up()
        if process is not None:
            process.kill()
            try:
                process.wait(0)
            except subprocess.TimeoutExpired:
                process.returncode = -9  # it is reaped with the strangers

    def like(self) -> Spawner:
        """Give another one for the same environment and streams, without a zygote or modules."""
        return Spawner(self._environment, self._streams)

    def retire(self) -> None:
        """Hang up without waiting, after what was ordered; the zygote is reaped with the strangers."""
        process, self._process = self._process, None
        self.flush()
        self.hang_up()
        if process is not None:
            process.returncode = 0

    def close(self) -> None:
        """Hang up; the zygote and parked processes end by themselves."""
        process, self._process = self._process, None
        self.hang_up()
        if process is not None:
            try:
                process.wait(CLOSE_LIMIT_S)
            except subprocess.TimeoutExpired:  # it is importing something
                process.kill()
                process.wait()

    def hang_up(self) -> None:
        """Ask for nothing any more: the zygote ends when it has done what it was ordered."""
        if self._control is not None:
            self._control.close()
            self._control = None
        self._drop_orders()

    def _drop_orders(self) -> None:
        """Forget what was not sent; the lines of those unborn end."""
        for _, descriptors in self._orders:
            _close(descriptors)
        self._orders.clear()


def _line() -> tuple[Line, socket.socket]:
    """Give both ends of a line; a report that comes through it says who sends it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return Line(ours), theirs


def _no_process(error: OSError) -> SpawnError:
    return SpawnError(f"can't make a process: {error.strerror}")


def _memory_file(content: bytes) -> int:
    memory = os.memfd_create("dolphin-mp", os.MFD_CLOEXEC)
    try:
        with open(memory, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(memory, 0, os.SEEK_SET)
    except BaseException:
        os.close(memory)
        raise
    return memory


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
