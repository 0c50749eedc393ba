"""Numbers as venues write them: plain decimals in JSON strings, whole numbers, times; nothing else."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import chain
from typing import Any

import orjson

from dolphin_mp.workers.books.events import BadMessageError, Fault, Levels

LATEST_MS = 2**63 // 1_000_000 - 1
MOST_ID = 2**64 - 1

_NUMBER = r"[0-9]{1,24}(?:\.[0-9]{1,24})?"
_DECIMALS = re.compile(rf"(?:{_NUMBER},)*(?:{_NUMBER})?")
"""Plain decimals joined by commas: `float` alone would also read "nan", "1_0" and " 7"."""
_SECONDS = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,9}))?")


def decode(payload: bytes) -> Any:
    """Give what the JSON says; raises ValueError."""
    return orjson.loads(payload)


def levels(pairs: Any, key: str, symbol: str) -> Levels:
    """Give levels from a list of [price, size], each a plain decimal."""
    try:
        if type(pairs) is list and set(map(type, pairs)) <= {list}:
            numbers = [(float(price), float(size)) for price, size in pairs]
            if _DECIMALS.fullmatch(",".join(chain.from_iterable(pairs))):
                return numbers
    except (TypeError, ValueError):  # not two to a level, or not text, or not a number
        pass
    reason = f"{key} is no list of [price, size] in plain decimals"
    raise BadMessageError(reason, symbol, Fault.VALUE)


def firsts(raw: Any, widths: set[int], key: str, symbol: str) -> list[list[Any]]:
    """Give the first two items of each level, where a level has one of so many."""
    if type(raw) is list and set(map(type, raw)) <= {list} and set(map(len, raw)) <= widths:
        return [level[:2] for level in raw]
    raise BadMessageError(f"{key} is no list of levels", symbol)


def number(text: Any, key: str, symbol: str, *, of_book: bool = True) -> float:
    """Give one plain decimal above 0."""
    if type(text) is str and text and _DECIMALS.fullmatch(text) and "," not in text and float(text) > 0:
        return float(text)
    raise BadMessageError(f"{key} is no plain decimal above 0", symbol, Fault.VALUE, of_book=of_book)


def whole(data: dict[str, Any], key: str, symbol: str, most: int = MOST_ID) -> int:
    """Give a whole number of a message."""
    value = data.get(key)
    if type(value) is not int or not 0 <= value <= most:  # a bool is an int, but not of this type
        raise BadMessageError(f"{key} is no whole number", symbol)
    return value


def milliseconds(data: dict[str, Any], key: str, symbol: str, *, of_book: bool = True) -> int:
    """Give a time in ms since 1970, written as a number or as text, in ns."""
    value = data.get(key)
    if type(value) is str and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if type(value) is not int or not 0 <= value <= LATEST_MS:
        raise BadMessageError(f"{key} is no time", symbol, of_book=of_book)
    return value * 1_000_000


def seconds(text: Any, symbol: str, *, of_book: bool = True) -> int:
    """Give a time in decimal seconds since 1970 in ns."""
    found = _SECONDS.fullmatch(text) if type(text) is str else None
    if found is None:
        raise BadMessageError("a time is no decimal", symbol, of_book=of_book)
    return int(found[1]) * 1_000_000_000 + int((found[2] or "").ljust(9, "0"))


def iso_time(text: Any, symbol: str, *, of_book: bool = True) -> int:
    """Give a time like 2021-04-17T16:43:37.075687Z in ns, exact to the microsecond."""
    try:
        if type(text) is str and text.endswith("Z"):
            return round(datetime.fromisoformat(text).timestamp() * 1e6) * 1000
    except (ValueError, OverflowError):
        pass
    raise BadMessageError("a time is none", symbol, of_book=of_book)


def sign_of(text: Any, buy: str, sell: str, symbol: str) -> bool:
    """Give True for the word that means a purchase."""
    if text not in (buy, sell) or type(text) is not str:
        raise BadMessageError("a trade without a side", symbol, of_book=False)
    return text == buy
