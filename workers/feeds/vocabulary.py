"""What happens to a connection, and what is to be done about it: the words between a session and the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from dolphin_mp.workers.feeds.dialect import Word


class Start(NamedTuple):
    """The feed begins."""


class Connected(NamedTuple):
    """Connection `number` stands."""

    number: int


class Closed(NamedTuple):
    """Connection `number` is gone, or did not come about; `wait_s`: the venue wants no other before that."""

    number: int
    why: str
    wait_s: float = 0.0


class Said(NamedTuple):
    """The venue said something on connection `number` that is no book's."""

    number: int
    word: Word


class InSync(NamedTuple):
    """A book is in sync."""

    symbol: str


class Lost(NamedTuple):
    """A book is out of sync."""

    symbol: str


class Fetched(NamedTuple):
    """A snapshot asked for on connection `number` has come, or has not.

    `why`: empty if it was taken up; `wait_s`: the venue wants no other before that.
    """

    number: int
    symbol: str
    why: str
    wait_s: float = 0.0


class Tick(NamedTuple):
    """It is late: something may be due."""


class Stop(NamedTuple):
    """The feed ends."""


Event: TypeAlias = Start | Connected | Closed | Said | InSync | Lost | Fetched | Tick | Stop


class Connect(NamedTuple):
    """Open a connection; whatever becomes of it is told with its number."""

    number: int


class Send(NamedTuple):
    """Say this to the venue."""

    payload: bytes


class Fetch(NamedTuple):
    """Fetch the snapshot of a symbol by REST."""

    symbol: str


class Hangup(NamedTuple):
    """Close the connection, and don't wait for the other end."""

    number: int


class Lose(NamedTuple):
    """Take books for lost; all of this connection if `symbols` is None."""

    why: str
    symbols: tuple[str, ...] | None = None


class Say(NamedTuple):
    """Tell the log."""

    line: str
    warning: bool = True


Action: TypeAlias = Connect | Send | Fetch | Hangup | Lose | Say
