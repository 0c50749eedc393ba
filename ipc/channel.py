"""Channel: a ring of versioned records in one shared-memory segment, one writer, any number of readers."""

from __future__ import annotations

import contextlib
import math
import operator
import os
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from dolphin_mp.ipc import _core, layout, lock
from dolphin_mp.ipc.errors import (
    BusyError,
    ClaimedError,
    MismatchError,
    NoRecordError,
    ReplacedError,
    SegmentInvalidError,
)
from dolphin_mp.ipc.fill import fill
from dolphin_mp.ipc.folder import LOCK_WRITER
from dolphin_mp.ipc.segment import Segment, new_header
from dolphin_mp.ipc.watch import death_watch, open_process

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dolphin_mp.ipc._core import Record
    from dolphin_mp.ipc.segment import Header

_core.look_inside(np.zeros((2, 3)))
_CAN_SPIN = (os.cpu_count() or 1) > 1


class Since(NamedTuple):
    """Records in order of their versions, and how many between were overwritten before they were read."""

    records: list[Record]
    lost: int


class Channel(_core.Ring):
    """A handle of a channel: `create` makes and owns it, `attach` opens it, `claim` makes this the writer.

    A record is an array of the channel's `dtype` and `shape`. Reads give copies and never wait for the
    writer; `view` and `writing` copy nothing. Handles are context managers; the owner's `close` unlinks the
    segment, an attached one's never does. After a fork the child's handles raise ForkedError.
    """

    def __init__(self, segment: Segment, *, to_claim: bool = False) -> None:
        self._segment = segment
        self._cursor = 0
        self._alarm: _core.Doorbell | None = None  # rung as well when the watched writer dies
        self._pidfds: list[int] = []  # of the watched writer, one or none; the finalizer knows this list
        self.may_spin = _CAN_SPIN
        header = segment.header
        self._finalizer = weakref.finalize(self, _abandon, segment, self._pidfds)
        try:
            self._dtype_and_shape = (_record_dtype(header), header.shape)
            self._map_segment(writable=to_claim)
        except ValueError as error:
            self._finalizer()
            raise SegmentInvalidError(segment.name, f"its dtype is corrupted: {error}") from None
        except BaseException:
            self._finalizer()
            raise

    @classmethod
    def create(cls, name: str, dtype: Any, shape: int | Sequence[int] = (), keep: int = 8) -> Self:
        """Make the channel's segment and own it, or take up one of the same layout whose owner is dead.

        Args:
            name: the segment's name; foreign programs find it as ``/dev/shm/NAME``.
            dtype: any numpy dtype of fixed size without object pointers.
            shape: the shape of one record, ``()`` for a single one.
            keep: how many records are readable at any instant.

        Raises:
            SegmentExistsError: a living owner has it.
            SegmentInvalidError: a foreign file has that name.
            SegmentFullError: /dev/shm has no room.
            TypeError, ValueError: no such dtype, shape, keep or name can be.
        """
        kind = np.dtype(dtype)
        sizes = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        sizes = tuple(operator.index(n) for n in sizes)
        if kind.subdtype is not None:  # numpy knows no array of it: its shape becomes the array's
            kind, sizes = kind.base, sizes + kind.shape
        description = layout.describe_dtype(kind)
        if layout.dtype_from_description(description) != kind:
            raise TypeError(f"dtype {kind} can't be described to others: it has titles or is no numpy dtype")
        record_size = kind.itemsize * math.prod(sizes)
        header = new_header(description, sizes, record_size, operator.index(keep))
        return cls(Segment.create(name, header))

    @classmethod
    def attach(cls, name: str, *, to_claim: bool = False) -> Self:
        """Open the channel of that name; raises SegmentMissingError, SegmentInvalidError.

        Args:
            name: the segment's name.
            to_claim: map the records writable at once, which spares the `claim` that follows a new mapping.
        """
        return cls(Segment.attach(name), to_claim=to_claim)

    def _map_segment(self, *, writable: bool) -> None:
        header = self._segment.header
        dtype, shape = self._dtype_and_shape
        head = _core.Memory(self._segment.fd, layout.PAGE, True)
        # a reader's wild store can't reach the records: only the header page is writable to it
        data = _core.Memory(self._segment.fd, header.segment_size, writable)
        self._map(
            self._segment.name,
            head,
            data,
            header.header_size,
            header.slot_stride,
            header.slot_count,
            header.record_size,
            dtype,
            shape,
            np.empty,
            np.ndarray,
            writable,
        )
        self._data = memoryview(data)
        self._is_writable = writable

    # lifetime ------------------------------------------------------------------------------------------

    @property
    def keep(self) -> int:
        """How many records are readable at any instant."""
        return self._segment.header.keep

    @property
    def record_size(self) -> int:
        """Bytes of a record."""
        return self._segment.header.record_size

    @property
    def owner(self) -> bool:
        """Whether this handle's `close` unlinks the segment."""
        return self._segment.owner

    @property
    def writer_alive(self) -> bool:
        """Whether a living handle holds the claim: the kernel's word."""
        self._check_usable()
        return self._claimed or self._segment.writer_alive()

    _claimed = False

    def claim(self) -> int:
        """Become the writer; gives the new epoch.

        Raises ClaimedError naming the holder while another living handle is the writer.
        """
        if self._claimed and self._is_writer:
            return int(self.epoch)
        self._check_not_replaced()
        self._check_idle()
        if not lock.try_lock(self._segment.fd, LOCK_WRITER):
            pid = self.writer_pid
            self._check_not_replaced()  # its replacement holds the lock
            raise ClaimedError(self.name, lock.describe_process(pid) if pid else "a handle about to let go")
        try:
            self._check_not_replaced()
            if not self._is_writable:
                self._map_segment(writable=True)
            epoch = self._begin_claim(os.getpid(), lock.own_start_time())
        except BaseException:
            lock.unlock(self._segment.fd, LOCK_WRITER)
            raise
        self._claimed = True
        return int(epoch)

    def release(self) -> None:
        """Stop being the writer; the records stay. Raises BusyError in the midst of a record."""
        if self._claimed:
            epoch = self._end_claim()
            self._claimed = False
            if self._segment.is_open:
                lock.unlock(self._segment.fd, LOCK_WRITER)
            self._tell_release(epoch)

    def close(self, *, unlink: bool | None = None) -> None:
        """Let go of the channel; by default the owner unlinks the segment, anyone else never does.

        Views that are still alive keep the memory mapped. Closing twice does nothing, nor does closing in a
        forked child. Raises BusyError while another thread is inside, or in the midst of `writing`.
        """
        if self._segment.fd < 0 or self._segment.is_foreign:
            return
        self._check_idle()
        self.release()
        self._unmap()
        del self._data
        _unwatch(self._pidfds)
        self._finalizer.detach()
        self._segment.close(unlink=unlink)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._segment.fd < 0:
            return f"<Channel {self._segment.name!r} closed>"
        dtype, shape = self._dtype_and_shape
        return f"<Channel {self._segment.name!r} dtype={dtype} shape={shape} keep={self.keep}>"

    # writing -------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self) -> Iterator[np.ndarray[Any, Any]]:
        """Give the next record's own memory to fill; it is published on leaving, not after an exception.

        The array holds what an older record left there: fill all of it. It is not to be used after leaving.
        """
        index = self._begin_writing()
        try:
            array = self._slot_array(index)
            yield array
        except BaseException:
            self._abort_writing()
            raise
        array.flags.writeable = False
        self._commit_writing()

    def _slot_array(self, index: int) -> np.ndarray[Any, Any]:
        header = self._segment.header
        dtype, shape = self._dtype_and_shape
        offset = header.header_size + index * header.slot_stride + layout.SLOT_HEADER
        return np.ndarray(shape, dtype, buffer=self._data, offset=offset)

    def _from_fields(self, array: Any, fields: dict[str, Any]) -> np.ndarray[Any, Any]:
        """Give a record made of all its fields by name."""
        dtype, shape = self._dtype_and_shape
        if array is not None or not fields:
            raise MismatchError(self.name, "publish(array) or publish(field=..., ...), one of them")
        if dtype.names is None or set(fields) != set(dtype.names):
            missing = [name for name in dtype.names or () if name not in fields]
            unknown = [name for name in fields if name not in (dtype.names or ())]
            parts = [
                f"{word} {', '.join(names)}"
                for word, names in (("missing", missing), ("unknown", unknown))
                if names
            ]
            raise MismatchError(self.name, f"all fields, no others: {'; '.join(parts)}")
        record = np.zeros(shape, dtype)
        for name, value in fields.items():
            self._fill(record[name], value, name)
        return record

    def _fill(self, target: np.ndarray[Any, Any], value: Any, what: str) -> None:
        try:
            fill(target, value)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise MismatchError(self.name, f"{what}: {error}") from None

    def _conform(self, value: Any) -> np.ndarray[Any, Any]:
        """Give a contiguous array of what is one in all but form; raises MismatchError for anything else."""
        dtype, shape = self._dtype_and_shape
        if isinstance(value, (np.ndarray, np.void)):
            if value.dtype != dtype or value.shape != shape:
                fault = f"dtype {value.dtype}, shape {value.shape}; the channel's are {dtype}, {shape}"
                raise MismatchError(self.name, fault)
            return np.array(value, dtype=dtype, order="C", copy=True)
        if shape == () and isinstance(value, (bool, int, float, complex, bytes, str, tuple, np.generic)):
            array: np.ndarray[Any, Any] = np.zeros(shape, dtype)
            self._fill(array, value, "record")
            return array
        raise MismatchError(
            self.name, f"{type(value).__name__} in place of an array of dtype {dtype}, shape {shape}"
        )

    # reading -------------------------------------------------------------------------------------------

    def since(self, version: int) -> Since:
        """Give the records newer than `version` that are still there, and how many were lost.

        At most `keep` records; ``lost`` counts exactly those between that were overwritten. Raises ValueError
        for a version that the channel has not reached.
        """
        newest = self.version
        if version < 0 or version > newest:
            raise ValueError(f"{self.name!r}: version {version} asked, the newest is {newest}")
        return self._between(version, newest)

    def _between(self, version: int, newest: int) -> Since:
        """Give what is left of the records after `version` up to `newest`; all others count as lost."""
        first = max(version + 1, newest - self.keep + 1)
        records = [record for n in range(first, newest + 1) if (record := self._read(n)) is not None]
        return Since(records, newest - version - len(records))

    def new(self) -> Since:
        """Give the records that this handle has not given yet; see `since`."""
        newest = self.version
        found = self._between(min(self._cursor, newest), newest)
        self._cursor = newest
        return found

    def history(self, n: int) -> list[Record]:
        """Give the last n records, at most `keep`, the oldest first."""
        if n < 0:
            raise ValueError(f"history({n}): a number of records")
        newest = self.version
        return self._between(max(0, newest - n), newest).records

    def view(self) -> View:
        """Give the newest record without a copy: a read-only array in the shared memory.

        The writer overwrites it `keep` records later; ``view.valid`` says whether it still holds, and leaving
        ``with channel.view() as array:`` raises OverrunError if it did not until then. Raises NoRecordError
        before the first record.
        """
        for _ in range(_core.MAX_TRIES):
            found = self._peek()
            if found is None:
                if self.version == 0:
                    raise NoRecordError(self.name)
                continue
            version, index, written_ns, epoch = found
            array = self._slot_array(index)
            array.flags.writeable = False
            view = array.view(View)
            view.channel, view.version, view.written_ns, view.epoch = self, version, written_ns, epoch
            if self._whole(version):
                return view
        return self._overrun(_core.MAX_TRIES)

    def _retired(self) -> None:
        if self._segment.is_replaced():
            raise ReplacedError(self.name)

    def _check_not_replaced(self) -> None:
        if self.retired:
            raise ReplacedError(self.name)

    # waiting -------------------------------------------------------------------------------------------

    def _watch(self, epoch: int) -> None:
        """Have the death of that epoch's writer end a wait; called before the first sleep of an epoch.

        It goes by the process that the claim names, not by its lock: a successor may hold that already, and
        die before its claim is an epoch of its own.
        """
        _unwatch(self._pidfds)
        pid = self.writer_pid
        if pid == 0:  # released: `wait` knows
            return
        pidfd = open_process(pid, self._writer_start)
        if pidfd is None:
            self.dead_epoch = epoch
            return
        if pid == os.getpid():
            os.close(pidfd)
            return
        self.may_spin = self.may_spin and _run_apart(pid)
        self._pidfds.append(pidfd)
        this = weakref.ref(self)

        def died() -> None:
            channel = this()
            if channel is not None:
                channel.dead_epoch = epoch
                channel._wake()
                if channel._alarm is not None:
                    channel._alarm.ring()

        death_watch().add(pidfd, died)


