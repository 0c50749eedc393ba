"""Ways to carry an array to another process: the channel, its floor, and its peers, all used alike.

Each has two sides; the first one opens it and gives the address by which the second one does. Every loop is
written out where it is timed: one more Python call a message would be measured with it.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import multiprocessing.connection
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import zmq

from dolphin_mp.bench import iceoryx
from dolphin_mp.ipc import Channel, _core

if TYPE_CHECKING:
    from collections.abc import Mapping

    Array = np.ndarray[Any, Any]

WARM_UP = 100  # trips before those that count
CLOCK = time.monotonic_ns  # one for all processes of the machine


class Transport(Protocol):
    """What the benches use of each."""

    address: Any

    def trip(self, count: int) -> float:
        """Send and await the echo, `count` times after the warm-up; gives ns one way."""

    def echo(self, count: int) -> None:
        """Await and send back."""

    def send_stamped(self) -> None:
        """Send the time."""

    def await_stamped(self) -> int:
        """Sleep until it comes; gives how many ns that took."""

    def close(self) -> None:
        """Let go."""


class Shared:
    """Two blocks of a file in shared memory, one a direction, with a counter and an array in each."""

    def __init__(self, size: int, address: str | None = None) -> None:
        self.address = address or f"/dev/shm/dolphin-mp-bench-{os.getpid()}.{type(self).__name__}"
        self._is_first = address is None
        half = 4096 + -(-size // 4096) * 4096
        with Path(self.address).open("w+b" if self._is_first else "r+b") as file:
            file.truncate(2 * half)
            memory = memoryview(mmap.mmap(file.fileno(), 2 * half))
        self.out, self.into = memory[:half], memory[half:]
        if not self._is_first:
            self.out, self.into = self.into, self.out

    def send_stamped(self) -> None:
        raise NotImplementedError("it never sleeps")

    def await_stamped(self) -> int:
        raise NotImplementedError("it never sleeps")

    def close(self) -> None:
        if self._is_first:
            Path(self.address).unlink()


class Plain(Shared):
    """A counter and a copy as a user of numpy writes them."""

    def __init__(self, size: int, address: str | None = None) -> None:
        super().__init__(size, address)
        self._counters = [np.frombuffer(block, "u8", 1) for block in (self.out, self.into)]
        self._data = [np.frombuffer(block, "u1", size, 64) for block in (self.out, self.into)]
        self._array, self._buffer = np.zeros(size, "u1"), np.zeros(size, "u1")
        self._seen = 0

    def trip(self, count: int) -> float:
        (mine, its), (out, into) = self._counters, self._data
        array, buffer, seen, copy = self._array, self._buffer, self._seen, np.copyto
        for number in range(WARM_UP + count):
            if number == WARM_UP:
                began = CLOCK()
            seen += 1
            copy(out, array)
            mine[0] = seen
            while its[0] != seen:
                pass
            copy(buffer, into)
        self._seen = seen
        return (CLOCK() - began) / count / 2

    def echo(self, count: int) -> None:
        (mine, its), (out, into) = self._counters, self._data
        array, buffer, seen, copy = self._array, self._buffer, self._seen, np.copyto
        for _ in itertools.repeat(None, WARM_UP + count):
            seen += 1
            while its[0] != seen:
                pass
            copy(buffer, into)
            copy(out, array)
            mine[0] = seen
        self._seen = seen


class Bare(Shared):
    """The floor: a counter and a copy in compiled code, without any guard."""

    def __init__(self, size: int, address: str | None = None) -> None:
        super().__init__(size, address)
        self._out = _core.Bare(self.out, np.zeros(size, "u1"))
        self._into = _core.Bare(self.into, np.zeros(size, "u1"))

    def trip(self, count: int) -> float:
        out, into = self._out, self._into
        for number in range(WARM_UP + count):
            if number == WARM_UP:
                began = CLOCK()
            out.send()
            into.wait()
            into.copy()
        return (CLOCK() - began) / count / 2

    def echo(self, count: int) -> None:
        out, into = self._out, self._into
        for _ in itertools.repeat(None, WARM_UP + count):
            into.wait()
            into.copy()
            out.send()


class Ours:
    """Two channels; each side waits, then copies."""

    def __init__(self, size: int, address: str | None = None) -> None:
        self.address = address or f"dolphin-mp-bench-{os.getpid()}.trip"
        names = (f"{self.address}-there", f"{self.address}-back")
        if address is None:
            self._out, self._into = (Channel.create(name, "u1", size) for name in names)
            self._out.claim()
        else:
            self._into, self._out = (Channel.attach(name) for name in names)
            self._out.claim()
        self._array, self._buffer = np.zeros(size, "u1"), np.zeros(size, "u1")
        self._version = self._owed = self._took = 0

    def trip(self, count: int) -> float:
        out, into, array, buffer = self._out, self._into, self._array, self._buffer
        version = into.wait(self._version, 0.0)  # hears of the other side's claim, which ends a wait, too
        for number in range(WARM_UP + count):
            if number == WARM_UP:
                began = CLOCK()
            out.publish(array)
            version = into.wait(version)
            into.latest_into(buffer)
        self._version = version
        return (CLOCK() - began) / count / 2

    def echo(self, count: int) -> None:
        out, into, array, buffer = self._out, self._into, self._array, self._buffer
        version = self._version
        for _ in itertools.repeat(None, WARM_UP + count):
            version = into.wait(version)
            into.latest_into(buffer)
            out.publish(array)
        self._version = version

    def send_stamped(self) -> None:
        self._array[:8].view("i8")[0] = CLOCK()
        self._out.publish(self._array)

    def await_stamped(self) -> int:
        if self._owed:  # several came in one wake: a late reader sees the newest
            self._owed -= 1
            return self._took
        while (newest := self._into.wait(self._version)) == self._version:  # a claim ends a wait, too
            pass
        self._into.latest_into(self._buffer)
        self._took = CLOCK() - int(self._buffer[:8].view("i8")[0])
        self._owed, self._version = newest - self._version - 1, newest
        return self._took

    def close(self) -> None:
        self._out.close()
        self._into.close()


class Pipe:
    """multiprocessing's pipe, by its bytes; `address` is the descriptor that the second side inherits."""

    def __init__(self, size: int, address: int | None = None) -> None:
        if address is None:
            self._connection, self._other = multiprocessing.connection.Pipe()
            os.set_inheritable(self._other.fileno(), True)
            self.address = self._other.fileno()
        else:
            self._connection = multiprocessing.connection.Connection(address)
        self._array, self._buffer = np.zeros(size, "u1"), np.zeros(size, "u1")

    def trip(self, count: int) -> float:
        connection, array, buffer = self._connection, self._array, self._buffer
        for number in range(WARM_UP + count):
            if number == WARM_UP:
                began = CLOCK()
            connection.send_bytes(array)  # type: ignore[arg-type]
            connection.recv_bytes_into(buffer)
        return (CLOCK() - began) / count / 2

    def echo(self, count: int) -> None:
        connection, array, buffer = self._connection, self._array, self._buffer
        for _ in itertools.repeat(None, WARM_UP + count):
            connection.recv_bytes_into(buffer)
            connection.send_bytes(array)  # type: ignore[arg-type]

    def send_stamped(self) -> None:
        self._array[:8].view("i8")[0] = CLOCK()
        self._connection.send_bytes(self._array)  # type: ignore[arg-type]

    def await_stamped(self) -> int:
        self._connection.recv_bytes_into(self._buffer)
        return CLOCK() - int(self._buffer[:8].view("i8")[0])

    def close(self) -> None:
        self._connection.close()


