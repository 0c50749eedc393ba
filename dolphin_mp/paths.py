"""Where a running system lives: its private runtime folder and its segments' names.

The folder is ``$XDG_RUNTIME_DIR/dolphin-mp/SYSTEM``, else ``/run/user/UID/dolphin-mp/SYSTEM``, else
``/tmp/dolphin-mp-UID/SYSTEM``; it must be the user's own and nobody else's. Segment names carry the uid and a
digest of that folder, so that two users, or two containers that share /dev/shm, never meet.
"""

from __future__ import annotations

import os
import stat
from binascii import crc32
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAX_SOCKET_PATH = 107  # sockaddr_un(7) holds 108 bytes with the final NUL; libzmq refuses longer ones


class FolderError(Exception):
    """The runtime folder can't be used as it is; the text says what to do."""


def base_folder() -> str:
    """Give the folder that holds all running systems' folders; it need not exist."""
    uid = os.geteuid()
    named = os.environ.get("XDG_RUNTIME_DIR")
    for folder in (named, f"/run/user/{uid}"):
        if folder and os.path.isdir(folder) and os.stat(folder).st_uid == uid:  # noqa: PTH112, PTH116
            return f"{folder.rstrip('/')}/dolphin-mp"
    return f"/tmp/dolphin-mp-{uid}"


def runtime_folder(system: str) -> str:
    """Give a system's runtime folder; it need not exist."""
    return f"{base_folder()}/{system}"


def make_runtime_folder(system: str) -> str:
    """Make a system's runtime folder, private to the user; raises FolderError if it can't be trusted."""
    folder = runtime_folder(system)
    if len(f"{folder}/control") > MAX_SOCKET_PATH:
        raise FolderError(f"{folder} is too long for a socket's path: set XDG_RUNTIME_DIR to a shorter one")
    for path in (base_folder(), folder):
        try:
            os.mkdir(path, 0o700)  # noqa: PTH102
        except FileExistsError:
            pass
        except OSError as error:
            raise FolderError(
                f"can't make {path}: {error.strerror}; set XDG_RUNTIME_DIR to a writable folder"
            ) from None
        check_private(path)
    return folder


def check_private(path: str) -> None:
    """Raise FolderError unless the folder is this user's and closed to others."""
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise FolderError(f"{path} is no folder: remove it")
    if found.st_uid != os.geteuid():
        raise FolderError(f"{path} belongs to uid {found.st_uid}, you are uid {os.geteuid()}: remove it")
    if found.st_mode & 0o077:
        raise FolderError(f"{path} is open to others (mode {found.st_mode & 0o777:04o}): chmod 0700 it")


def segment_prefix(system: str) -> str:
    """Give what the names of all segments of a system begin with, up to the dot."""
    return f"dolphin-mp-{os.geteuid()}-{crc32(base_folder().encode()):08x}-{system}."


def board_name(system: str) -> str:
    """Give the name of a system's board."""
    return f"{segment_prefix(system)}board"


def segment_name(system: str, channel: str) -> str:
    """Give the name of a channel's segment."""
    return f"{segment_prefix(system)}{channel}"


def schedule_file(system: str, component: str) -> str:
    """Give where the runs of a component with a schedule are kept; it need not exist."""
    return f"{log_folder()}/{system}/schedules/{component}.json"


def deal_name(system: str, pool: str, attribute: str) -> str:
    """Give the name of what deals the records of a pool's input."""
    return f"{segment_prefix(system)}{pool}.{attribute}.deal"


def log_folder() -> Path:
    """Give the folder of logs and reports: dolphin-mp in ``$XDG_STATE_HOME``, else in ``~/.local/state``."""
    from pathlib import Path

    home = os.environ.get("XDG_STATE_HOME")
    return Path(home) / "dolphin-mp" if home else Path.home() / ".local/state/dolphin-mp"
