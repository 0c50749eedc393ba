"""Values into a record's fields, by what they are: nothing is cut, wrapped, rounded away or stretched."""

from __future__ import annotations

from typing import Any

import numpy as np

_TEXT = {"S": "S", "U": "U", "V": "SV"}  # what may fill which
_INTEGERS = "iu"


def fill(target: np.ndarray[Any, Any], value: Any) -> None:
    """Put a value into an array that is a record's field.

    Its shape must be the field's; text may be shorter than its field, numbers may be of another width of the
    same kind if they fit. A tuple fills a structured field, field by field. Raises TypeError, ValueError,
    ArithmeticError.
    """
    kind = target.dtype
    if kind.names is not None:
        _fill_structured(target, value)
        return
    if kind.kind == "f" and kind.itemsize >= 8 and type(value) is float and target.ndim == 0:
        target[()] = value
        return
    source = np.asarray(value)
    if kind.kind == "S" and source.dtype.kind == "U":
        source = np.char.encode(source, "utf-8")
    if source.shape != target.shape:
        raise ValueError(f"shape {source.shape} in place of {target.shape}")
    if kind.kind in _TEXT:
        _check_text(kind, source)
    if kind.kind in _INTEGERS and source.dtype.kind in _INTEGERS:
        np.copyto(target, source, casting="unsafe")
        if not (target == source).all():
            raise OverflowError(f"{value!r:.60} does not fit {kind}")
        return
    with np.errstate(over="raise"):
        np.copyto(target, source, casting="same_kind")


def _check_text(kind: np.dtype[Any], source: np.ndarray[Any, Any]) -> None:
    if source.dtype.kind not in _TEXT[kind.kind]:
        raise TypeError(f"{source.dtype} in place of {kind}")
    if source.dtype.itemsize > kind.itemsize:
        room = f"{kind.itemsize // 4} characters" if kind.kind == "U" else f"{kind.itemsize} bytes"
        raise ValueError(f"{source.tolist()!r:.60} is longer than {room}")


def _fill_structured(target: np.ndarray[Any, Any], value: Any) -> None:
    names = target.dtype.names or ()
    if isinstance(value, (np.ndarray, np.void)):
        if value.dtype != target.dtype or value.shape != target.shape:
            raise TypeError(
                f"dtype {value.dtype}, shape {value.shape} in place of {target.dtype}, {target.shape}"
            )
        target[...] = value
    elif target.ndim:
        if not isinstance(value, (list, tuple)) or len(value) != len(target):
            raise TypeError(f"{type(value).__name__} in place of {len(target)} records")
        for index, item in enumerate(value):
            _fill_structured(target[index, ...], item)
    elif isinstance(value, tuple) and len(value) == len(names):
        for name, item in zip(names, value, strict=True):
            fill(target[name], item)
    else:
        raise TypeError(f"{value!r:.60} in place of a tuple of {', '.join(names)}")
