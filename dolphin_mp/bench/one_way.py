"""One way between two processes on two cores, both busy: half of a round trip, as a multiple of the floor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolphin_mp.bench.harness import Effort, Partner, Row, alternate, pinned, rows
from dolphin_mp.bench.transports import FLOOR, OURS, PLAIN, Pipe, available, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 1024
REACH = {OURS: 1.3}


def measure(effort: Effort) -> Iterator[Row]:
    """Give the rows."""
    kinds = available()
    with pinned(0), opened(kinds, SIZE) as sides:
        inherited = [side.address for side in sides.values() if isinstance(side, Pipe)]
        with Partner(inherited) as partner:
            for kind in kinds:
                partner.ask("open", kind, SIZE, sides[kind].address)

            def turn(kind: str) -> float:
                # what blocks is ten times as slow: a tenth of the trips
                count = effort.trips if kind in {FLOOR, PLAIN, OURS} else effort.trips // 10 + 1
                partner.tell("echo", kind, count)
                taken = sides[kind].trip(count)
                partner.answer()
                return float(taken)

            turns = {kind: lambda kind=kind: turn(kind) for kind in kinds}
            samples = alternate(turns, effort.rounds)
            partner.ask("close")
    yield from rows(
        "one way between two processes, 1 KiB, both busy",
        samples,
        {kind: FLOOR for kind in kinds if kind != FLOOR},
        REACH,
    )
