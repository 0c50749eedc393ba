"""PURE: a crash's facts and the records' bytes as one parcel, from the parent to the writer."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIZE = struct.Struct("<Q")


class ParcelError(ValueError):
    """The bytes are no parcel."""

    def __init__(self) -> None:
        super().__init__("the bytes are no crash's parcel")


def pack(facts: dict[str, Any], blobs: Sequence[bytes]) -> list[bytes]:
    """Give the parcel's pieces, for one `os.writev`; the facts refer to blobs by their index."""
    head = json.dumps({"facts": facts, "sizes": [len(blob) for blob in blobs]}, default=str).encode()
    return [_SIZE.pack(len(head)), head, *blobs]


def unpack(data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Undo `pack`; raises ParcelError."""
    try:
        (size,) = _SIZE.unpack_from(data)
        head = json.loads(data[_SIZE.size : _SIZE.size + size])
        at, blobs = _SIZE.size + size, []
        for length in head["sizes"]:
            blobs.append(data[at : at + length])
            at += length
    except (struct.error, ValueError, KeyError, TypeError):
        raise ParcelError from None
    if at != len(data):
        raise ParcelError
    return head["facts"], blobs
