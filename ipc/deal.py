"""Deal: has each record of a channel handled by exactly one of several holders; what the dead held, again.

    deal = header page | entry 1 | entry 2 | ... | entry 1024; docs/pools.md has the words

A holder lives as long as it has the kernel's lock on its number's byte. Holders watch each other in a ring,
each the next living one, so that a death is found by one of them at once, with or without a parent. Making
and removing a deal needs no numpy.
"""

from __future__ import annotations

import os
import struct
import threading
import weakref
from typing import TYPE_CHECKING

from dolphin_mp.ipc import _core, _deal, folder, lock
from dolphin_mp.ipc.errors import SegmentInvalidError, SegmentMissingError
from dolphin_mp.ipc.watch import death_watch, open_process

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from dolphin_mp.ipc._core import Record
    from dolphin_mp.ipc.channel import Channel
    from dolphin_mp.ipc.segment import Segment

MAGIC = b"DOLPHIND"
LAYOUT = 1
NUMBERS = 1024
SIZE = _deal.OFFSET_ENTRIES + NUMBERS * _deal.ENTRY_STRIDE
_HEADER = struct.Struct("<8sIIQQI")  # magic, layout, header size, size, the channel's instance, entries
_FIRST_LOCK = 16


class Deal:
    """A handle of a deal; `open` makes or opens it, `join` makes this handle a holder.

    Attributes: name; channel (the records' source); ring (what to wait on, beside the channel); counts (three
    words to count into: records that this handle took, those of them dealt again, those it found lost).
    """

    def __init__(self, name: str, fd: int, channel: Channel) -> None:
        self.name = name
        self.channel = channel
        self._fd = fd
        self._generation = _core.generation()
        memory = _core.Memory(fd, SIZE, True)
        self._table = _deal.Table(memory, NUMBERS)
        self.ring = _core.Ring()
        entries = (_deal.OFFSET_ENTRIES, _deal.ENTRY_STRIDE, NUMBERS)
        self.ring._map(name, memory, memory, *entries, 0, None, (), None, None, True)
        self._lock = threading.Lock()  # the watch's thread buries too, and locks belong to the descriptor
        self._pidfds: list[int] = []  # of the watched neighbour, one or none; the finalizer knows this list
        self._neighbour = (0, 0, 0)
        self._looked = -1
        self._dealt: Record | None = None
        self.counts = memoryview(bytearray(24)).cast("Q")
        self._finalizer = weakref.finalize(self, _abandon, fd, self._pidfds, _core.generation())

    @classmethod
    def open(cls, name: str, channel: Channel) -> Self:
        """Open the deal of a channel, or make it; raises SegmentFullError, SegmentInvalidError."""
        return cls(name, open_deal(name, channel._segment), channel)

    # who takes part -----------------------------------------------------------------------------------------

    def join(self) -> None:
        """Become a holder; what dead ones held is dealt again. Raises ValueError where there are too many."""
        self.ring._check_usable()
        with self._lock:
            number = next((n for n in range(1, NUMBERS + 1) if self._take_number(n)), 0)
            if not number:
                raise ValueError(f"{self.name}: a pool has at most {NUMBERS} living instances")
            self._table.enter(number, os.getpid(), lock.start_time(os.getpid()))
            for other in range(1, self._table.used + 1):
                self._bury_if_dead(other)
        self._tell()

    def _take_number(self, number: int) -> bool:
        if not lock.try_lock(self._fd, _FIRST_LOCK + number):
            return False
        self._table.bury(number)  # as no other can be it now
        if self._table.is_free(number):
            return True
        lock.unlock(self._fd, _FIRST_LOCK + number)  # its predecessor's record waits or is in work
        return False

    def _bury_if_dead(self, number: int) -> bool:
        """Put up what that holder held if it is dead; tells whether it is."""
        if number == self._table.number:
            return False
        if not lock.try_lock(self._fd, _FIRST_LOCK + number):
            return False
        # under its lock: nobody can be it meanwhile
        self._table.bury(number)
        lock.unlock(self._fd, _FIRST_LOCK + number)
        return True

    def leave(self) -> None:
        """Take part no more; a record that is still held is dealt again, to another."""
        number = self._table.number
        if not number:
            return
        self._dealt = None
        with self._lock:
            self._table.forsake()
            _unwatch(self._pidfds)  # from here on no death makes us watch another
            self._table.bury(number)
            lock.unlock(self._fd, _FIRST_LOCK + number)
        self._tell()

    def close(self) -> None:
        """Leave, and let go of the memory; in a forked child do nothing."""
        if self._fd < 0 or self._generation != _core.generation():
            return
        self.leave()
        self._finalizer.detach()
        self.ring._unmap()
        fd, self._fd = self._fd, -1
        folder.shut(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tell(self) -> None:
        """Have all who wait look again."""
        self._table.tick()
        self.ring._wake()

    # deaths -------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Watch the next living holder; called before each sleep, it does something only after a change.

        Whom it finds dead on the way it buries.
        """
        tick = self.ring.version
        if tick == self._looked or not self._table.number:
            return
        self._looked = tick
        with self._lock:
            buried = self._find_neighbour()
        if buried:
            self._tell()

    def _find_neighbour(self) -> bool:
        """Watch the first living holder after us, in a ring; tells whether one before it was dead."""
        mine, used, buried = self._table.number, self._table.used, False
        for number in (*range(mine + 1, used + 1), *range(1, mine)):
            pid, start = self._table.process(number)
            if not pid:
                continue
            if self._bury_if_dead(number):
                buried = True
            elif (number, pid, start) == self._neighbour and self._pidfds:
                return buried
            elif pid != os.getpid():  # what shares our process dies with us: who watches us finds it too
                pidfd = open_process(pid, start)
                if pidfd is None:  # it has died since we asked its lock
                    buried = self._bury_if_dead(number) or buried
                else:
                    self._neighbour = (number, pid, start)
                    _unwatch(self._pidfds)
                    self._pidfds.append(pidfd)
                    death_watch().add(pidfd, _caller(self))
                    return buried
        _unwatch(self._pidfds)
        return buried

    def _neighbour_died(self) -> None:
        with self._lock:
            _unwatch(self._pidfds)
            if self._table.number:
                self._find_neighbour()
        self._tell()

    # records ------------------------------------------------------------------------------------------------

    @property
    def dealt(self) -> Record | None:
        """The record that this instance is to handle now: nobody else has it."""
        return self._dealt

    def take(self) -> Record | None:
        """Give the next record for this instance, None if there is none; the one before it counts as done.

        ``record.redealt`` says that another had it and died: it may have been handled, in part or whole.
        Raises ReplacedError, ClosedError, ForkedError.
        """
        self.done()
        channel, counts = self.channel, self.counts
        while version := self._table.take(channel.version, channel.keep):
            record = channel._read(version)
            if record is not None:
                counts[0] += 1
                if self._table.is_redealt:
                    record._mark_redealt()
                    self._table.count_redealt()
                    counts[1] += 1
                self._dealt = record
                break
            self._table.finish(lost=True)
        counts[2] += self._table.take_passed()
        if self._dealt is None:
            self.watch()
        return self._dealt

    def done(self) -> None:
        """Say that the record taken last is handled; after a step nobody needs to say so."""
        self.ring._check_usable()
        self._table.finish()
        self._dealt = None

    @property
    def lost(self) -> int:
        """How many records were overwritten before any instance of the pool had them."""
        self.ring._check_usable()
        return self._table.lost

    @property
    def redealt(self) -> int:
        """How many records were dealt again, of all instances of the pool."""
        self.ring._check_usable()
        return self._table.redealt

    @property
    def next(self) -> int:
        """The lowest version that no instance has taken yet."""
        self.ring._check_usable()
        return self._table.next


def _caller(deal: Deal) -> Callable[[], None]:
    this = weakref.ref(deal)

    def died() -> None:
        deal = this()
        if deal is not None:
            deal._neighbour_died()

    return died


def _unwatch(pidfds: list[int]) -> None:
    while pidfds:
        death_watch().remove(pidfds.pop())


def _abandon(fd: int, pidfds: list[int], generation: int) -> None:
    """Let go of what a handle held that was never closed; its locks go, so that others bury it."""
    if generation == _core.generation():
        _unwatch(pidfds)
        folder.shut(fd)


def open_deal(name: str, source: Segment) -> int:
    """Open the deal of a channel's segment, or make it, and give its descriptor; one of another is replaced.

    A new one deals what is readable now and all that comes. Raises SegmentFullError, SegmentInvalidError.
    """
    while True:
        fd = folder.birth(name, _new_page(source), SIZE, lock_byte=None)
        if fd is not None:
            return fd
        try:
            fd = folder.open_checked(name)
        except SegmentMissingError:
            continue
        try:
            if _is_of(name, fd, source):
                found, fd = fd, -1
                return found
            lock.wait_lock(fd, folder.LOCK_OWNER)  # of several who find it old one alone removes the name
            _core.retire(_core.Memory(fd, _deal.OFFSET_ENTRIES, True))
            folder.remove_name(name, fd)
        finally:
            if fd >= 0:
                folder.shut(fd)


def _new_page(source: Segment) -> bytes:
    committed = int.from_bytes(os.pread(source.fd, 8, _core.OFFSET_COMMITTED), "little")
    first = max(1, committed - source.header.keep + 1)
    header = _HEADER.pack(MAGIC, LAYOUT, _deal.OFFSET_ENTRIES, SIZE, source.header.instance, NUMBERS)
    return header.ljust(_deal.OFFSET_CURSOR, b"\0") + struct.pack("<Q", first << 16)


def _is_of(name: str, fd: int, source: Segment) -> bool:
    found = _HEADER.unpack(os.pread(fd, _HEADER.size, 0).ljust(_HEADER.size, b"\0"))
    if found[0] != MAGIC:
        raise SegmentInvalidError(name, "it is no deal of a pool")
    whole = found[1] == LAYOUT and found[3] == SIZE <= os.fstat(fd).st_size
    return bool(whole and found[4] == source.header.instance)
