"""What can happen to a message of a symbol: before it is put into words, or to its text on the way."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from exchange.market import Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from exchange.words import Message


class Fault(NamedTuple):
    """A fault of one message.

    Attributes:
        name: what the truth calls it.
        change: makes another message of it, before it is put into words.
        carry: gives the texts that arrive in the place of one.
        hold: it arrives after the symbol's next one.
    """

    name: str
    change: Callable[[Message], Message] = lambda message: message
    carry: Callable[[str], list[str]] = lambda text: [text]
    hold: bool = False


def _cross(message: Message) -> Message:
    """A bid one tick above the best ask, that the venue itself does not hold."""
    price = min(message.asks) + 1
    added = Change(price, 0, 1)
    update = message.update._replace(bids=(*message.update.bids, added))
    return message._replace(update=update, bids=message.bids | {price: 1})


def _deform(number: str) -> Callable[[str], list[str]]:
    """In the place of the first price of a level stands something else."""
    price = re.compile(r'(\["(?:(?:new|change|delete)",)?"?|"price(?:_level)?":"?)-?[0-9][0-9.e-]*')
    return lambda text: [price.sub(rf"\g<1>{number}", text, count=1)]


LOST = Fault("lost", carry=lambda text: [])
REPEATED = Fault("repeated", carry=lambda text: [text, text])
SWAPPED = Fault("swapped", hold=True)
CUT = Fault("cut", carry=lambda text: [text[: len(text) * 2 // 3]])
CORRUPT = Fault("corrupt", carry=_deform("-1.5"))
NOT_A_NUMBER = Fault("not a number", carry=_deform("NaN"))
GARBAGE = Fault("garbage", carry=lambda text: ["\ufffd" + text[::-1]])
CROSSED = Fault("crossed", change=_cross)
WRONG_CHECKSUM = Fault("wrong checksum", change=lambda message: message._replace(wrong_checksum=True))

FAULTS = {
    fault.name: fault
    for fault in (
        LOST,
        REPEATED,
        SWAPPED,
        CUT,
        CORRUPT,
        NOT_A_NUMBER,
        GARBAGE,
        CROSSED,
        WRONG_CHECKSUM,
    )
}
