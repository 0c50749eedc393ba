"""Processes of a pool killed at any instant: no record is skipped, none is handled twice without a mark."""

import os
import random
import select
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dolphin_mp.ipc import Channel, Deal, wait_any

WORKERS = 4
KILLS = int(os.environ.get("DOLPHIN_MP_KILLS", "150"))
BATCH = 50


class Siege:
    """A channel, its writer (this process), workers that are killed and replaced, and what they wrote."""

    def __init__(self, folder, keep):
        self.name = f"dolphin-mp-test-{os.getpid()}-siege"
        self.log = folder / "handled"
        self.channel = Channel.create(self.name, "u8", keep=keep)
        self.channel.claim()
        self.kills = 0
        self.pids = []
        for _ in range(WORKERS):
            self.fork()

    def fork(self):
        pid = os.fork()
        if not pid:
            try:
                work(self.name, self.log)
            finally:
                os._exit(1)
        self.pids.append(pid)

    def kill(self, index):
        pid = self.pids.pop(index)
        os.kill(pid, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        self.kills += 1

    def publish(self, count):
        for _ in range(count):
            self.channel.publish(np.array(self.channel.version + 1, "u8"))

    def rage(self, seed):
        chance = random.Random(seed)
        for _ in range(KILLS):
            self.publish(chance.randrange(BATCH))
            select.select([], [], [], chance.random() * 0.004)
            self.kill(chance.randrange(WORKERS))
            self.fork()

    def finish(self):
        """Have the last workers handle the rest; gives (unmarked, marked) as counts by version, and lost."""
        with Deal.open(f"{self.name}.deal", Channel.attach(self.name)) as onlooker:
            limit = time.monotonic() + 20
            seen = onlooker.ring.version
            while onlooker.next <= self.channel.version or onlooker._table.held():
                assert time.monotonic() < limit, (onlooker.next, self.channel.version, onlooker._table.held())
                wait_any([(onlooker.ring, seen)], 0.02)
            lost = onlooker.lost
            onlooker.channel.close()
        while self.pids:
            self.kill(0)
        marks = np.fromfile(self.log, "u8")
        counts = Counter(marks.tolist())
        unmarked = {version >> 1: n for version, n in counts.items() if not version & 1}
        marked = {version >> 1: n for version, n in counts.items() if version & 1}
        return unmarked, marked, lost

    def close(self):
        while self.pids:
            self.kill(0)
        self.channel.close()
        Path(f"/dev/shm/{self.name}.deal").unlink(missing_ok=True)


def work(name, log):
    """Handle records for ever: each is one whole write of its version and mark."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    channel = Channel.attach(name)
    deal = Deal.open(f"{name}.deal", channel)
    deal.join()
    while True:
        seen = [(channel, channel.version), (deal.ring, deal.ring.version)]
        while (record := deal.take()) is not None:
            assert record.value == record.version
            os.write(file, np.array(record.version << 1 | record.redealt, "u8").tobytes())
        deal.watch()
        wait_any(seen)


@pytest.fixture
def siege(tmp_path):
    made = []

    def make(keep):
        made.append(Siege(tmp_path, keep))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_each_record_is_handled_and_unmarked_once_whoever_is_killed(siege):
    it = siege(1 << 16)
    it.rage(1)
    newest = it.channel.version
    unmarked, marked, lost = it.finish()
    assert lost == 0
    assert unmarked.keys() | marked.keys() == set(range(1, newest + 1))
    assert set(unmarked.values()) == {1}
    assert sum(marked.values()) <= it.kills


def test_what_is_overwritten_is_counted_whoever_is_killed(siege):
    it = siege(8)
    it.rage(2)
    newest = it.channel.version
    unmarked, marked, lost = it.finish()
    unhandled = newest - len(unmarked.keys() | marked.keys())
    assert set(unmarked.values()) == {1}
    # who was killed between its work and its word for it left a record to be overwritten
    assert unhandled <= lost <= unhandled + it.kills
    assert unhandled > 100
