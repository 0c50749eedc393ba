"""A channel read without numpy: its newest record as bytes, for commands that must be quick to start."""

from __future__ import annotations

from typing import NamedTuple

from dolphin_mp.ipc import _core, layout
from dolphin_mp.ipc.segment import Segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self


class RawRecord(NamedTuple):
    """One record's bytes, its version, the claim that wrote it, and when (CLOCK_BOOTTIME)."""

    data: bytes
    version: int
    epoch: int
    written_ns: int


class RawChannel(_core.Ring):
    """A reader of one channel; it writes nothing and waits for nothing.

    Attributes: description (of the dtype, see `layout.describe_dtype`), extent (the shape of a record).
    """

    def __init__(self, segment: Segment) -> None:
        header = segment.header
        self._segment = segment
        self.description: Any = header.dtype
        self.extent = header.shape
        head = _core.Memory(segment.fd, layout.PAGE, True)
        data = _core.Memory(segment.fd, header.segment_size, False)
        self._map(
            segment.name,
            head,
            data,
            header.header_size,
            header.slot_stride,
            header.slot_count,
            header.record_size,
            None,
            header.shape,
            None,
            None,
            False,
        )

    @classmethod
    def attach(cls, name: str) -> Self:
        """Open the channel of that name; raises SegmentMissingError, SegmentInvalidError."""
        return cls(Segment.attach(name))

    def latest_raw(self) -> RawRecord | None:
        """Give the newest record, or None before the first; raises OverrunError."""
        found = self._latest_bytes()
        return RawRecord(bytes(found[0]), *found[1:]) if found is not None else None

    def close(self) -> None:
        """Let go of the channel."""
        self._unmap()
        self._segment.close(unlink=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
