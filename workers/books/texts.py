"""Numbers as venues write them: plain decimals in JSON strings, whole numbers, times; nothing else."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import chain
from typing import Any, TypeGuard

import orjson

from dolphin_mp.workers.books.events import (
    LEAST_PRICE,
    MOST_PRICE,
    MOST_SIZE,
    BadMessageError,
    Fault,
    Levels,
    Trade,
)

LATEST_MS = 2**63 // 1_000_000 - 1
LATEST_NS = LATEST_MS * 1_000_000
"""In April 2262: what a record has room for."""
MOST_ID = 2**64 - 1

_SECONDS = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,9}))?")


def _are_decimals(joined: str) -> bool:
    """Tell whether texts that `float` has read are plain decimals: it reads "nan", "1_0", " 7", "7." too."""
    return not joined.strip("0123456789.,") and ",." not in f",{joined}" and ".," not in f"{joined},"


def decode(payload: bytes) -> Any:
    """Give what the JSON says; raises ValueError."""
    return orjson.loads(payload)


def both_sides(bids: Any, asks: Any, symbol: str) -> tuple[Levels, Levels]:
    """Give the levels of two lists of [price, size], each a plain decimal."""
    try:
        if type(bids) is type(asks) is list and set(map(type, bids + asks)) <= {list}:
            numbers = (
                [(float(price), float(size)) for price, size in bids],
                [(float(price), float(size)) for price, size in asks],
            )
            if _are_decimals(",".join(chain.from_iterable(bids + asks))):
                return numbers
    except (TypeError, ValueError):  # not two to a level, or not text, or not a number
        pass
    raise BadMessageError("no lists of [price, size] in plain decimals", symbol, Fault.VALUE)


def levels(pairs: Any, symbol: str) -> Levels:
    """Give the levels of a list of [price, size], each a plain decimal."""
    return both_sides(pairs, [], symbol)[0]


def firsts(raw: Any, widths: set[int], key: str, symbol: str) -> list[list[Any]]:
    """Give the first two items of each level, where a level has one of so many."""
    if type(raw) is list and set(map(type, raw)) <= {list} and set(map(len, raw)) <= widths:
        return [level[:2] for level in raw]
    raise BadMessageError(f"{key} is no list of levels", symbol)


def trade(symbol: str, event_ns: int, price: Any, size: Any, *, bought: bool) -> Trade:
    """Give a trade of a price and a size in plain decimals that can be ones."""
    if type(price) is type(size) is str and _are_decimals(f"{price},{size}"):
        try:
            numbers = float(price), float(size)
        except ValueError:
            pass
        else:
            return trade_of(symbol, event_ns, *numbers, bought=bought)
    raise BadMessageError("a trade without plain decimals", symbol, Fault.VALUE, of_book=False)


def trade_of(symbol: str, event_ns: int, price: Any, size: Any, *, bought: bool) -> Trade:
    """Give a trade of a price and a size in JSON numbers that can be ones."""
    if (
        is_number(price)
        and is_number(size)
        and LEAST_PRICE <= price <= MOST_PRICE
        and 0.0 < size <= MOST_SIZE
    ):
        return Trade(symbol, event_ns, float(price), float(size), bought)
    raise BadMessageError("a trade of no price or size", symbol, Fault.VALUE, of_book=False)


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a JSON value is a number."""
    return type(value) in (int, float)  # a bool is neither


def whole(data: dict[str, Any], key: str, symbol: str, most: int = MOST_ID) -> int:
    """Give a whole number of a message."""
    value = data.get(key)
    if type(value) is not int or not 0 <= value <= most:  # a bool is an int, but not of this type
        raise BadMessageError(f"{key} is no whole number", symbol)
    return value


def numbered(data: dict[str, Any], key: str, symbol: str) -> int:
    """Give an id, written as a number or as text."""
    value = data.get(key)
    if type(value) is str and value.isascii() and value.isdigit() and len(value) <= 20:
        value = int(value)
    if type(value) is not int or not 0 <= value <= MOST_ID:
        raise BadMessageError(f"{key} is no id", symbol)
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
    event_ns = int(found[1]) * 1_000_000_000 + int((found[2] or "").ljust(9, "0"))
    if event_ns > LATEST_NS:
        raise BadMessageError("a time is none", symbol, of_book=of_book)
    return event_ns


def iso_time(text: Any, symbol: str, *, of_book: bool = True) -> int:
    """Give a time like 2021-04-17T16:43:37.075687Z in ns, exact to the microsecond."""
    try:
        if type(text) is str and text.endswith("Z"):
            event_ns = round(datetime.fromisoformat(text).timestamp() * 1e6) * 1000
            if 0 <= event_ns <= LATEST_NS:
                return event_ns
    except (ValueError, OverflowError):
        pass
    raise BadMessageError("a time is none", symbol, of_book=of_book)


def sign_of(text: Any, buy: str, sell: str, symbol: str) -> bool:
    """Give True for the word that means a purchase."""
    if text not in (buy, sell) or type(text) is not str:
        raise BadMessageError("a trade without a side", symbol, of_book=False)
    return text == buy
