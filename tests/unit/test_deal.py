"""Which holder gets which record, and what becomes of it when a holder dies at any point of the taking."""

import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from dolphin_mp.ipc import Channel, ClosedError, Deal, ForkedError, SegmentInvalidError, _core, _deal
from dolphin_mp.ipc.folder import FOLDER

INTENT, HELD, REDEALT = 1, 2, 4


class Pool:
    """A channel and any number of holders that deal its records, all of this process."""

    def __init__(self, keep=8):
        self.name = f"dolphin-mp-test-{os.getpid()}-deal"
        self.channel = Channel.create(self.name, "u8", keep=keep)
        self.channel.claim()
        self.holders = []
        self.file = Path(FOLDER, f"{self.name}.deal")

    def publish(self, count=1):
        for _ in range(count):
            self.channel.publish(np.array(self.channel.version + 1, "u8"))

    def holder(self):
        deal = Deal.open(f"{self.name}.deal", Channel.attach(self.name))
        deal.join()
        self.holders.append(deal)
        return deal

    def kill(self, deal):
        """Have it be as a process that got SIGKILL: only the kernel lets its locks go."""
        self.holders.remove(deal)
        deal._finalizer()
        deal._fd = -1

    def find_deaths(self):
        """Have a living holder notice, as its watch over its neighbour does."""
        self.holders[0]._neighbour_died()

    def words(self, offset, *values):
        """Read a word of the deal, or write words."""
        with self.file.open("r+b") as file:
            file.seek(offset)
            if values:
                file.write(struct.pack(f"<{len(values)}Q", *values))
                return None
            return struct.unpack("<Q", file.read(8))[0]

    def entry(self, number, *values):
        return self.words(_deal.OFFSET_ENTRIES + (number - 1) * _deal.ENTRY_STRIDE, *values)

    def close(self):
        for deal in self.holders:
            deal.close()
            deal.channel.close()
        self.channel.close()
        self.file.unlink(missing_ok=True)


@pytest.fixture
def pool():
    pool = Pool()
    yield pool
    pool.close()


def version(record):
    return record and record.version


def test_each_record_goes_to_one_holder(pool):
    first, second = pool.holder(), pool.holder()
    pool.publish(3)
    assert [version(deal.take()) for deal in (first, second, first, second)] == [1, 2, 3, None]
    assert first.lost == second.lost == first.redealt == 0


def test_the_record_is_at_hand_until_it_is_done(pool):
    deal = pool.holder()
    pool.publish(2)
    assert deal.dealt is None
    assert deal.take() is deal.dealt
    assert deal.dealt.value == 1
    assert not deal.dealt.redealt
    deal.done()
    assert deal.dealt is None


def test_what_a_dead_holder_held_goes_to_another_marked_and_counted(pool):
    first, second = pool.holder(), pool.holder()
    pool.publish(2)
    assert version(first.take()) == 1
    pool.kill(first)
    pool.find_deaths()
    again = second.take()
    assert (again.version, again.redealt, second.redealt) == (1, True, 1)
    after = second.take()
    assert (after.version, after.redealt) == (2, False)
    assert second.take() is None


def test_what_was_redealt_is_redealt_again(pool):
    first, second, third = (pool.holder() for _ in range(3))
    pool.publish()
    first.take()
    pool.kill(first)
    pool.find_deaths()
    assert version(second.take()) == 1
    pool.kill(second)
    pool.find_deaths()
    record = third.take()
    assert (record.version, record.redealt, third.redealt) == (1, True, 2)
    third.done()
    assert third.take() is None


def test_what_is_done_is_not_dealt_again(pool):
    first, second = pool.holder(), pool.holder()
    pool.publish()
    first.take()
    first.done()
    pool.kill(first)
    pool.find_deaths()
    assert second.take() is None
    assert second.redealt == 0


def test_who_joins_finds_what_all_dead_ones_held(pool):
    holders = [pool.holder() for _ in range(3)]
    pool.publish(3)
    for deal in holders:
        deal.take()
    for deal in holders:
        pool.kill(deal)
    late = pool.holder()
    assert sorted(version(late.take()) for _ in range(3)) == [1, 2, 3]
    assert late.take() is None
    assert late.redealt == 3


def test_who_joins_below_the_dead_finds_what_they_held_too(pool):
    first, second = pool.holder(), pool.holder()
    pool.publish()
    second.take()
    first.leave()
    pool.kill(second)
    late = pool.holder()
    assert late._table.number == 1
    assert version(late.take()) == 1


def test_who_leaves_with_a_record_gives_it_back(pool):
    first, second = pool.holder(), pool.holder()
    pool.publish()
    first.take()
    first.leave()
    record = second.take()
    assert (record.version, record.redealt) == (1, True)


def test_what_was_overwritten_before_it_was_dealt_is_counted_as_lost(pool):
    deal = pool.holder()
    pool.publish(20)
    versions = []
    while record := deal.take():
        versions.append(record.version)
    assert versions == list(range(13, 21))
    assert deal.lost == 12


def test_what_was_overwritten_before_it_was_dealt_again_is_lost(pool):
    first, second = pool.holder(), pool.holder()
    pool.publish()
    first.take()
    pool.kill(first)
    pool.find_deaths()
    pool.publish(20)
    assert version(second.take()) == 14
    assert second.lost == 13


