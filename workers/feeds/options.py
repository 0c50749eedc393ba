"""What the options of a live feed must be: all that is wrong for sure is said before anything starts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dolphin_mp.workers.feeds.recorder import least_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolphin_mp.workers.feeds.dialect import Dialect


def check_addresses(url: str, rest_url: str, dialect: Dialect) -> None:
    """Check the addresses that stand for the venue's; empty ones are none.

    Raises:
        ValueError: the message names the option and what is wrong with it.
    """
    if rest_url and not dialect.REST_URL:
        raise ValueError("option rest_url is of no use: the venue sends its snapshots on the websocket")
    for name, value, schemes in (
        ("url", url, ("ws://", "wss://")),
        ("rest_url", rest_url, ("http://", "https://")),
    ):
        if value and not value.startswith(schemes):
            raise ValueError(f"option {name} is {value!r}: it must begin with {' or '.join(schemes)}")
        if value:
            _check_address(name, value)


def _check_address(name: str, url: str) -> None:
    """Check that there can be a host and a port of these names."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"option {name} is {url!r}, which is no address: {error}") from None
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"option {name} is {url!r}, which is no address")


def check_bounds(file_mb: float, total_mb: float) -> None:
    """Check that the bounds of a recording are numbers of bytes.

    Raises:
        ValueError: the message names the option.
    """
    for name, value in (("file_mb", file_mb), ("total_mb", total_mb)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"option {name} is {value}: it must be more than 0")


def check_recording(
    folder: Path, symbols: Sequence[str], file_mb: float, total_mb: float, dialect: Dialect
) -> None:
    """Check that there can be a folder, and that the files that are open at once fit the bounds.

    Raises:
        ValueError: the message names the option.
    """
    try:
        stands = next(each for each in (folder, *folder.parents) if each.exists())
    except OSError:  # nobody may look there: whoever writes will see
        stands = Path("/")
    if not stands.is_dir():
        raise ValueError(f"option path is {folder}: there can be no such folder, for {stands} is none")
    connections = math.ceil(len(symbols) / (dialect.LIMITS.symbols or len(symbols)))
    if total_mb < least_bytes(connections + 1, 1) * file_mb:
        raise ValueError(
            f"option total_mb is {total_mb:g}: {len(symbols)} symbols on {connections} connections need "
            f"{connections + 2} times file_mb, which is {file_mb:g}"
        )
