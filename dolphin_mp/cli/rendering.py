"""A record's plain value as lines for people."""

from __future__ import annotations

from dolphin_mp.cli.show import Column, table, terminal_width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_MOST_INLINE = 8  # elements of an array shown inside a line


def lines_of(value: Any) -> Iterable[str]:
    """Give one record as lines of field and value, many as a table, numbers as rows."""
    if isinstance(value, dict):
        return _fields(value)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return _records(value)
    if isinstance(value, list):
        return _rows(value, ())
    return [_cell(value)]


def _fields(record: dict[str, Any]) -> Iterable[str]:
    flat = _flat(record)
    width = max(map(len, flat))
    return [f"{name.ljust(width)}  {_cell(value)}" for name, value in flat.items()]


def _flat(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Give nested records' fields by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _records(records: list[dict[str, Any]]) -> Iterable[str]:
    flat = [_flat(record) for record in records]
    columns = [
        Column("", right=True),
        *(Column(n, right=isinstance(v, (int, float))) for n, v in flat[0].items()),
    ]
    rows = [[str(at), *(_cell(value) for value in record.values())] for at, record in enumerate(flat)]
    return table(columns, rows, terminal_width(), {})


def _rows(array: list[Any], place: tuple[int, ...]) -> Iterable[str]:
    """Give an array's innermost rows, a line each; of several dimensions with the indices before."""
    if array and isinstance(array[0], list):
        for at, part in enumerate(array):
            yield from _rows(part, (*place, at))
    elif place:
        yield f"[{', '.join(map(str, place))}]  " + "  ".join(map(_cell, array))
    else:
        width = len(str(len(array) - 1))
        yield from (f"{str(at).rjust(width)}  {_cell(value)}" for at, value in enumerate(array))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, list):
        more = f", … {len(value) - _MOST_INLINE} more" if len(value) > _MOST_INLINE else ""
        return f"[{', '.join(map(_cell, value[:_MOST_INLINE]))}{more}]"
    return str(value)
