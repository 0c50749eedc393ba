"""Shared-memory segments: made whole or not at all, attached with suspicion, given up in the open.

The owner of a segment holds a kernel lock on it; a segment whose owner is dead is taken up by the next
`create` of the same layout, or retired and replaced. Nothing here needs numpy.
"""

from __future__ import annotations

import json
import os
import struct
from functools import lru_cache
from typing import Any, NamedTuple

from dolphin_mp.ipc import _core, layout, lock
from dolphin_mp.ipc.errors import SegmentExistsError, SegmentInvalidError, SegmentMissingError
from dolphin_mp.ipc.folder import (
    LOCK_OWNER,
    LOCK_WRITER,
    NAMESPACE,
    birth,
    check_name,
    give_name,
    identity,
    is_named,
    is_replaced,
    nameless,
    open_checked,
    remove_name,
    shut,
)

_FIXED = struct.Struct("<8sIIQQQQIIIIqQQ")
_OWNER_PID = 72
_LARGEST = 1 << 62


class Header(NamedTuple):
    """The words of a header page that never change during a segment's life."""

    header_size: int
    segment_size: int
    instance: int
    record_size: int
    slot_stride: int
    slot_count: int
    keep: int
    description: bytes

    @property
    def dtype(self) -> Any:
        """The described dtype, see `layout.describe_dtype`; not to be changed."""
        return _described(self.description)["dtype"]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a record."""
        return tuple(_described(self.description)["shape"])


@lru_cache(64)  # each attach asks six times, and a component's birth waits for it
def _described(description: bytes) -> Any:
    return json.loads(description)


def new_header(dtype: Any, shape: tuple[int, ...], record_size: int, keep: int) -> Header:
    """Give the header of a new channel segment; raises ValueError for sizes that make none."""
    if keep < 1 or keep > 1 << 24:
        raise ValueError(f"keep = {keep}: it is a number of records, 1 to 16,777,216")
    if record_size < 1 or any(size < 0 for size in shape) or len(shape) > 32:
        raise ValueError(
            f"a record of {record_size} bytes, shape {shape}: at least one byte, at most 32 dimensions"
        )
    description = layout.describe(dtype, shape)
    header_size = -(-(layout.DESCRIPTION_OFFSET + len(description)) // layout.PAGE) * layout.PAGE
    stride, count = layout.slot_stride(record_size), layout.slot_count(keep, record_size)
    size = -(-(header_size + stride * count) // layout.PAGE) * layout.PAGE
    if size > _LARGEST:
        raise ValueError(f"{count} records of {record_size} bytes: more than a machine can address")
    instance = int.from_bytes(os.urandom(8), "little") >> 1 | 1  # 63 bits, never 0
    return Header(header_size, size, instance, record_size, stride, count, keep, description)


class Segment:
    """One open segment: its descriptor, its header, and whether this handle owns it.

    Attributes: name, fd, header, owner.
    """

    def __init__(self, name: str, fd: int, header: Header, *, owner: bool) -> None:
        self.name = name
        self.fd = fd
        self.header = header
        self.owner = owner
        self._generation = _core.generation()
        self._identity = identity(fd)

    @classmethod
    def create(cls, name: str, header: Header) -> Segment:
        """Make the segment and own it, or take up one of the same layout whose owner is dead.

        Raises SegmentExistsError (a living owner, or a living writer of another layout), SegmentInvalidError,
        SegmentFullError.
        """
        check_name(name)
        while True:
            fd = birth(name, _header_bytes(header), header.segment_size)
            if fd is not None:
                return cls(name, fd, header, owner=True)
            taken = cls._take_up(name, header)
            if taken is not None:
                return taken

    @classmethod
    def attach(cls, name: str) -> Segment:
        """Open the segment of that name; raises SegmentMissingError, SegmentInvalidError."""
        check_name(name)
        fd = open_checked(name)
        try:
            return cls(name, fd, _read_header(name, fd), owner=False)
        except BaseException:
            shut(fd)
            raise

    @classmethod
    def nameless(cls, name: str, header: Header) -> Segment:
        """Make one that nobody else ever sees; raises SegmentFullError."""
        return cls(name, nameless(name, _header_bytes(header), header.segment_size), header, owner=False)

    @classmethod
    def prepare(cls, name: str, header: Header) -> Segment:
        """Make a segment and own it, with its memory reserved, but not yet under its name: see `appear`.

        Raises SegmentFullError.
        """
        check_name(name)
        fd = nameless(name, _header_bytes(header), header.segment_size, lock_byte=LOCK_OWNER)
        return cls(name, fd, header, owner=True)

    def appear(self, instead_of: Segment | None = None) -> None:
        """Give a prepared segment its name, in the place of another that this process owns.

        That one is retired, and its waiters are woken twice: at the first time the name may not lead to the
        new one yet. Raises SegmentExistsError if the name is somebody else's.
        """
        if instead_of is not None:
            retire(instead_of.fd)
            remove_name(self.name, instead_of.fd)
        try:
            if not give_name(self.name, self.fd):
                raise SegmentExistsError(self.name, "somebody else")
        finally:
            if instead_of is not None:
                instead_of.close()

    @classmethod
    def _take_up(cls, name: str, header: Header) -> Segment | None:
        try:
            fd = open_checked(name)
        except SegmentMissingError:
            return None
        keeps = False
        try:
            old = _read_own(name, fd)
            if old is None:
                return None
            if not lock.try_lock(fd, LOCK_OWNER):
                raise SegmentExistsError(name, lock.describe_process(_word(fd, _OWNER_PID)))
            if not is_named(name, fd):
                return None
            same = (old.description, old.keep) == (header.description, header.keep)
            keeps = same and not _word(fd, _core.OFFSET_RETIRED)
            if keeps:
                os.pwrite(fd, struct.pack("<QQ", os.getpid(), lock.own_start_time()), _OWNER_PID)
                return cls(name, fd, old, owner=True)
            return cls._replace(name, fd, header)
        finally:
            if not keeps:
                shut(fd)

    @classmethod
    def _replace(cls, name: str, fd: int, header: Header) -> Segment | None:
        """Put a new segment in the place of a dead owner's; None if another maker was quicker.

        The old one's writer's lock is taken too, so that nobody becomes the writer of what is given up. Its
        waiters are woken twice: at the first time the name may not lead to the new segment yet.
        """
        if not lock.try_lock(fd, LOCK_WRITER):
            writer = lock.describe_process(_word(fd, _core.OFFSET_WRITER_PID))
            raise SegmentExistsError(name, f"{writer}, which still writes what an earlier owner made")
        retire(fd)
        remove_name(name, fd)
        new = birth(name, _header_bytes(header), header.segment_size)
        retire(fd)
        return None if new is None else cls(name, new, header, owner=True)

    @property
    def is_foreign(self) -> bool:
        """Whether it was opened before a fork and this is the child."""
        return self._generation != _core.generation()

    @property
    def is_open(self) -> bool:
        """Whether the descriptor still leads to the segment: nobody closed it behind our back."""
        return self.fd >= 0 and identity(self.fd) == self._identity

    def writer_alive(self) -> bool:
        """Tell whether a living handle other than this one has claimed the channel."""
        return lock.is_locked(self.fd, LOCK_WRITER)

    def is_named(self) -> bool:
        """Tell whether the name still leads to this segment."""
        return is_named(self.name, self.fd)

    def is_replaced(self) -> bool:
        """Tell whether the name leads to another segment now."""
        return is_replaced(self.name, self.fd)

    def close(self, *, unlink: bool | None = None) -> None:
        """Let go; by default an owner retires and unlinks the segment, anyone else never does."""
        is_open = self.is_open and not self.is_foreign
        fd, self.fd = self.fd, -1
        if not is_open:
            return
        try:
            if self.owner if unlink is None else unlink:
                retire(fd)
                remove_name(self.name, fd)
        finally:
            shut(fd)


def retire(fd: int) -> None:
    """Mark the open segment as given up and wake who waits on it."""
    _core.retire(_core.Memory(fd, layout.PAGE, True))


def sweep(name: str) -> bool:
    """Remove a segment that nobody owns or writes; tells whether it was removed."""
    try:
        fd = open_checked(name)
    except (SegmentMissingError, SegmentInvalidError):
        return False
    try:
        if not lock.try_lock(fd, LOCK_OWNER) or not lock.try_lock(fd, LOCK_WRITER):
            return False
        if os.pread(fd, len(layout.MAGIC), 0) == layout.MAGIC and os.fstat(fd).st_size >= layout.PAGE:
            retire(fd)
        remove_name(name, fd)
    finally:
        shut(fd)
    return True


def _header_bytes(header: Header) -> bytes:
    fixed = _FIXED.pack(
        layout.MAGIC,
        layout.LAYOUT,
        header.header_size,
        header.segment_size,
        header.instance,
        header.record_size,
        header.slot_stride,
        header.slot_count,
        header.keep,
        layout.DESCRIPTION_OFFSET,
        len(header.description),
        _core.boottime_ns(),
        os.getpid(),
        lock.own_start_time(),
    )
    return fixed.ljust(layout.DESCRIPTION_OFFSET, b"\0") + header.description


def _word(fd: int, offset: int) -> int:
    return int.from_bytes(os.pread(fd, 8, offset), "little")


def _read_own(name: str, fd: int) -> Header | None:
    """Give the header; a half-made file of our own names is removed, if it is nobody's, and gives None."""
    try:
        return _read_header(name, fd)
    except SegmentInvalidError:
        is_rubbish = name.startswith(NAMESPACE) and os.pread(fd, 8, 0).strip(b"\0") == b""
        if not is_rubbish or not lock.try_lock(fd, LOCK_OWNER):
            raise
        remove_name(name, fd)
        return None


