"""File systems of the run's own, in a mount namespace that ends with it: full without harm to others.

Source: mount_namespaces(7); tmpfs(5): one in use may be given a smaller `size`, down to what it holds.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CLONE_NEWNS = 0x20000
_MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_REC, _MS_PRIVATE = 2, 4, 32, 0x4000, 1 << 18
_TRIES = 50
SIZE = 256 << 20


class Small:
    """A tmpfs, mounted over a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        _mount("tmpfs", path, _MS_NOSUID | _MS_NODEV, f"size={SIZE},mode=1777")

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Leave no room for a while: not one page more than is used."""
        self._fill()
        try:
            yield
        finally:
            self._resize(SIZE)

    def _fill(self) -> None:
        for _ in range(_TRIES):
            found = os.statvfs(self.path)
            try:
                self._resize((found.f_blocks - found.f_bfree) * found.f_frsize or found.f_frsize)
            except OSError:  # it has grown meanwhile
                continue
            return
        raise OSError(f"{self.path} can't be made full")

    def _resize(self, size: int) -> None:
        _mount("tmpfs", self.path, _MS_REMOUNT | _MS_NOSUID | _MS_NODEV, f"size={size}")

    def end(self) -> None:
        """Unmount it, though somebody may use it still."""
        ctypes.CDLL(None).umount2(os.fsencode(self.path), 2)  # MNT_DETACH


def go_private() -> bool:
    """Go into a mount namespace of this process' own; False without the right to. Before any thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        return False
    try:
        _mount("none", "/", _MS_REC | _MS_PRIVATE, "")
    except OSError:
        return False
    return True


def _mount(source: str, target: Path | str, flags: int, data: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = source.encode(), os.fsencode(target), b"tmpfs", ctypes.c_ulong(flags), data.encode()
    if libc.mount(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))
