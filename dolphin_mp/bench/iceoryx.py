"""iceoryx2's Python package as a peer, where it is installed: zero-copy loans over shared memory."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import itertools
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np


def find() -> Any:
    """Give the package, or None without one."""
    try:
        found = importlib.import_module("iceoryx2")
    except ImportError:
        return None
    return found if hasattr(found, "NodeBuilder") else None  # a folder of that name may be on the import path


class Link:
    """One side of a pair of services: what `out` sends, the other side's `into` gets.

    Args:
        out, into: the services' names.
        size: bytes of a message.
    """

    def __init__(self, out: str, into: str, size: int) -> None:
        iox2 = find()
        iox2.set_log_level(iox2.LogLevel.Error)
        self._node = iox2.NodeBuilder.new().create(iox2.ServiceType.Ipc)
        self.size = size

        def service(name: str) -> Any:
            builder = self._node.service_builder(iox2.ServiceName.new(name))
            return builder.publish_subscribe(iox2.Slice[ctypes.c_uint8]).open_or_create()

        def bell(name: str) -> Any:
            return self._node.service_builder(iox2.ServiceName.new(f"{name}-bell")).event().open_or_create()

        self.publisher = service(out).publisher_builder().initial_max_slice_len(size).create()
        self.subscriber = service(into).subscriber_builder().create()
        self.notifier = bell(out).notifier_builder().create()
        self.listener = bell(into).listener_builder().create()

    def send(self, address: int) -> None:
        """Loan, copy, send."""
        sample = self.publisher.loan_slice_uninit(self.size)
        ctypes.memmove(sample.payload_ptr, address, self.size)
        sample.assume_init().send()

    def receive(self, address: int) -> bool:
        """Take a message, copy it; False if none is there."""
        sample = self.subscriber.receive()
        if sample is None:
            return False
        ctypes.memmove(address, sample.payload_ptr, self.size)
        return True

    def sleep(self) -> None:
        """Sleep until the other side notifies."""
        self.listener.blocking_wait()

    def close(self) -> None:
        """Let go of the ports; the node removes what it leaves behind."""
        for port in (self.publisher, self.subscriber, self.notifier, self.listener):
            port.delete()


@contextlib.contextmanager
def in_process(name: str, array: np.ndarray[Any, Any]) -> Iterator[dict[str, Callable[[int], float]]]:
    """Give turns of sending and of receiving in one process; none without the package."""
    if find() is None:
        yield {}
        return
    link = Link(name, name, array.nbytes)
    address = array.ctypes.data
    with contextlib.closing(link):
        yield {
            "iceoryx2: loan, copy, send, 1 KiB": lambda count: _turn(link, address, count)[0],
            "iceoryx2: receive, copy, 1 KiB": lambda count: _turn(link, address, count)[1],
        }


def _turn(link: Link, address: int, count: int) -> tuple[float, float]:
    """Give ns of a send and of a receive; a subscriber buffers two messages, so they go in pairs."""
    sending = receiving = 0
    clock = time.perf_counter_ns
    for _ in itertools.repeat(None, count):
        began = clock()
        link.send(address)
        sent = clock()
        link.receive(address)
        receiving += clock() - sent
        sending += sent - began
    return sending / count, receiving / count
