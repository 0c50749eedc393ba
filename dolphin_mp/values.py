"""A record's bytes and the description of its dtype in, plain values out: what JSON and people can read.

A record is an object by field, an array a list, bytes and text are text, a complex number is [re, im], NaN
and NaT are null, infinities are text, times are ISO text and spans a number with its unit. Without numpy,
which would cost a command more than all the rest; only a float of 16 bytes brings it in.
"""

from __future__ import annotations

import math
import re
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    # of so many elements that lie side by side from an offset
    Read = Callable[[bytes, int, int], list[Any]]

_FORM = re.compile(r"([<>|=])([a-zA-Z?])(\d*)(?:\[(\d*)([a-zA-Z]+)\])?")
_NUMBERS = {
    "i1": "b", "i2": "h", "i4": "i", "i8": "q",
    "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
    "b1": "?", "f2": "e", "f4": "f", "f8": "d",
}  # fmt: skip
_NOT_A_TIME = -(1 << 63)
_UNITS_NS = {  # numpy's units of a fixed length
    "W": 604_800_000_000_000, "D": 86_400_000_000_000, "h": 3_600_000_000_000, "m": 60_000_000_000,
    "s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1,
}  # fmt: skip
_DIGITS = {"W": -1, "D": -1, "h": 0, "m": 0, "s": 0, "ms": 3, "us": 6, "ns": 9}


def decode(description: Any, shape: Sequence[int], data: bytes) -> Any:
    """Give the plain value of one record.

    Args:
        description: of its dtype, see `dolphin_mp.ipc.layout.describe_dtype`.
        shape: of the record.
        data: its bytes.

    Raises:
        ValueError: the description is none, or does not fit the bytes.
    """
    try:
        _, read = _reader(description)
        return _nest(read(data, 0, math.prod(shape)), shape)
    except (KeyError, TypeError, IndexError, OverflowError, RecursionError, struct.error) as error:
        raise ValueError(f"the record fits no such dtype: {error}") from None


def _nest(flat: list[Any], shape: Sequence[int]) -> Any:
    """Give a flat list's elements in nested lists of that shape."""
    if not shape:
        return flat[0] if flat else []
    if 0 in shape:
        return [_nest(flat, shape[1:]) for _ in range(shape[0])]
    for size in reversed(shape[1:]):
        flat = [flat[at : at + size] for at in range(0, len(flat), size)]
    return flat


def _reader(description: Any) -> tuple[int, Read]:
    """Give the size of an element in bytes, and what reads some."""
    if isinstance(description, dict):
        return _record_reader(description)
    if isinstance(description, list):
        return _subarray_reader(*description)
    return _plain_reader(description)


def _record_reader(description: dict[str, Any]) -> tuple[int, Read]:
    itemsize = description["itemsize"]
    fields = [
        (name, _reader(form)[1], offset)
        for name, form, offset in zip(
            description["names"], description["formats"], description["offsets"], strict=True
        )
    ]

    def read(data: bytes, start: int, count: int) -> list[Any]:
        places = range(start, start + count * itemsize, itemsize)
        return [{name: one(data, at + offset, 1)[0] for name, one, offset in fields} for at in places]

    return itemsize, read


def _subarray_reader(base: Any, shape: Sequence[int]) -> tuple[int, Read]:
    size, read_base = _reader(base)
    length = math.prod(shape)

    def read(data: bytes, start: int, count: int) -> list[Any]:
        step = size * length
        return [_nest(read_base(data, start + step * n, length), shape) for n in range(count)]

    return size * length, read


def _plain_reader(text: str) -> tuple[int, Read]:
    form = _FORM.fullmatch(text)
    if form is None:
        raise KeyError(f"type {text!r}")
    kind, order = form[2], ">" if form[1] == ">" else "<"
    size = int(form[3] or 0)
    code = _NUMBERS.get(f"{kind}{size}")
    if kind in "SaV":
        return size, _chunks(size, _text if kind != "V" else bytes.hex)
    if kind == "U":
        codec = "utf-32-be" if order == ">" else "utf-32-le"
        return 4 * size, _chunks(4 * size, lambda raw: raw.decode(codec, "replace").rstrip("\0"))
    if kind in "Mm":
        return 8, _times(order, kind, int(form[4] or 1), form[5] or "")
    if kind == "c" and size in {8, 16}:
        return size, _complexes(order, "f" if size == 8 else "d")
    if code is None:
        return size, _by_numpy(text)
    return size, _floats(order + "%d" + code) if kind == "f" else _integers(order + "%d" + code)


def _integers(form: str) -> Read:
    return lambda data, start, count: list(struct.unpack_from(form % count, data, start))


def _floats(form: str) -> Read:
    return lambda data, start, count: [_real(x) for x in struct.unpack_from(form % count, data, start)]


def _complexes(order: str, code: str) -> Read:
    def read(data: bytes, start: int, count: int) -> list[Any]:
        parts = struct.unpack_from(f"{order}{2 * count}{code}", data, start)
        return [[_real(x), _real(y)] for x, y in zip(parts[::2], parts[1::2], strict=True)]

    return read


def _real(number: float) -> float | str | None:
    if math.isfinite(number):
        return number
    return None if math.isnan(number) else "inf" if number > 0 else "-inf"


def _chunks(size: int, convert: Callable[[bytes], str]) -> Read:
    def read(data: bytes, start: int, count: int) -> list[Any]:
        if start + count * size > len(data):
            raise IndexError("it ends within an element")
        return [convert(bytes(data[at : at + size])) for at in range(start, start + count * size, size)]

    return read


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("utf-8", "replace")


def _times(order: str, kind: str, factor: int, unit: str) -> Read:
    convert = _moment if kind == "M" else _span

    def read(data: bytes, start: int, count: int) -> list[Any]:
        numbers = struct.unpack_from(f"{order}{count}q", data, start)
        return [None if n == _NOT_A_TIME else convert(n * factor, unit) for n in numbers]

    return read


def _span(number: int, unit: str) -> str | int:
    return f"{number} {unit}" if unit else number


def _moment(number: int, unit: str) -> str | int:
    """Give ISO text, as precise as the unit; a number with its unit where there is none (before year 1)."""
    from datetime import UTC, datetime, timedelta

    if unit == "Y":
        return f"{1970 + number:04d}"
    if unit == "M":
        return f"{1970 + number // 12:04d}-{number % 12 + 1:02d}"
    if unit not in _UNITS_NS:
        return _span(number, unit)
    seconds, rest_ns = divmod(number * _UNITS_NS[unit], 1_000_000_000)
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return _span(number, unit)
    digits = _DIGITS[unit]
    if digits < 0:
        return moment.strftime("%Y-%m-%d")
    fraction = f".{rest_ns:09d}"[: digits + 1] if digits else ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


def _by_numpy(text: str) -> Read:
    """Read what `struct` does not know: floats of 16 bytes."""

    def read(data: bytes, start: int, count: int) -> list[Any]:
        import numpy as np

        array = np.frombuffer(data, np.dtype(text), count, start)
        if array.dtype.kind == "c":
            return [[_real(float(x.real)), _real(float(x.imag))] for x in array]
        return [_real(float(x)) for x in array]

    return read