class ZeroMQ:
    """A PAIR of sockets over ipc."""

    def __init__(self, size: int, address: str | None = None) -> None:
        self.address = address or f"ipc://@dolphin-mp-bench-{os.getpid()}"
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PAIR)
        if address is None:
            self._socket.bind(self.address)
        else:
            self._socket.connect(address)
        self._array = np.zeros(size, "u1")

    def trip(self, count: int) -> float:
        socket, array = self._socket, self._array
        for number in range(WARM_UP + count):
            if number == WARM_UP:
                began = CLOCK()
            socket.send(array)  # type: ignore[call-overload]
            socket.recv()
        return (CLOCK() - began) / count / 2

    def echo(self, count: int) -> None:
        socket, array = self._socket, self._array
        for _ in itertools.repeat(None, WARM_UP + count):
            socket.recv()
            socket.send(array)  # type: ignore[call-overload]

    def send_stamped(self) -> None:
        self._array[:8].view("i8")[0] = CLOCK()
        self._socket.send(self._array)  # type: ignore[call-overload]

    def await_stamped(self) -> int:
        data = self._socket.recv()
        return CLOCK() - int(np.frombuffer(data, "i8", 1)[0])

    def close(self) -> None:
        self._context.destroy(linger=0)


class Iceoryx:
    """iceoryx2: publish and subscribe, spinning; its events where it is to sleep."""

    def __init__(self, size: int, address: str | None = None) -> None:
        self.address = address or f"dolphin-mp-bench-{os.getpid()}"
        names = (f"{self.address}-there", f"{self.address}-back")
        self._link = iceoryx.Link(*(names if address is None else reversed(names)), size)  # type: ignore[call-arg]
        self._array, self._buffer = np.zeros(size, "u1"), np.zeros(size, "u1")

    def trip(self, count: int) -> float:
        link, array, buffer = self._link, self._array.ctypes.data, self._buffer.ctypes.data
        for number in range(WARM_UP + count):
            if number == WARM_UP:
                began = CLOCK()
            link.send(array)
            while not link.receive(buffer):
                pass
        return (CLOCK() - began) / count / 2

    def echo(self, count: int) -> None:
        link, array, buffer = self._link, self._array.ctypes.data, self._buffer.ctypes.data
        for _ in itertools.repeat(None, WARM_UP + count):
            while not link.receive(buffer):
                pass
            link.send(array)

    def send_stamped(self) -> None:
        self._array[:8].view("i8")[0] = CLOCK()
        self._link.send(self._array.ctypes.data)
        self._link.notifier.notify()

    def await_stamped(self) -> int:
        while not self._link.receive(self._buffer.ctypes.data):
            self._link.sleep()
        return CLOCK() - int(self._buffer[:8].view("i8")[0])

    def close(self) -> None:
        self._link.close()


FLOOR, OURS = "an unguarded counter and copy", "channel: publish, wait, latest_into"
PLAIN = "the same, written with numpy"
NEVER_SLEEP = (FLOOR, PLAIN)
KINDS: Mapping[str, type[Transport]] = {
    FLOOR: Bare,
    OURS: Ours,
    PLAIN: Plain,
    "iceoryx2": Iceoryx,
    "ZeroMQ PAIR": ZeroMQ,
    "multiprocessing.Pipe": Pipe,
}


def available() -> list[str]:
    """Give the kinds that this installation has, the floor first."""
    return [kind for kind in KINDS if kind != "iceoryx2" or iceoryx.find() is not None]


@contextlib.contextmanager
def opened(kinds: list[str], size: int) -> Any:
    """Give the first sides by kind."""
    with contextlib.ExitStack() as stack:
        found = {}
        for kind in kinds:
            found[kind] = KINDS[kind](size)  # type: ignore[call-arg]
            stack.callback(found[kind].close)
        yield found
