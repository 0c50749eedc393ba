"""One HTTP request: a GET whose time and size are bounded, and which can be given up at any moment.

The standard library's own client blocks a thread, which nobody can end before its time-out.
"""

from __future__ import annotations

import asyncio
import http.client
import io
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl

TIMEOUT_S = 5.0
"""For all of it (chosen)."""
MOST_BYTES = 16 << 20
"""Of a body (chosen: the largest snapshot known has a tenth of it)."""


class BadReplyError(ValueError):
    """What came is no reply, or is too large."""


class Reply(NamedTuple):
    """What came."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def wait_s(self) -> float:
        """Seconds that the server wants to be left alone; 0: it doesn't say, or says no such number."""
        return retry_after(self.headers.get("Retry-After"))


def retry_after(text: str | None) -> float:
    """Give the seconds of a Retry-After header, a day at most; 0 if it has none."""
    digits = (text or "").strip()
    return min(float(digits), 86_400.0) if digits.isascii() and digits.isdigit() else 0.0


async def get(url: str, context: ssl.SSLContext | None = None) -> Reply:
    """Fetch what is at an address.

    Args:
        url: http or https.
        context: of TLS, for https.

    Raises:
        OSError: it could not be reached, or did not answer in time.
        BadReplyError: what came is no reply, or is too large.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _exchange(url, context)
    except TimeoutError:
        raise TimeoutError(f"no reply within {TIMEOUT_S:.0f} s") from None
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, http.client.HTTPException) as error:
        raise BadReplyError(f"no whole reply: {error}") from error


async def _exchange(url: str, context: ssl.SSLContext | None) -> Reply:
    try:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context if secure else None)
    except ValueError as error:  # a port or a host's name that can't be one
        raise BadReplyError(f"{url} is no address: {error}") from error
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host = parts.netloc.rpartition("@")[2]
        fields = f"Host: {host}\r\nUser-Agent: dolphin-mp\r\nAccept-Encoding: identity\r\nConnection: close"
        writer.write(f"GET {target} HTTP/1.1\r\n{fields}\r\n\r\n".encode())
        await writer.drain()
        first, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
        words = first.split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise BadReplyError("what answers does not speak HTTP")
        headers = http.client.parse_headers(io.BytesIO(rest))
        return Reply(int(words[1]), headers, await _body(reader, headers))
    finally:
        writer.transport.abort()


async def _body(reader: asyncio.StreamReader, headers: http.client.HTTPMessage) -> bytes:
    if headers.get("Transfer-Encoding", "").lower() == "chunked":
        return await _chunks(reader)
    length = headers.get("Content-Length")
    if length is None:
        body = bytearray()
        while piece := await reader.read(1 << 16):
            _add(body, piece)
        return bytes(body)
    if not length.isdigit() or int(length) > MOST_BYTES:
        raise BadReplyError(f"a body of {length[:20]} bytes")
    return await reader.readexactly(int(length))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        text = (await reader.readuntil(b"\r\n")).partition(b";")[0].strip()
        try:
            size = int(text, 16)
        except ValueError:
            raise BadReplyError("a chunk without its size") from None
        if not 0 < size <= MOST_BYTES:
            if size == 0:
                return bytes(body)
            raise BadReplyError(f"a chunk of {size} bytes")
        _add(body, await reader.readexactly(size))
        await reader.readuntil(b"\r\n")


def _add(body: bytearray, piece: bytes) -> None:
    if len(body) + len(piece) > MOST_BYTES:
        raise BadReplyError(f"a body of more than {MOST_BYTES} bytes")
    body += piece
