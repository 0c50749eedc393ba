"""Durations as people write them, "5ms" or "4h", as seconds."""

from __future__ import annotations

import re

_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 36525 * 86400.0  # chosen: the kernel's and Python's time-outs take it without overflow
_FORM = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([a-zµ]+)")
_RIGHT = 'write a number and a unit (ns, us, ms, s, m, h, d) as a string, such as "250ms", "10s" or "4h"'


def parse_duration(text: object) -> float:
    """Give the seconds of a duration such as "5ms", "1.5s" or "4h".

    Raises:
        ValueError: it is no string of a number and a unit; the message says what is right.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError(f"a {type(text).__name__} is no duration: {_RIGHT}")  # noqa: TRY004 - a fault of the configuration
    if not isinstance(text, str):
        units = ", ".join(_SECONDS)
        raise ValueError(f'{text} has no unit: write "{text}s" or "{text}ms" (units: {units})')  # noqa: TRY004
    form = _FORM.fullmatch(text.strip())
    unit = form[2].replace("µ", "u") if form else ""
    if form is None or unit not in _SECONDS:
        raise ValueError(f'"{text}" is no duration: {_RIGHT}')
    seconds = float(form[1]) * _SECONDS[unit]
    if seconds > _LONGEST:
        raise ValueError(f'"{text}" is too long: at most a hundred years; {_RIGHT}')
    return seconds
