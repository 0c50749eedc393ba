"""One HTTP request against servers that are slow, large, rude or gone."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from dolphin_mp.workers.feeds import fetch, sockets

if TYPE_CHECKING:
    from collections.abc import Sequence

OK = b"HTTP/1.1 200 OK\r\n"


def fetched(*pieces: bytes, ends: bool = True, heard: list[bytes] | None = None) -> fetch.Reply:
    """Fetch from a server that says these pieces, and then closes or says nothing more."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if heard is not None:
            heard.append(request)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if not ends:
            await reader.read()  # until the client gives up

    async def run() -> fetch.Reply:
        ended = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                await talk(reader, writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            ended.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            try:
                return await fetch.get(f"http://127.0.0.1:{port}/depth?symbol=A&limit=1000")
            finally:
                await ended.wait()

    return asyncio.run(run())


def test_it_asks_in_http_and_to_be_left_alone_afterwards() -> None:
    heard: list[bytes] = []
    fetched(OK + b"Content-Length: 2\r\n\r\n{}", heard=heard)
    first, *fields = heard[0].decode().split("\r\n")
    assert first == "GET /depth?symbol=A&limit=1000 HTTP/1.1"
    assert {"Connection: close", "Accept-Encoding: identity"} <= set(fields)
    assert fields[0].startswith("Host: 127.0.0.1:")


@pytest.mark.parametrize(
    "pieces",
    [
        [b"Content-Length: 7\r\n\r\n", b'{"a":', b"1}"],
        [b'\r\n{"a"', b":1}"],
        [b"Transfer-Encoding: chunked\r\n\r\n5\r\n", b'{"a":\r\n', b"2;x=y\r\n1}\r\n0\r\n\r\n"],
    ],
)
def test_a_body_comes_by_length_by_chunks_or_until_the_end(pieces: Sequence[bytes]) -> None:
    assert fetched(OK, *pieces).body == b'{"a":1}'


def test_a_status_is_told_with_what_the_server_wants() -> None:
    reply = fetched(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 12\r\nContent-Length: 0\r\n\r\n")
    assert (reply.status, reply.wait_s, reply.body) == (429, 12.0, b"")


@pytest.mark.parametrize(
    "pieces",
    [
        [b"hello\r\n\r\n"],
        [b"HTTP/1.1\r\n\r\n"],
        [b"HTTP/1.1 200"],
        [],
        [b"x" * 100_000],
        [OK, b"Content-Length: 9\r\n\r\n{}"],
        [OK, b"Content-Length: soon\r\n\r\n{}"],
        [OK, b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"],
        [OK, b"Transfer-Encoding: chunked\r\n\r\n-5\r\n"],
        [OK, b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n"],
        [OK, b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}"],
    ],
)
def test_what_is_no_reply_is_said_to_be_none(pieces: Sequence[bytes]) -> None:
    with pytest.raises((fetch.BadReplyError, OSError)):
        fetched(*pieces)


@pytest.mark.parametrize("field", [b"Content-Length: 3000\r\n\r\n", b"\r\n"])
def test_a_body_is_bounded(field: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MOST_BYTES", 2000)
    with pytest.raises(fetch.BadReplyError, match="a body of"):
        fetched(OK, field, b"x" * 3000)


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT_S", 0.2)
    for pieces in ([], [OK], [OK, b"Content-Length: 9\r\n\r\n{}"]):
        with pytest.raises(TimeoutError, match="no reply within"):
            fetched(*pieces, ends=False)


def test_a_server_that_is_not_there_is_an_error_of_the_network() -> None:
    async def run() -> fetch.Reply:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        return await fetch.get(f"http://127.0.0.1:{port}/")

    with pytest.raises(OSError, match="Connect call failed"):
        asyncio.run(run())


@pytest.mark.parametrize("place", ["127.0.0.1:99999", "127.0.0.1:abc", "x" * 64 + ".invalid", "[::1"])
def test_an_address_that_is_none_is_an_error_that_a_feed_lives_with(place: str) -> None:
    with pytest.raises(fetch.BadReplyError, match="is no address"):
        asyncio.run(fetch.get(f"http://{place}/depth"))
    with pytest.raises(OSError, match="is no address"):
        asyncio.run(sockets.connect(f"ws://{place}/stream"))
