"""Takes a record of a deal instruction by instruction, and kills or overtakes the taker after each change.

    python tests/siege/deal_stepper.py fresh

The taker runs in a child under ptrace(2) and stands still wherever the deal's segment has changed. Killed
there, another holder must get each record that the child had not said to be done, marked if the child had it;
likewise if that holder had taken all it could get before. Left standing there and then let go on, it and the
other must have each record once between them, unmarked.
Prints what was done as JSON; exit 77: ptrace is not allowed here.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from stepper import REFUSED, SHM, SINGLESTEP, Tracee

from dolphin_mp.ipc import Channel, Deal, _core

KEEP = 8
PUBLISHED = {"fresh": 3, "overwritten": 20}
WATCHED = 4096 + 8 * 64  # the header and more entries than there are holders


class Scene:
    """A deal with a holder here and one in a child, which is about to take a record and be done with it."""

    def __init__(self, count: int) -> None:
        self.name = f"t-{os.getpid()}-dealstep"
        self.owner = Channel.create(self.name, "u8", keep=KEEP)
        self.owner.claim()
        self.holder = self.join()
        for version in range(1, count + 1):
            self.owner.publish(np.array(version, "u8"))
        self._said, self._saying = os.pipe()
        self.tracee = Tracee(self.join, lambda deal: self.operate(deal, count))
        self._fd = os.open(SHM / f"{self.name}.deal", os.O_RDONLY)
        self._now = np.frombuffer(_core.Memory(self._fd, WATCHED, False), "u8")
        self._before = self._now.copy()

    def join(self) -> Deal:
        deal = Deal.open(f"{self.name}.deal", Channel.attach(self.name))
        deal.join()
        return deal

    def operate(self, deal: Deal, newest: int) -> None:
        """Do what is looked at, in the child: by the compiled part alone, for the rest changes nothing."""
        version = deal._table.take(newest, KEEP)
        deal._table.finish()
        os.write(self._saying, bytes([version]))

    def next_change(self) -> bool:
        """Let the child go to the next change of the deal; False at the end of its operation."""
        while self.tracee.go_on(SINGLESTEP):
            if not np.array_equal(self._now, self._before):
                self._before = self._now.copy()
                return True
        return False

    def drain(self) -> list[tuple[int, bool]]:
        """Take all that the holder here can get."""
        got = []
        while (record := self.holder.take()) is not None:
            got.append((record.version, record.redealt))
        return got

    def child_got(self) -> int:
        """Let the child come to its end; gives the version that it took, 0 for none."""
        assert self.tracee.ends_within(5), "it hangs"
        return os.read(self._said, 1)[0]

    def end(self) -> None:
        self.tracee.kill()
        for fd in (self._said, self._saying, self._fd):
            os.close(fd)
        self.holder.channel.close()
        self.holder.close()
        self.owner.close()
        for path in SHM.glob(f"{self.name}*"):
            path.unlink()


def killed_at(count: int, change: int, *, overtaken: bool = False) -> str | None:
    """Kill the child after so many changes; says what became of the first record, None past the last change.

    Args:
        count: of records published.
        change: after which it stands.
        overtaken: another takes all it can get before the child is killed.
    """
    scene = Scene(count)
    try:
        for _ in range(change):
            if not scene.next_change():
                return None
        got = scene.drain() if overtaken else []
        scene.tracee.kill()
        scene.holder._neighbour_died()
        got += scene.drain()
        readable = list(range(max(1, count - KEEP + 1), count + 1))
        assert sorted(version for version, _ in got) in (readable, readable[1:]), got
        assert [version for version, redealt in got if redealt] in ([], readable[:1]), got
        assert scene.holder.lost == count - len(readable)
        assert scene.holder.redealt == sum(redealt for _, redealt in got)
        if len(got) < len(readable):
            return "done"
        return "redealt" if scene.holder.redealt else "untouched"
    finally:
        scene.end()


def overtaken_at(count: int, change: int) -> None:
    """Have another take all while the child stands after so many changes, then let the child go on."""
    scene = Scene(count)
    try:
        for _ in range(change):
            assert scene.next_change()
        got = scene.drain()
        its = scene.child_got()
        versions = sorted([version for version, _ in got] + [its] * bool(its))
        assert versions == list(range(max(1, count - KEEP + 1), count + 1)), (got, its)
        assert not any(redealt for _, redealt in got), got
        assert scene.holder.lost == count - len(versions)
    finally:
        scene.end()


def main() -> int:
    count = PUBLISHED[sys.argv[1]]
    outcomes: list[str] = []
    try:
        while (outcome := killed_at(count, len(outcomes))) is not None:
            assert killed_at(count, len(outcomes), overtaken=True) == outcome
            overtaken_at(count, len(outcomes))
            outcomes.append(outcome)
    except PermissionError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    order = ["untouched", "redealt", "done"]
    assert outcomes == sorted(outcomes, key=order.index), outcomes
    assert set(outcomes) == set(order), outcomes
    sys.stdout.write(json.dumps({"changes": len(outcomes) - 1, "outcomes": outcomes}) + "\n")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.exit(main())
