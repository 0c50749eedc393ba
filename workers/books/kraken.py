"""Kraken, books and trades of the first websocket API: a snapshot on the socket, then changes with a CRC32.

A message is a list: channel number, one or two objects, channel name, pair. After each message the venue
keeps only as many levels of a side as were subscribed to, and so must we. The checksum is made of the ten
best levels of both sides, as they were written. Objects with a channel or a method are of the second API,
which `kraken_second` reads; pairs are XBT/USD in the first and BTC/USD in the second.

Source: https://docs.kraken.com/websockets (book, book checksum, trade)
"""

from __future__ import annotations

import re
from typing import Any
from zlib import crc32

from dolphin_mp.workers.books import kraken_second, texts
from dolphin_mp.workers.books.events import (
    BadMessageError,
    Delta,
    Event,
    Fault,
    Levels,
    Opened,
    Proof,
    Snapshot,
)
from dolphin_mp.workers.books.rules import Checksum, Rules

CAPTURE = "KRAKEN"
"""How cryptofeed's raw captures name this venue."""

_BOOK = re.compile(r"book-([1-9][0-9]{0,4})")
_CHANNEL = re.compile(rb'\[([0-9]{1,9}),|"channelID":([0-9]{1,9}),')
_NAMED = re.compile(rb'"([a-z]+)(?:-[0-9]+)?","([A-Z0-9.]+/[A-Z0-9.]+)"\]')
_CHECKSUM = re.compile(r"[0-9]{1,10}")
_WIDTHS = {3, 4}  # the fourth item says that the level is published again


def checksum(bids: list[str], asks: list[str]) -> int:
    """Give the venue's number for the best levels: asks before bids, unsigned."""
    return crc32("".join(asks + bids).encode())


RULES = Rules(chained=False, checksum=Checksum(checksum, 10))


def parse(payload: bytes) -> tuple[Event, ...]:
    """Give the events of one socket message; none if it is about something else than books and trades.

    Raises:
        BadMessageError: the message can't be read, or says what no such message can say.
    """
    try:
        message = texts.decode(payload)
    except ValueError as error:
        raise broken(payload, "undecodable JSON") from error
    if type(message) is dict and type(message.get("event")) is str:
        return _opened(message)
    if type(message) is dict and not kraken_second.KEYS.isdisjoint(message):
        return kraken_second.parse(message, payload)
    if type(message) is not list or len(message) < 4 or set(map(type, message[-2:])) != {str}:
        raise broken(payload, "not a message of the venue")
    name, symbol = message[-2:]
    if name == "trade":
        return _trades(message[1], symbol)
    book = _BOOK.fullmatch(name)
    if book is None:
        return ()
    parts = message[1:-2]
    if set(map(type, parts)) != {dict}:
        raise BadMessageError("a book message without an object", symbol)
    if "as" in parts[0] or "bs" in parts[0]:
        return (_snapshot(parts, symbol, int(book[1])),)
    return (_delta(parts, symbol),)


def parse_reply(url: str, body: bytes) -> Snapshot | None:  # noqa: ARG001 - no book comes by REST
    """Give None: snapshots come on the socket."""
    return None


def symbols_in(url: str) -> list[str]:  # noqa: ARG001 - it is always the same
    """Give no symbol: the URL names none."""
    return []


def symbols_sent(payload: bytes) -> list[str]:
    """Give the symbols whose book a message to the venue asks for."""
    try:
        message = texts.decode(payload)
        if "params" in message:
            return kraken_second.symbols_of(message["params"])
        if message.get("subscription", {}).get("name") != "book":
            return []
        return [pair for pair in message.get("pair", ()) if type(pair) is str]
    except (ValueError, TypeError, AttributeError):
        return []


def broken(payload: bytes, reason: str) -> BadMessageError:
    """Give the error for a message that can't be read, with the symbol or the channel that it is about."""
    if payload.startswith(kraken_second.HEADS):
        return kraken_second.broken(payload, reason)
    named = _NAMED.search(payload[-100:])
    if named:
        return BadMessageError(reason, named[2].decode(), of_book=named[1] == b"book")
    channel = _CHANNEL.match(payload)
    return BadMessageError(
        reason,
        channel=int(channel[1] or channel[2]) if channel else None,
        of_book=payload[:9] != b'{"event":',
    )


def _opened(message: dict[str, Any]) -> tuple[Event, ...]:
    channel, symbol, name = (message.get(key) for key in ("channelID", "pair", "channelName"))
    if type(channel) is int and type(symbol) is str and type(name) is str:
        return (Opened(symbol, channel, name.startswith("book")),)
    return ()


def _snapshot(parts: list[dict[str, Any]], symbol: str, limit: int) -> Snapshot:
    if len(parts) != 1 or parts[0].keys() != {"as", "bs"}:
        raise BadMessageError("a snapshot of another shape", symbol)
    asks, ask_texts, ask_ns = _side(parts[0]["as"], symbol)
    bids, bid_texts, bid_ns = _side(parts[0]["bs"], symbol)
    return Snapshot(symbol, 0, max(ask_ns, bid_ns), bids, asks, Proof(bid_texts, ask_texts, None), limit)


def _delta(parts: list[dict[str, Any]], symbol: str) -> Delta:
    sides: dict[str, Any] = {}
    for part in parts:
        if sides.keys() & part.keys():
            raise BadMessageError("a side is there twice", symbol)
        sides |= part
    value = sides.pop("c", None)
    if not sides or not sides.keys() <= {"a", "b"}:
        raise BadMessageError("a change of another shape", symbol)
    if type(value) is not str or not _CHECKSUM.fullmatch(value):
        raise BadMessageError("a change without its checksum", symbol, Fault.CHECKSUM)
    asks, ask_texts, ask_ns = _side(sides.get("a", []), symbol)
    bids, bid_texts, bid_ns = _side(sides.get("b", []), symbol)
    return Delta(symbol, 0, 0, 0, max(ask_ns, bid_ns), bids, asks, Proof(bid_texts, ask_texts, int(value)))


def _side(raw: Any, symbol: str) -> tuple[Levels, list[str], int]:
    """Give levels, their texts in the checksum (no dot, no zeros in front), and the latest time."""
    pairs = texts.firsts(raw, _WIDTHS, "a side", symbol)
    levels = texts.levels(pairs, symbol)
    shares = [price.replace(".", "").lstrip("0") + size.replace(".", "").lstrip("0") for price, size in pairs]
    return levels, shares, max([texts.seconds(level[2], symbol) for level in raw], default=0)


def _trades(raw: Any, symbol: str) -> tuple[Event, ...]:
    if type(raw) is not list or set(map(type, raw)) - {list} or any(len(each) < 4 for each in raw):
        raise BadMessageError("trades of another shape", symbol, of_book=False)
    return tuple(
        texts.trade(
            symbol,
            texts.seconds(time, symbol, of_book=False),
            price,
            size,
            bought=texts.sign_of(side, "b", "s", symbol),
        )
        for price, size, time, side, *_ in raw
    )