def _run_apart(pid: int) -> bool:
    """Whether another process and this one may run at once: two on one core only hinder each other."""
    try:
        return len(os.sched_getaffinity(0) | os.sched_getaffinity(pid)) > 1
    except OSError:  # it died, or its pid is of another namespace
        return len(os.sched_getaffinity(0)) > 1


def _unwatch(pidfds: list[int]) -> None:
    while pidfds:
        death_watch().remove(pidfds.pop())


def _abandon(segment: Segment, pidfds: list[int]) -> None:
    """Let go of what a handle held that was never closed; its segment stays for whoever comes next."""
    if not segment.is_foreign:
        _unwatch(pidfds)
    segment.close(unlink=False)


def _record_dtype(header: Header) -> np.dtype[Any]:
    """Give the described dtype; raises ValueError if it can't be that of the segment's records."""
    dtype = layout.dtype_from_description(header.dtype)
    if dtype.subdtype is not None or dtype.hasobject:
        raise ValueError(f"{dtype} is no record's")
    if dtype.itemsize * math.prod(header.shape) != header.record_size:
        raise ValueError("its size is not the record's")
    return dtype


class View(np.ndarray[Any, Any]):
    """A record in place: an array with its version, epoch and time of writing; see `Channel.view`.

    A part of it (a field, a slice) is a view as well; what is computed from it is a copy and always valid.
    """

    channel: Channel | None = None
    version: int = 0
    epoch: int = 0
    written_ns: int = 0

    def __array_finalize__(self, origin: object) -> None:
        if isinstance(origin, View) and np.may_share_memory(self, origin):
            self.__dict__.update(origin.__dict__)

    @property
    def value(self) -> np.ndarray[Any, Any]:
        """The plain array, for symmetry with `Record`."""
        return self.view(np.ndarray)

    @property
    def age_s(self) -> float:
        """Seconds since the record was written."""
        return float((_core.boottime_ns() - self.written_ns) * 1e-9)

    @property
    def valid(self) -> bool:
        """Whether the record is still there: all that was read of it until now was its own."""
        return self.channel is None or bool(self.channel._whole(self.version))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and self.channel is not None and not self.valid:
            self.channel._overrun(1)


def wait_any(waits: Sequence[tuple[_core.Ring, int]], timeout_s: float | None = None) -> list[int]:
    """Sleep until one of several channels has a record newer than given; gives the indices with news.

    News are also a writer's death, a new claim, a replacement, each once; the list is empty after
    `timeout_s` seconds or when the component is asked to stop. Raises as `Channel.wait` does.
    """
    if not waits:
        raise BusyError("wait_any", "no channels to wait on")
    return _core.wait_for([channel for channel, _ in waits], [version for _, version in waits], timeout_s)
