"""8 MiB until the reader has summed it: written in place, or copied; beside peers that copy."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import mmap
import multiprocessing.connection
import os
import select
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import zmq

from dolphin_mp.bench import iceoryx
from dolphin_mp.bench.harness import Effort, Partner, Row, alternate, pinned, rows
from dolphin_mp.ipc import Channel, _core, layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COUNT = 1 << 20  # of float64
SIZE = 8 * COUNT
KEEP = 1
SETTLE_S = 0.002  # until the reader waits
CLOCK = time.monotonic_ns


class Carrier(Protocol):
    """What the bench uses of each: the first side sends, the second sums."""

    address: Any

    def send(self, value: float) -> int:
        """Make an array and send it; gives when its making ended."""

    def sum(self) -> int:
        """Await an array and sum it; gives when that was done."""

    def close(self) -> None:
        """Let go."""


class InPlace:
    """The floor: written where it is read, and a counter; in turn in as many places as the channel has.

    One place alone would stay in the processor's cache, but has nothing to read while it is written.
    """

    places = layout.slot_count(KEEP, SIZE)

    def __init__(self, address: str | None = None) -> None:
        self.address = address or f"/dev/shm/dolphin-mp-bench-{os.getpid()}.{type(self).__name__}"
        self._is_first = address is None
        size = 4096 + self.places * SIZE
        with Path(self.address).open("w+b" if self._is_first else "r+b") as file:
            file.truncate(size)
            memory = mmap.mmap(file.fileno(), size)
        places = [np.frombuffer(memory, "f8", COUNT, 4096 + n * SIZE) for n in range(self.places)]
        self._places = itertools.cycle(places)
        self._counter = _core.Bare(memory, bytearray(1))

    def send(self, value: float) -> int:
        next(self._places).fill(value)
        made = CLOCK()
        self._counter.send()
        return made

    def sum(self) -> int:
        self._counter.wait()
        next(self._places).sum()
        return CLOCK()

    def close(self) -> None:
        if self._is_first:
            Path(self.address).unlink()


class OnePlace(InPlace):
    """The same in one place."""

    places = 1


class Copied(InPlace):
    """The floor of what copies once."""

    def __init__(self, address: str | None = None) -> None:
        super().__init__(address)
        self._own = np.zeros(COUNT)

    def send(self, value: float) -> int:
        self._own.fill(value)
        made = CLOCK()
        np.copyto(next(self._places), self._own)
        self._counter.send()
        return made


class Writing:
    """A channel: `writing()`, then a view."""

    def __init__(self, address: str | None = None) -> None:
        self.address = address or f"dolphin-mp-bench-{os.getpid()}.{type(self).__name__}"
        if address is None:
            self._channel = Channel.create(self.address, "f8", COUNT, keep=KEEP)
            self._channel.claim()
        else:
            self._channel = Channel.attach(address)
        self._version = 0
        self._own = np.zeros(COUNT)

    def send(self, value: float) -> int:
        with self._channel.writing() as array:
            array.fill(value)
            made = CLOCK()
        return made  # noqa: RET504 - taken inside, before the commit

    def sum(self) -> int:
        self._version = self._channel.wait(self._version)
        with self._channel.view() as array:
            array.sum()
        return CLOCK()

    def close(self) -> None:
        self._channel.close()


class Publish(Writing):
    """A channel: `publish(array)`, then a view."""

    def send(self, value: float) -> int:
        self._own.fill(value)
        made = CLOCK()
        self._channel.publish(self._own)
        return made


class Iceoryx:
    """iceoryx2: loan, copy, send; the reader spins."""

    def __init__(self, address: str | None = None) -> None:
        self.address = address or f"dolphin-mp-bench-{os.getpid()}-large"
        names = (f"{self.address}-there", f"{self.address}-back")
        self._link = iceoryx.Link(*(names if address is None else reversed(names)), SIZE)  # type: ignore[call-arg]
        self._own = np.zeros(COUNT)

    def send(self, value: float) -> int:
        self._own.fill(value)
        made = CLOCK()
        self._link.send(self._own.ctypes.data)
        return made

    def sum(self) -> int:
        while (sample := self._link.subscriber.receive()) is None:
            pass
        np.frombuffer((ctypes.c_uint8 * SIZE).from_address(sample.payload_ptr), "f8").sum()  # type: ignore[call-overload]
        return CLOCK()

    def close(self) -> None:
        self._link.close()


class ZeroMQ:
    """A PAIR over ipc, without pyzmq's own copies."""

    def __init__(self, address: str | None = None) -> None:
        self.address = address or f"ipc://@dolphin-mp-bench-{os.getpid()}-large"
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PAIR)
        if address is None:
            self._socket.bind(self.address)
        else:
            self._socket.connect(address)
        self._own = np.zeros(COUNT)

    def send(self, value: float) -> int:
        self._own.fill(value)
        made = CLOCK()
        self._socket.send(self._own, copy=False)  # type: ignore[call-overload]
        return made

    def sum(self) -> int:
        np.frombuffer(self._socket.recv(copy=False), "f8").sum()  # type: ignore[call-overload]
        return CLOCK()

    def close(self) -> None:
        self._context.destroy(linger=0)