def _read_header(name: str, fd: int) -> Header:
    size = os.fstat(fd).st_size
    page = os.pread(fd, layout.PAGE, 0)
    if len(page) < layout.PAGE:
        raise SegmentInvalidError(name, f"{size} bytes are less than a header: truncated, or not a segment")
    magic, version, header_size, segment_size, instance, *numbers = _FIXED.unpack_from(page)
    record_size, stride, count, keep, description_offset, description_size = numbers[:6]
    if magic != layout.MAGIC:
        raise SegmentInvalidError(name, "it is no dolphin-mp segment, or a half-made one; rubbish? remove it")
    if version != layout.LAYOUT:
        raise SegmentInvalidError(name, f"its layout is {version}, this program reads {layout.LAYOUT}")
    if size < segment_size:
        raise SegmentInvalidError(name, f"it is truncated: {size} of {segment_size} bytes")
    sane = (
        header_size % layout.PAGE == 0
        and description_offset >= layout.DESCRIPTION_OFFSET
        and description_offset + description_size <= header_size
        and 1 <= record_size <= stride - layout.SLOT_HEADER
        and stride % 64 == 0
        and 1 <= keep < count
        and header_size + stride * count <= segment_size
    )
    if not sane:
        raise SegmentInvalidError(name, "its header contradicts itself: it is corrupted")
    description = os.pread(fd, description_size, description_offset)
    header = Header(header_size, segment_size, instance, record_size, stride, count, keep, description)
    try:
        if any(not isinstance(n, int) or n < 0 for n in header.shape) or len(header.shape) > 32:
            raise ValueError  # noqa: TRY301 - one place says what is wrong
        _ = header.dtype
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SegmentInvalidError(name, "its description of dtype and shape is corrupted") from None
    return header
