"""What differs between venues once their messages are events: how a book starts, continues and is proven."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from dolphin_mp.workers.books.events import Delta, Joint

Joins: TypeAlias = Callable[[Delta, int], Joint]
"""How a delta stands to the snapshot of that id."""
Follows: TypeAlias = Callable[[Delta, int], bool]
"""Whether a delta may come after the one of that last id."""


class Checksum(NamedTuple):
    """How a venue proves a book: a number made of its best levels' texts, the best first."""

    of: Callable[[list[str], list[str]], int]
    depth: int


class Rules(NamedTuple):
    """A venue's rules for one book.

    Attributes:
        joins: for snapshots that come another way than the messages do, so that some of these are older.
            None: snapshots come between the messages, and the next one continues them.
        follows: None: a delta names the id of the one before it, which must be the last one applied.
        chained: a message that was lost shows at the next one, in each dialect. Where it does not, each
            message that is of no use costs the book its sync at once.
        checksum: None: the venue sends none.
    """

    joins: Joins | None = None
    follows: Follows | None = None
    chained: bool = True
    checksum: Checksum | None = None


def not_before(delta: Delta, after: int) -> bool:
    """Follow where ids are times: they may stand still, and never run backward."""
    return delta.last_id >= after
