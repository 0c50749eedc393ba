"""A venue's dialect that is all words, for tests of what a session does with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolphin_mp.workers.feeds.dialect import Form, Heartbeat, Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolphin_mp.workers.feeds.dialect import Word


class FakeDialect:
    """Says ``sub A B`` and ``unsub A``; snapshots come by REST if it has an address."""

    WS_URL = "ws://venue"
    SYMBOL = Form("[A-Z]+", "A")

    def __init__(
        self,
        limits: Limits | None = None,
        heartbeat: Heartbeat | None = None,
        *,
        rest: bool = False,
        greeting: Sequence[bytes] = (),
    ) -> None:
        self.LIMITS = limits or Limits(sends=5, sends_within_s=1.0, connects=3, connects_within_s=10.0)
        self.HEARTBEAT = heartbeat or Heartbeat()
        self.REST_URL = "http://venue" if rest else ""
        self._greeting = list(greeting)

    def greet(self) -> list[bytes]:
        return list(self._greeting)

    def subscribe(self, symbols: Sequence[str], number: int, /) -> list[bytes]:
        return [f"sub {' '.join(symbols)}".encode()]

    def unsubscribe(self, symbols: Sequence[str], number: int, /) -> list[bytes]:
        return [f"unsub {' '.join(symbols)}".encode()]

    def snapshot_url(self, base: str, symbol: str, /) -> str:
        return f"{base}/{symbol}" if self.REST_URL else ""

    def hear(self, payload: bytes, /) -> tuple[Word, ...]:
        return ()
