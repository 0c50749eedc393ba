"""Any story of publishing, taking, dying and joining: each record is done once or counted as lost."""

import itertools
import os
from collections import Counter
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dolphin_mp.ipc import Channel, Deal

KEEP = 4
WHO = st.integers(0, 9)
_numbers = itertools.count()


class Story(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.name = f"dolphin-mp-test-{os.getpid()}-story{next(_numbers)}"
        self.channel = Channel.create(self.name, "u8", keep=KEEP)
        self.channel.claim()
        self.opened = []
        self.holders = []
        self.taken = Counter()  # unmarked
        self.marked = 0
        self.done = Counter()
        self.join()

    @rule()
    def join(self):
        deal = Deal.open(f"{self.name}.deal", Channel.attach(self.name))
        deal.join()
        self.opened.append(deal)
        self.holders.append(deal)

    @rule(count=st.integers(1, 2 * KEEP))
    def publish(self, count):
        for _ in range(count):
            self.channel.publish(np.array(self.channel.version + 1, "u8"))

    def pick(self, who):
        return self.holders[who % len(self.holders)]

    def finished(self, deal):
        if deal.dealt is not None:
            self.done[deal.dealt.version] += 1

    @precondition(lambda self: self.holders)
    @rule(who=WHO)
    def take(self, who):
        deal = self.pick(who)
        self.finished(deal)
        record = deal.take()
        if record is not None:
            assert record.value == record.version
            assert self.done[record.version] == 0
            self.taken[record.version] += not record.redealt
            self.marked += record.redealt
            assert self.taken[record.version] == 1

    @precondition(lambda self: self.holders)
    @rule(who=WHO)
    def finish(self, who):
        deal = self.pick(who)
        self.finished(deal)
        deal.done()

    @precondition(lambda self: self.holders)
    @rule(who=WHO)
    def leave(self, who):
        deal = self.pick(who)
        self.holders.remove(deal)
        deal.leave()

    @precondition(lambda self: self.holders)
    @rule(who=WHO)
    def die(self, who):
        deal = self.pick(who)
        self.holders.remove(deal)
        deal._finalizer()  # only the kernel lets its locks go
        deal._fd = -1
        if self.holders:
            self.holders[0]._neighbour_died()

    @invariant()
    def nobody_has_what_another_has(self):
        held = [deal.dealt.version for deal in self.holders if deal.dealt is not None]
        assert len(held) == len(set(held))
        assert max(self.taken.values(), default=0) <= 1
        assert max(self.done.values(), default=0) <= 1

    def teardown(self):
        try:
            self.settle()
        finally:
            for deal in self.opened:
                deal.channel.close()
                deal.close()
            self.channel.close()
            Path(f"/dev/shm/{self.name}.deal").unlink()

    def settle(self):
        """Have all be done by a last holder, and compare with what the deal counted."""
        for deal in self.holders:
            self.finished(deal)
            deal.done()
        self.join()
        last = self.holders[-1]
        while (record := last.take()) is not None:
            self.taken[record.version] += not record.redealt
            self.marked += record.redealt
            self.done[record.version] += 1
        self.nobody_has_what_another_has()
        newest = self.channel.version
        assert (last.lost, last.redealt) == (newest - len(self.done), self.marked)
        assert last.next == newest + 1


TestStory = Story.TestCase
TestStory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
