"""The second process of the benches: reads orders from stdin, obeys on the second core, answers on stdout."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from dolphin_mp.bench import large
from dolphin_mp.bench.overruns import flood
from dolphin_mp.bench.transports import KINDS

if TYPE_CHECKING:
    from dolphin_mp.bench.large import Carrier
    from dolphin_mp.bench.transports import Transport


class Orders:
    """What it can be told; each method's name is an order, what it gives is the answer."""

    def __init__(self) -> None:
        self._transports: dict[str, Transport] = {}
        self._carriers: dict[str, Carrier] = {}

    def open(self, kind: str, size: int, address: Any) -> None:
        """Open the second side of a transport."""
        self._transports[kind] = KINDS[kind](size, address)  # type: ignore[call-arg]

    def echo(self, kind: str, count: int) -> None:
        """Send back what comes."""
        self._transports[kind].echo(count)

    def listen(self, kind: str, count: int) -> list[int]:
        """Give how long each of so many messages took."""
        return [self._transports[kind].await_stamped() for _ in range(count)]

    def open_large(self, kind: str, address: Any) -> None:
        """Open the second side of a carrier of large arrays."""
        self._carriers[kind] = large.KINDS[kind](address)  # type: ignore[call-arg]

    def sum(self, kind: str) -> int:
        """Give the time at which the next array was summed."""
        return self._carriers[kind].sum()

    def flood(self, name: str, size: int, count: int) -> None:
        """Publish back to back."""
        flood(name, size, count)

    def close(self) -> None:
        """Let go of everything that was opened."""
        for thing in (*self._transports.values(), *self._carriers.values()):
            thing.close()  # type: ignore[attr-defined]
        self._transports.clear()
        self._carriers.clear()


def main() -> None:
    """Obey until stdin ends; argv: the core."""
    os.sched_setaffinity(0, {int(sys.argv[1])})  # the one that started us is pinned to the first
    orders = Orders()
    for line in sys.stdin:
        order, *arguments = json.loads(line)
        sys.stdout.write(json.dumps(getattr(orders, order)(*arguments)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
