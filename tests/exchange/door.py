"""Who is let in: connections that are refused, and the limits on opening them."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Response

from exchange.meter import Meter

if TYPE_CHECKING:
    from exchange.words import Words


class Door:
    """Decides on each connection that is to be opened.

    Attributes:
        refused: how many were turned away.
        excesses: limits that were exceeded, in words.
    """

    def __init__(self, words: Words) -> None:
        self.words = words
        self.meter = Meter(words.limits.connects)
        self.refused = 0
        self.excesses: list[str] = []
        self._left: int | None = 0
        self._status = 0

    def refuse(self, times: int | None, status: int) -> None:
        """Turn the next ones away, or all (None): with an HTTP status, or (nought) with a reset."""
        self._left, self._status = times, status

    def decide(self, path: str, now_open: int) -> Response | int | None:
        """Give None to let one in, a response to turn it away with, or nought to reset it."""
        limits = self.words.limits
        allowed = self.meter.count(time.monotonic())
        if self._left is None or self._left > 0:
            self._left = None if self._left is None else self._left - 1
            self.refused += 1
            return _response(self._status) if self._status else 0
        if not allowed:
            self.excesses.append(f"more than {limits.connects.most} connections opened")
            return _response(429)
        if limits.open_at_once and now_open >= limits.open_at_once:
            self.excesses.append(f"more than {limits.open_at_once} connections at once")
            return _response(429)
        if not urlsplit(path).path.startswith(self.words.PATHS):
            return _response(404)
        return None


def _response(status: int) -> Response:
    headers = Headers([("Content-Length", "0"), ("Connection", "close")])
    if status == 429:
        headers["Retry-After"] = "1"
    return Response(status, HTTPStatus(status).phrase, headers, b"")