def test_losses_stay_counted_when_entries_are_used_again(pool):
    deal = pool.holder()
    pool.publish(20)
    while deal.take():
        pass
    assert deal.lost == 12
    pool.publish(20)
    assert version(deal.take()) == 33
    assert deal.lost == 24
    pool.kill(deal)
    assert pool.holder().lost == 24


@pytest.mark.parametrize("moved", [False, True], ids=["before the cursor moved", "after the cursor moved"])
def test_a_death_in_the_midst_of_taking_neither_loses_nor_doubles(pool, moved):
    first, second = pool.holder(), pool.holder()
    pool.publish(2)
    number = first._table.number
    pool.entry(number, 1 << 16 | number << 4 | INTENT, 2, 0)
    if moved:
        pool.words(_deal.OFFSET_CURSOR, 2 << 16 | number)
    pool.kill(first)
    pool.find_deaths()
    found = [(record.version, record.redealt) for record in (second.take(), second.take())]
    assert found == ([(1, True), (2, False)] if moved else [(1, False), (2, False)])
    assert second.take() is None
    assert second.lost == 0


def test_who_moves_the_cursor_on_confirms_the_move_before(pool):
    first, second = pool.holder(), pool.holder()
    pool.publish(2)
    number = first._table.number
    pool.entry(number, 1 << 16 | number << 4 | INTENT, 2, 0)
    pool.words(_deal.OFFSET_CURSOR, 2 << 16 | number)
    assert version(second.take()) == 2
    assert pool.entry(number) == 1 << 16 | number << 4 | HELD
    second.done()
    pool.kill(first)
    pool.find_deaths()
    record = second.take()
    assert (record.version, record.redealt) == (1, True)


def test_a_death_in_the_midst_of_counting_losses_counts_them_once(pool):
    first, second = pool.holder(), pool.holder()
    pool.publish(20)
    number = first._table.number
    pool.entry(number, 1 << 16 | number << 4 | HELD, 13, 0)
    pool.words(_deal.OFFSET_CURSOR, 13 << 16 | number)
    pool.kill(first)
    pool.find_deaths()
    assert second.lost == 12
    assert version(second.take()) == 13
    assert second.redealt == 0


def test_an_intent_that_did_not_come_about_keeps_the_losses_counted_before(pool):
    first, second = pool.holder(), pool.holder()
    number = first._table.number
    pool.entry(number, 1 << 16 | number << 4 | INTENT, 2, 7)
    pool.kill(first)
    pool.find_deaths()
    assert second.lost == 7


def test_a_number_is_not_given_again_while_its_record_is_in_work(pool):
    first, second = pool.holder(), pool.holder()
    pool.publish()
    first.take()
    number = first._table.number
    pool.kill(first)
    pool.find_deaths()
    second.take()
    third = pool.holder()
    assert third._table.number not in {number, second._table.number}
    second.done()
    assert pool.holder()._table.number == number


def test_a_new_deal_begins_with_what_is_readable(pool):
    pool.publish(20)
    deal = pool.holder()
    assert version(deal.take()) == 13
    assert deal.lost == 0


def test_the_deal_of_a_channel_that_was_replaced_is_replaced(pool):
    deal = pool.holder()
    pool.publish(3)
    deal.take()
    pool.channel.close()
    pool.channel = Channel.create(pool.name, "f8")
    pool.channel.claim()
    pool.channel.publish(1.0)
    fresh = pool.holder()
    assert deal.ring.retired
    assert version(fresh.take()) == 1


def test_a_file_that_is_no_deal_is_refused(pool):
    deal = pool.holder()
    pool.words(0, 0)
    with pytest.raises(SegmentInvalidError):
        pool.holder()
    assert deal.lost == 0


def test_a_closed_handle_says_so(pool):
    deal = pool.holder()
    deal.close()
    deal.close()
    with pytest.raises(ClosedError):
        deal.take()


def test_a_forked_child_is_no_holder_and_holds_no_lock(pool):
    deal = pool.holder()
    pool.publish()
    deal.take()
    pid = os.fork()
    if not pid:
        try:
            deal.done()
        except ForkedError:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert deal.dealt.version == 1


def test_a_wait_ends_when_somebody_joins_or_leaves(pool):
    first = pool.holder()
    tick = first.ring.version
    second = pool.holder()
    assert first.ring.version > tick
    tick = first.ring.version
    second.close()
    assert first.ring.version > tick


def test_the_document_has_the_offsets_of_the_core():
    text = Path(__file__).resolve().parents[2].joinpath("docs", "pools.md").read_text()
    rows = re.findall(r"^\| (\d+) \| `[^`]+` \| `(\w+)` \|", text, re.MULTILINE)
    offsets = {name: int(offset) for offset, name in rows}
    core = {
        "header_size": 12, "segment_size": 16, "source": 24, "entries": 32,
        "tick": _deal.OFFSET_TICK, "cursor": _deal.OFFSET_CURSOR, "redealt": _deal.OFFSET_REDEALT,
        "used": _deal.OFFSET_USED, "until": _deal.ENTRY_UNTIL, "count": _deal.ENTRY_COUNT,
        "pid": _deal.ENTRY_PID, "start": _deal.ENTRY_START,
        "wake": _core.OFFSET_WAKE, "retired": _core.OFFSET_RETIRED, "magic": 0, "layout": 8, "state": 0,
    }  # fmt: skip
    assert offsets == core
    assert _deal.OFFSET_TICK == _core.OFFSET_COMMITTED  # so that a wait takes it for a channel's
