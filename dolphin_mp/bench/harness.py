"""How things are measured: in alternation with their floor, many times, each on a core of its own.

The machine's speed changes from one second to the next, by its clock and by its other guests. So what is
compared is measured in turns, and a ratio is the median of the ratios of neighbours, never of two runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Self

CORES = sorted(os.sched_getaffinity(0))  # before anything is pinned
Samples = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes: rounds of turns; calls a turn in process; trips a turn between two processes; large arrays a
    turn; naps (sleeping waits) a turn; commands a turn; deaths; births (components of a system); many (of a
    large one); starts (of each system); idle_s (seconds watched).
    """

    rounds: int
    calls: int
    trips: int
    large: int
    naps: int
    commands: int
    deaths: int
    births: int
    many: int
    starts: int
    idle_s: float


FULL = Effort(
    rounds=15,
    calls=20_000,
    trips=4_000,
    large=8,
    naps=40,
    commands=3,
    deaths=200,
    births=50,
    many=1000,
    starts=9,
    idle_s=10.0,
)
TINY = Effort(
    rounds=2,
    calls=20,
    trips=20,
    large=2,
    naps=3,
    commands=1,
    deaths=3,
    births=3,
    many=4,
    starts=1,
    idle_s=0.1,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One result: times in ns, the ratio to the floor named, and what is to be reached (None: nothing is).

    Attributes: reach (of the ratio); limit_ns (of the median itself); unit (of the numbers, where they are
    no times).
    """

    bench: str
    what: str
    least_ns: float
    median_ns: float
    most_ns: float
    floor: str = ""
    ratio: float | None = None
    reach: float | None = None
    note: str = ""
    limit_ns: float | None = None
    unit: str = "ns"

    @property
    def reached(self) -> bool | None:
        """Whether ratio and median are what they should be; None where nothing is asked."""
        if self.limit_ns is not None and self.median_ns > self.limit_ns:
            return False
        if self.reach is None or self.ratio is None:
            return None if self.limit_ns is None else True
        return self.ratio <= self.reach

    def as_data(self) -> dict[str, Any]:
        """Give it for JSON."""
        return {**asdict(self), "reached": self.reached}


def alternate(turns: Mapping[str, Callable[[], float]], rounds: int) -> Samples:
    """Take all turns, in order, so many times; each gives ns. One more round before counts for nothing."""
    samples: Samples = defaultdict(list)
    for number in range(rounds + 1):
        for name, turn in turns.items():
            taken = turn()
            if number:
                samples[name].append(taken)
    return samples


def rows(
    bench: str, samples: Samples, floors: Mapping[str, str], reach: Mapping[str, float] | None = None
) -> Iterator[Row]:
    """Give a row for each thing sampled; `floors` names what each is compared with."""
    for what, taken in samples.items():
        floor = floors.get(what, "")
        pairs = zip(taken, samples[floor], strict=True) if floor else ()
        ratios = [mine / its for mine, its in pairs]
        yield Row(
            bench,
            what,
            min(taken),
            statistics.median(taken),
            max(taken),
            floor,
            statistics.median(ratios) if ratios else None,
            (reach or {}).get(what),
        )


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keep this thread on one of the machine's cores, where there are two; the partner has the last."""
    if len(CORES) > 1:
        os.sched_setaffinity(0, {CORES[core]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, CORES)


class Partner:
    """The second process, on the second core: it does what it is told, one line of JSON after another."""

    def __init__(self, descriptors: Sequence[int] = ()) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dolphin_mp.bench.partner", str(CORES[-1])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=descriptors,
            text=True,
        )

    def tell(self, order: str, *arguments: Any) -> None:
        """Have it begin something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([order, *arguments]) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Wait until it is done; gives what it has to say."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the second process of the benchmark died: see its output above")
        return json.loads(line)

    def ask(self, order: str, *arguments: Any) -> Any:
        """Have it do something, and wait for it."""
        self.tell(order, *arguments)
        return self.answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):  # it is dead
                stream.close()
        self._process.wait()
