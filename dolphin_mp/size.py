"""Sizes of memory as people write them, "512MiB" or "2GB", as bytes."""

from __future__ import annotations

import math
import re

_BINARY = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_BYTES = {**_BINARY, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_FORM = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)")
_RIGHT = 'write a number and a unit (KiB, MiB, GiB; kB, MB, GB) as a string, such as "512MiB" or "1.5GiB"'
_MOST = 1 << 62  # what the kernel's limits and a 64-bit index take


def parse_size(text: object) -> int:
    """Give the bytes of a size such as "512MiB", "1.5GiB" or "2GB".

    Raises:
        ValueError: it is no string of a number and a unit; the message says what is right.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError(f"a {type(text).__name__} is no size: {_RIGHT}")  # noqa: TRY004 - a fault of the configuration
    if not isinstance(text, str):
        raise ValueError(f'{text} has no unit: write "{text}MiB" or "{text}GiB"')  # noqa: TRY004
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise ValueError(f'"{text}" is no size: {_RIGHT}')
    number, unit = form.groups()
    if not unit:
        raise ValueError(f'"{text}" has no unit: write "{number}MiB" or "{number}GiB"')
    if unit not in _BYTES:
        near = next((known for known in _BINARY if unit[0].upper() == known[0]), "")
        hint = f'write "{number}{near}"' if near and len(unit) <= len(near) else _RIGHT
        raise ValueError(f'"{unit}" is no unit of size: {hint}')
    size = float(number) * _BYTES[unit]
    if size > _MOST:
        raise ValueError(f'"{text}" is more than any machine has: {_RIGHT}')
    return int(size)


def show_size(size: int) -> str:
    """Give a size as text, in the largest binary unit that it fills: "512 MiB"."""
    unit = _unit(size)
    return f"{_rounded_up(size, unit)} {unit}"


def show_excess(used: int, limit: int) -> str:
    """Give two sizes in the unit of the second: "612 of 512 MiB"; the first is rounded up."""
    unit = _unit(limit)
    return f"{_rounded_up(used, unit)} of {_rounded_up(limit, unit)} {unit}"


def _unit(size: int) -> str:
    return max((unit for unit in _BINARY if _BINARY[unit] <= max(size, 1)), key=_BINARY.__getitem__)


def _rounded_up(size: int, unit: str) -> str:
    return f"{math.ceil(size / _BINARY[unit] * 10) / 10:.15g}"
