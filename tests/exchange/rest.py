"""REST at a venue: snapshots, the limit on requests, and what can be wrong with a reply."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Response

from exchange.meter import Meter
from exchange.truth import Told, Truth
from exchange.words import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from exchange.words import Words


class RestFault(NamedTuple):
    """What is done to one reply.

    Attributes:
        kind: "late" (it is of its time and waits for `release`), "old" (of the moment when the fault was
            ordered), "status", "garbage" (no JSON), "truncated" (JSON cut short), "short" (the transfer ends
            before its length); empty: nothing.
        status: of a "status"; retry_after_s: what is said with it; nought: nothing.
        saved: the reply of an "old" one.
    """

    kind: str = ""
    status: int = 0
    retry_after_s: int = 0
    saved: Reply | None = None


class Rest:
    """Answers requests.

    Attributes:
        asked: paths with their queries.
        faults: by symbol, for its next replies.
        held: how many late replies wait.
    """

    def __init__(self, words: Words, truth: Truth, changed: Callable[[], None]) -> None:
        self.words, self.truth, self.changed = words, truth, changed
        self.asked: list[str] = []
        self.excesses: list[str] = []
        self.faults: dict[str, deque[RestFault]] = {symbol: deque() for symbol in words.markets}
        self.meter = Meter(words.limits.requests)
        self.held = 0
        self._gate = asyncio.Event()

    def order(self, symbol: str, fault: RestFault, times: int = 1) -> None:
        """Have the next replies about a symbol go wrong; an old one is of now."""
        if fault.kind == "old":
            fault = fault._replace(saved=self._reply(self.words.REST, self.words.snapshot_query(symbol)))
        self.faults[symbol].extend([fault] * times)

    def release(self) -> None:
        """Let go of the replies that are late."""
        self._gate.set()
        self._gate = asyncio.Event()

    async def answer(self, path: str) -> Response:
        """Answer a request."""
        url = urlsplit(path)
        query = dict(parse_qsl(url.query))
        self.asked.append(path)
        if not self.meter.count(time.monotonic(), self.words.weight(query)):
            self.excesses.append("more REST requests than allowed")
            self.changed()
            return _response(_spoiled(Reply(200, ""), RestFault("status", 429, 1)))
        reply = self._reply(url.path, query)
        waiting = self.faults.get(query.get("symbol", query.get("instId", "")))
        fault = waiting.popleft() if waiting else RestFault()
        if fault.kind == "late":
            await self._wait()
        reply = _spoiled(reply, fault)
        if reply.symbol:
            top = self.truth.at_id(reply.symbol, reply.last_id)
            told = Told(0, reply.symbol, "snapshot", 0, reply.last_id, 0, top, fault.kind)
            self.truth.told.append(told)
        self.changed()
        return _response(reply, short=fault.kind == "short")

    def _reply(self, path: str, query: dict[str, str]) -> Reply:
        reply = self.words.rest(path, query)
        if reply.symbol:
            top = self.words.markets[reply.symbol].top()
            self.truth.note(reply.symbol, reply.last_id, self.words.now_ms, top)
        return reply

    async def _wait(self) -> None:
        self.held += 1
        self.changed()
        await self._gate.wait()
        self.held -= 1


def _spoiled(reply: Reply, fault: RestFault) -> Reply:
    """Give a reply as the fault leaves it."""
    if fault.kind == "status":
        headers = (("Retry-After", str(fault.retry_after_s)),) if fault.retry_after_s else ()
        return Reply(fault.status, '{"code":-1003,"msg":"Too many requests."}', headers=headers)
    if fault.kind == "old" and fault.saved is not None:
        return fault.saved
    if fault.kind == "garbage":
        return Reply(reply.status, "<html><body>\u2603 we will be right back</body></html>")
    if fault.kind == "truncated":
        return Reply(reply.status, reply.body[: len(reply.body) // 2])
    return reply


def _response(reply: Reply, *, short: bool = False) -> Response:
    """Give the HTTP of a reply; `short`: it promises more than it brings."""
    body = reply.body.encode()
    headers = Headers([("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    headers.update(reply.headers)
    headers["Connection"] = "close"
    if short:
        body = body[: len(body) // 2]
    return Response(reply.status, HTTPStatus(reply.status).phrase, headers, body)