class Pipe:
    """multiprocessing's pipe; `address` is the descriptor that the second side inherits."""

    def __init__(self, address: int | None = None) -> None:
        if address is None:
            self._connection, self._other = multiprocessing.connection.Pipe()
            os.set_inheritable(self._other.fileno(), True)
            self.address = self._other.fileno()
        else:
            self._connection = multiprocessing.connection.Connection(address)
        self._own = np.zeros(COUNT)

    def send(self, value: float) -> int:
        self._own.fill(value)
        made = CLOCK()
        self._connection.send_bytes(self._own)  # type: ignore[arg-type]
        return made

    def sum(self) -> int:
        np.frombuffer(self._connection.recv_bytes(), "f8").sum()
        return CLOCK()

    def close(self) -> None:
        self._connection.close()


IN_PLACE, COPIED = "sum in place", "copy and sum"
ONE_PLACE = "sum in place, always the same 8 MiB"
WRITING, PUBLISH = "channel: from the commit of writing()", "channel: by publish(array)"
KINDS: Mapping[str, type[Carrier]] = {
    IN_PLACE: InPlace,
    WRITING: Writing,
    ONE_PLACE: OnePlace,
    COPIED: Copied,
    PUBLISH: Publish,
    "iceoryx2": Iceoryx,
    "ZeroMQ PAIR": ZeroMQ,
    "multiprocessing.Pipe": Pipe,
}
FLOORS = {kind: COPIED for kind in KINDS if kind not in {IN_PLACE, COPIED}} | {
    WRITING: IN_PLACE,
    ONE_PLACE: IN_PLACE,
}
REACH = {WRITING: 1.3, PUBLISH: 1.2}


def measure(effort: Effort) -> Iterator[Row]:
    """Give the rows."""
    kinds = [kind for kind in KINDS if kind != "iceoryx2" or iceoryx.find() is not None]
    with contextlib.ExitStack() as stack:
        stack.enter_context(pinned(0))
        sides: dict[str, Carrier] = {}
        for kind in kinds:
            sides[kind] = KINDS[kind]()
            stack.callback(sides[kind].close)
        inherited = [side.address for side in sides.values() if isinstance(side, Pipe)]
        partner = stack.enter_context(Partner(inherited))
        for kind in kinds:
            partner.ask("open_large", kind, sides[kind].address)
        turns = {kind: lambda kind=kind: _turn(partner, kind, sides[kind], effort.large) for kind in kinds}
        samples = alternate(turns, effort.rounds)
        partner.ask("close")
    floors = {kind: floor for kind, floor in FLOORS.items() if kind in kinds}
    yield from rows("8 MiB until the reader has summed it", samples, floors, REACH)


def _turn(partner: Partner, kind: str, side: Carrier, count: int) -> float:
    taken = []
    for number in range(count):
        partner.tell("sum", kind)
        select.select([], [], [], SETTLE_S)
        made = side.send(float(number))
        taken.append(partner.answer() - made)
    return float(np.median(taken))
