"""The last records of a dead writer as bytes, copied soon: its successor is not far."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from dolphin_mp.ipc import ChannelError, _core, layout
from dolphin_mp.ipc.raw import RawChannel, RawRecord
from dolphin_mp.ipc.segment import Segment

MOST_RECORDS = 5
MOST_BYTES = 1 << 20  # of one channel
_SLOT = struct.Struct("<QqQ")  # sequence, written_ns, epoch


class Tail(NamedTuple):
    """The end of a channel.

    Attributes: description (of the dtype); shape; epoch; version (the newest); record_size; records, newest
    first, none of which is missing in between; those that would be too many bytes are left out.
    """

    description: Any
    shape: tuple[int, ...]
    epoch: int
    version: int
    record_size: int
    records: list[RawRecord]

    def facts(self, first_blob: int) -> dict[str, Any]:
        """Give it as plain data; the records' bytes are blobs from that index on."""
        return {
            "dtype": self.description,
            "shape": list(self.shape),
            "epoch": self.epoch,
            "version": self.version,
            "record_size": self.record_size,
            "records": [
                {
                    "version": record.version,
                    "epoch": record.epoch,
                    "written_ns": record.written_ns,
                    "blob": first_blob + at,
                }
                for at, record in enumerate(self.records)
            ],
        }


def read_tail(name: str, died_ns: int, most: int = MOST_RECORDS, most_bytes: int = MOST_BYTES) -> Tail | None:
    """Give the last records of a channel's dead writer; None if the channel can't be read.

    Args:
        name: of its segment.
        died_ns: CLOCK_BOOTTIME of the death; what was written after it is a successor's.
        most: so many records.
        most_bytes: so many bytes in all.
    """
    try:
        segment = Segment.attach(name)
    except (ChannelError, OSError):
        return None
    try:
        channel = RawChannel(segment)
    except OSError:
        segment.close()
        return None
    with channel:
        size = segment.header.record_size
        try:
            records = _copy(channel, segment, died_ns, min(most, most_bytes // size))
        except (ChannelError, OSError):
            records = []
        newest = records[0] if records else None
        version, epoch = (newest.version, newest.epoch) if newest else (channel.version, channel.epoch)
        return Tail(channel.description, channel.extent, epoch, version, size, records)


def _copy(channel: RawChannel, segment: Segment, died_ns: int, number: int) -> list[RawRecord]:
    """Copy records whole: each is there since `version` (R1) told so, and must be there after (R4, R5)."""
    header, newest = segment.header, channel.version
    data = memoryview(_core.Memory(segment.fd, header.segment_size, False))
    found: list[RawRecord] = []
    for version in range(newest, max(0, newest - header.keep), -1):
        if len(found) == number:
            break
        at = header.header_size + version % header.slot_count * header.slot_stride
        sequence, written_ns, epoch = _SLOT.unpack_from(data, at)
        start = at + layout.SLOT_HEADER
        value = bytes(data[start : start + header.record_size]) if written_ns <= died_ns else b""
        if sequence != version * 2 or not channel._whole(version):
            break  # a successor writes already: older ones are the next to go
        if written_ns <= died_ns:
            found.append(RawRecord(value, version, epoch, written_ns))
    return found
