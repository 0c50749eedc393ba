"""One way to a reader that sleeps: what a wake-up costs."""

from __future__ import annotations

import select
import statistics
from typing import TYPE_CHECKING

from dolphin_mp.bench.harness import Effort, Partner, Row, alternate, pinned, rows
from dolphin_mp.bench.transports import NEVER_SLEEP, OURS, Pipe, available, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 1024
NAP_S = 0.001  # after which every waiter sleeps: ours spins for 50 us


def measure(effort: Effort) -> Iterator[Row]:
    """Give the rows."""
    kinds = [kind for kind in available() if kind not in NEVER_SLEEP]
    with pinned(0), opened(kinds, SIZE) as sides:
        inherited = [side.address for side in sides.values() if isinstance(side, Pipe)]
        with Partner(inherited) as partner:
            for kind in kinds:
                partner.ask("open", kind, SIZE, sides[kind].address)

            def turn(kind: str) -> float:
                partner.tell("listen", kind, effort.naps)
                for _ in range(effort.naps):
                    select.select([], [], [], NAP_S)
                    sides[kind].send_stamped()
                return statistics.median(partner.answer())  # type: ignore[no-any-return]

            turns = {kind: lambda kind=kind: turn(kind) for kind in kinds}
            samples = alternate(turns, effort.rounds)
            partner.ask("close")
    others = {kind: OURS for kind in kinds if kind != OURS}
    yield from rows("one way, 1 KiB, to a reader that sleeps", samples, others)
