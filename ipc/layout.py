"""The segment's layout, once: a numpy dtype a table, the description of a dtype, and sizes.

    segment  = header page(s) | slot 0 | slot 1 | ... | slot n-1
    header   = page 0: fixed words (HEADER below), description (JSON) from `description_offset`
    slot     = 64 bytes (SLOT below) | the record, padded to a multiple of 64

Numbers are little endian, offsets in bytes. docs/channel.md shows the same tables to foreign readers, and a
test holds these, the compiled core's and the document's against one another.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from dolphin_mp.ipc import _core

if TYPE_CHECKING:
    import numpy as np

MAGIC = b"DOLPHIN1"
LAYOUT = 1
PAGE = 4096
SLOT_HEADER = _core.SLOT_HEADER
LARGE = 256 * 1024

# name, numpy format, offset
HEADER_FIELDS = (
    ("magic", "S8", 0),
    ("layout", "<u4", 8),
    ("header_size", "<u4", 12),
    ("segment_size", "<u8", 16),
    ("instance", "<u8", 24),
    ("record_size", "<u8", 32),
    ("slot_stride", "<u8", 40),
    ("slot_count", "<u4", 48),
    ("keep", "<u4", 52),
    ("description_offset", "<u4", 56),
    ("description_size", "<u4", 60),
    ("created_ns", "<i8", 64),
    ("owner_pid", "<u8", 72),
    ("owner_start", "<u8", 80),
    ("committed", "<u8", _core.OFFSET_COMMITTED),
    ("wake", "<u4", _core.OFFSET_WAKE),
    ("epoch", "<u8", _core.OFFSET_EPOCH),
    ("writer_pid", "<u8", _core.OFFSET_WRITER_PID),
    ("writer_start", "<u8", _core.OFFSET_WRITER_START),
    ("claimed_ns", "<i8", _core.OFFSET_CLAIMED_NS),
    ("retired", "<u8", _core.OFFSET_RETIRED),
)
SLOT_FIELDS = (
    ("sequence", "<u8", 0),
    ("written_ns", "<i8", 8),
    ("epoch", "<u8", 16),
    ("origin_ns", "<i8", 24),
    ("token", "<u8", 32),
)
DESCRIPTION_OFFSET = 512
_TYPE = re.compile(r"[<>|][biufcmMSUV][0-9]{1,18}(\[[0-9A-Za-z]{1,24}\])?")  # as `numpy.dtype.str` gives it


def header_dtype() -> np.dtype[Any]:
    """Give the header page's fixed words as a numpy dtype of 4096 bytes."""
    return _table(HEADER_FIELDS, PAGE)


def slot_dtype() -> np.dtype[Any]:
    """Give a slot's own 64 bytes as a numpy dtype."""
    return _table(SLOT_FIELDS, SLOT_HEADER)


def _table(fields: tuple[tuple[str, str, int], ...], itemsize: int) -> np.dtype[Any]:
    import numpy as np

    names, formats, offsets = (list(column) for column in zip(*fields, strict=True))
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize})


def describe_dtype(dtype: np.dtype[Any]) -> Any:
    """Give a dtype as JSON-able data that `numpy.dtype` takes back, offsets and padding included.

    A plain dtype is its type string, a subarray ``[base, shape]``, a structured one a table of names,
    formats, offsets and itemsize. Raises TypeError for dtypes that can't lie in shared memory (object
    pointers, no bytes at all, variable-width strings).
    """
    if dtype.hasobject or dtype.itemsize == 0 or dtype.char == "T":
        raise TypeError(f"dtype {dtype} can't lie in shared memory: it needs a fixed size and no objects")
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return [describe_dtype(base), list(shape)]
    if dtype.fields is None:
        return dtype.str
    names = list(dtype.names or ())
    return {
        "names": names,
        "formats": [describe_dtype(dtype.fields[name][0]) for name in names],
        "offsets": [dtype.fields[name][1] for name in names],
        "itemsize": dtype.itemsize,
        "aligned": dtype.isalignedstruct,
    }


def dtype_from_description(data: Any) -> np.dtype[Any]:
    """Undo `describe_dtype`; raises ValueError for data that describe no dtype."""
    import numpy as np

    try:
        dtype: np.dtype[Any] = np.dtype(_constructor_argument(data))
    except (
        TypeError,
        ValueError,
        LookupError,
        AttributeError,
        ArithmeticError,
        MemoryError,
        RecursionError,
    ) as e:
        raise ValueError(f"no dtype: {e}") from None
    return dtype


def _constructor_argument(data: Any) -> Any:
    if isinstance(data, list):
        base, shape = data
        return (_constructor_argument(base), tuple(shape))
    if isinstance(data, dict):
        return {
            "names": data["names"],
            "formats": [_constructor_argument(item) for item in data["formats"]],
            "offsets": data["offsets"],
            "itemsize": data["itemsize"],
            "aligned": bool(data.get("aligned", False)),
        }
    if not isinstance(data, str) or not _TYPE.fullmatch(data):
        raise TypeError(f"{data!r:.40} in place of a type string")
    return data


def describe(dtype: Any, shape: tuple[int, ...]) -> bytes:
    """Give the header's description text of a described dtype and a shape."""
    return json.dumps({"dtype": dtype, "shape": list(shape)}, separators=(",", ":")).encode()


def slot_count(keep: int, record_size: int) -> int:
    """Give how many slots hold `keep` readable records at any instant.

    One more than keep is what the promise needs. At least four, because a reader of a large record in two
    slots loses to a back-to-back writer (measured: 27 % of 1 MiB reads failed 200 times over, none in four).
    """
    return max(keep + 1, 4) if record_size < LARGE else max(keep + 2, 4)


def slot_stride(record_size: int) -> int:
    """Give the bytes from one slot to the next."""
    return SLOT_HEADER + (record_size + 63) // 64 * 64
