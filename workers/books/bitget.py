"""Bitget, ``books`` and ``trade`` of the first API: a snapshot, then changes, each with a CRC32.

Spot and perpetuals share names, so a symbol carries its type: ``sp:EOSUSDT``, ``mc:UNIUSDT``. Messages have a
time but no id. The checksum is made of the 25 best levels of both sides in turn, as they were written.

Source: https://bitgetlimited.github.io/apidoc/en/spot/#depth-channel
"""

from __future__ import annotations

import re
from itertools import chain, zip_longest
from typing import Any
from zlib import crc32

from dolphin_mp.workers.books import texts
from dolphin_mp.workers.books.events import BadMessageError, Delta, Event, Fault, Proof, Snapshot, Trade
from dolphin_mp.workers.books.rules import Checksum, Rules, not_before

CAPTURE = "BITGET"
"""How cryptofeed's raw captures name this venue."""

_KEY = rb'"%s":\s*"([A-Za-z0-9_-]{1,24})"'
_TYPE, _CHANNEL, _NAME = (re.compile(_KEY % key) for key in (b"instType", b"channel", b"instId"))
_NO_ID = -1


def checksum(bids: list[str], asks: list[str]) -> int:
    """Give the venue's number for the best levels: bids and asks in turn, signed."""
    shares = filter(None, chain.from_iterable(zip_longest(bids, asks)))
    unsigned = crc32(":".join(shares).encode())
    return unsigned - (1 << 32) if unsigned >> 31 else unsigned


RULES = Rules(follows=not_before, chained=False, checksum=Checksum(checksum, 25))


def parse(payload: bytes) -> tuple[Event, ...]:
    """Give the events of one socket message; none if it is about something else than books and trades.

    Raises:
        BadMessageError: the message can't be read, or says what no such message can say.
    """
    if payload == b"pong":
        return ()
    try:
        message = texts.decode(payload)
    except ValueError as error:
        raise broken(payload, "undecodable JSON") from error
    if type(message) is dict and type(message.get("event")) is str:
        return ()
    if type(message) is not dict or type(message.get("arg")) is not dict:
        raise broken(payload, "not a message of the venue")
    symbol, channel = symbol_of(message["arg"]), message["arg"].get("channel")
    if channel == "books":
        return tuple(_book(message.get("action"), data, symbol) for data in _objects(message, symbol))
    if channel == "trade" and message.get("action") == "update":  # the snapshot tells of earlier ones
        return _trades(message.get("data"), symbol)
    return ()


def parse_reply(url: str, body: bytes) -> Snapshot | None:  # noqa: ARG001 - no book comes by REST
    """Give None: snapshots come on the socket."""
    return None


def symbols_in(url: str) -> list[str]:  # noqa: ARG001 - it is always the same
    """Give no symbol: the URL names none."""
    return []


def symbols_sent(payload: bytes) -> list[str]:
    """Give the symbols whose book a message to the venue asks for."""
    try:
        arguments = texts.decode(payload).get("args", ())
        return [symbol_of(each) for each in arguments if each.get("channel") == "books"]
    except (ValueError, TypeError, AttributeError):
        return []


def broken(payload: bytes, reason: str) -> BadMessageError:
    """Give the error for a message that can't be read, with the symbol that it seems to be about."""
    kind, channel, name = (pattern.search(payload, 0, 4096) for pattern in (_TYPE, _CHANNEL, _NAME))
    symbol = f"{kind[1].decode().lower()}:{name[1].decode()}" if kind and name else None
    return BadMessageError(reason, symbol, of_book=not (channel and channel[1] != b"books"))


def symbol_of(argument: dict[str, Any]) -> str:
    """Give the symbol of a subscription: its type and its name."""
    kind, name = argument.get("instType"), argument.get("instId")
    if type(kind) is not str or type(name) is not str:
        raise BadMessageError("a message without an instrument")
    return f"{kind.lower()}:{name}"


def _objects(message: dict[str, Any], symbol: str) -> list[dict[str, Any]]:
    data = message.get("data")
    if type(data) is not list or set(map(type, data)) != {dict}:
        raise BadMessageError("a book message without data", symbol)
    return data


def _book(action: object, data: dict[str, Any], symbol: str) -> Event:
    proof = data.get("checksum")
    if type(proof) is not int:
        raise BadMessageError("a book without its checksum", symbol, Fault.CHECKSUM)
    event_ns = texts.milliseconds(data, "ts", symbol)
    bids, asks = texts.both_sides(data.get("bids"), data.get("asks"), symbol)
    proofs = Proof(list(map(":".join, data["bids"])), list(map(":".join, data["asks"])), proof)
    if action == "snapshot":
        return Snapshot(symbol, event_ns, event_ns, bids, asks, proofs)
    if action == "update":
        return Delta(symbol, event_ns, event_ns, _NO_ID, event_ns, bids, asks, proofs)
    raise BadMessageError("neither snapshot nor update", symbol)


def _trades(raw: Any, symbol: str) -> tuple[Event, ...]:
    if type(raw) is not list or set(map(type, raw)) - {list} or set(map(len, raw)) - {4}:
        raise BadMessageError("trades of another shape", symbol, of_book=False)
    return tuple(
        Trade(
            symbol,
            texts.milliseconds({"time": time}, "time", symbol, of_book=False),
            texts.number(price, "a price", symbol, of_book=False),
            texts.number(size, "a size", symbol, of_book=False),
            texts.sign_of(side, "buy", "sell", symbol),
        )
        for time, price, size, side in raw
    )
