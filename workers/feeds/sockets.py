"""Websockets as a feed needs them; what speaks them is loaded when the first one is opened."""

from __future__ import annotations

import ssl
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from websockets.asyncio.client import ClientConnection

OPEN_S = 10.0
"""Within which a socket stands, TLS and handshake included (chosen)."""
CLOSE_S = 1.0
"""Granted to the other end to close a socket in good manners (chosen)."""
MOST_BYTES = 32 << 20
"""Of one message (chosen: the largest snapshots known have some 10 MB)."""


async def connect(url: str) -> ClientConnection:
    """Open a socket.

    Without compression: inflating costs more than it saves, at rates of some MB/s. Without the library's
    pings: its pongs would come from a gateway behind which nothing moves, and silence decides anyway.

    Raises:
        OSError: it could not be reached, or the address is none.
        WebSocketException: what answers does not speak websocket.
    """
    from websockets.asyncio import client

    try:
        return await client.connect(
            url,
            ssl=tls() if url.startswith("wss:") else None,
            proxy=None,
            compression=None,
            max_size=MOST_BYTES,
            open_timeout=OPEN_S,
            close_timeout=CLOSE_S,
            ping_interval=None,
            user_agent_header="dolphin-mp",
        )
    except ValueError as error:  # a port or a host's name that can't be one
        raise OSError(f"{url} is no address: {error}") from error


async def speak(socket: ClientConnection, outgoing: asyncio.Queue[bytes]) -> None:
    """Say what is to be said until the connection ends, which whoever hears will notice."""
    from websockets.exceptions import ConnectionClosed

    try:
        while True:
            await socket.send(await outgoing.get(), text=True)
    except ConnectionClosed:
        return


@cache
def tls() -> ssl.SSLContext:
    """Give what a certificate must be for us to believe it: the defaults."""
    return ssl.create_default_context()
