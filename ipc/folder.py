"""Files in /dev/shm: born whole, opened with suspicion, listed and removed, whatever they hold.

A file is born unnamed (O_TMPFILE), filled, and then linked to its name: whoever opens the name sees a whole
one, and a maker that dies on the way leaves nothing. Nothing here needs numpy or any costly module.
"""

from __future__ import annotations

import contextlib
import os
import stat

from dolphin_mp.ipc import _core, lock
from dolphin_mp.ipc.errors import SegmentFullError, SegmentInvalidError, SegmentMissingError

FOLDER = "/dev/shm"
LOCK_OWNER, LOCK_WRITER = 0, 1
NAMESPACE = "dolphin-mp-"
_LONGEST_NAME = 200
_PUNCTUATION = frozenset("._@+*:-")


def check_name(name: str) -> None:
    """Raise ValueError for a name that can't be a segment's."""
    good = isinstance(name, str) and name[:1].isalnum() and len(name) <= _LONGEST_NAME and name.isascii()
    if not good or not all(letter.isalnum() or letter in _PUNCTUATION for letter in name):
        raise ValueError(
            f"segment name {name!r}: 1 to 200 letters, digits and ._@+*:- , beginning with a letter or digit"
        )


def segments(prefix: str = NAMESPACE) -> list[str]:
    """Give the names of this user's segments that begin with a prefix."""
    names = []
    for entry in os.scandir(FOLDER):
        ours = entry.name.startswith(prefix) and entry.is_file(follow_symlinks=False)
        if ours and entry.stat(follow_symlinks=False).st_uid == os.geteuid():
            names.append(entry.name)
    return sorted(names)


def birth(name: str, content: bytes, size: int, *, lock_byte: int | None = LOCK_OWNER) -> int | None:
    """Make a whole file of that size and content, lock a byte of it, then give it its name.

    Gives its descriptor, or None if the name is taken: that needs no room. Raises SegmentFullError.
    """
    if _identity(name) is not None:
        return None
    fd = nameless(name, content, size, lock_byte=lock_byte)
    try:
        if give_name(name, fd):
            return fd
    except BaseException:
        shut(fd)
        raise
    shut(fd)
    return None


def nameless(name: str, content: bytes, size: int, *, lock_byte: int | None = None) -> int:
    """Make a whole file of that size and content that has no name yet; raises SegmentFullError."""
    fd = _open(FOLDER, os.O_TMPFILE)
    try:
        os.fchmod(fd, 0o600)  # whatever the umask is
        _reserve(name, fd, size)
        os.pwrite(fd, content, 0)
        if lock_byte is not None:
            lock.try_lock(fd, lock_byte)
    except BaseException:
        shut(fd)
        raise
    return fd


def give_name(name: str, fd: int) -> bool:
    """Give a nameless file its name; False if that is taken."""
    folder = os.open(FOLDER, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:  # with dst_dir_fd this is linkat(2) with AT_SYMLINK_FOLLOW: it names a nameless file
        os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=folder, follow_symlinks=True)
    except FileExistsError:
        return False
    finally:
        os.close(folder)
    return True


def _open(path: str, flags: int) -> int:
    fd = os.open(path, flags | os.O_RDWR | os.O_CLOEXEC, 0o600)
    _core.guard(fd)  # before any lock: a fork in another thread must not keep a copy of it
    return fd


def shut(fd: int) -> None:
    """Close a descriptor that `birth` or `open_checked` gave, and let its locks go."""
    _core.unguard(fd)
    os.close(fd)


def _reserve(name: str, fd: int, size: int) -> None:
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        free = os.statvfs(FOLDER)
        raise SegmentFullError(name, size, free.f_bavail * free.f_frsize) from error


def open_checked(name: str) -> int:
    """Open a file of that name if it is this user's and nobody else can change it.

    Raises SegmentMissingError, SegmentInvalidError.
    """
    try:
        fd = _open(f"{FOLDER}/{name}", os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise SegmentMissingError(name) from None
    except OSError as error:
        raise SegmentInvalidError(name, error.strerror or str(error)) from None
    found = os.fstat(fd)
    fault = None
    if not stat.S_ISREG(found.st_mode):
        fault = "it is no regular file"
    elif found.st_uid != os.geteuid():
        fault = f"it belongs to uid {found.st_uid}, you are uid {os.geteuid()}"
    elif stat.S_IMODE(found.st_mode) & 0o077:
        fault = f"its mode is {stat.S_IMODE(found.st_mode):04o}: others can change it (0600 is right)"
    if fault:
        shut(fd)
        raise SegmentInvalidError(name, fault)
    return fd


def is_named(name: str, fd: int) -> bool:
    """Tell whether the name leads to this open file."""
    found = _identity(name)
    return found is not None and found == identity(fd)


def is_replaced(name: str, fd: int) -> bool:
    """Tell whether the name leads to another file than this open one."""
    found = _identity(name)
    return found is not None and found != identity(fd)


def remove_name(name: str, fd: int) -> None:
    """Remove the name if it still leads to this file."""
    if is_named(name, fd):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{FOLDER}/{name}")  # noqa: PTH108


def _identity(name: str) -> tuple[int, int] | None:
    try:
        found = os.stat(f"{FOLDER}/{name}", follow_symlinks=False)  # noqa: PTH116 - pathlib costs a command 4 ms
    except OSError:
        return None
    return found.st_dev, found.st_ino


def identity(fd: int) -> tuple[int, int] | None:
    """Give which file a descriptor leads to; None if it is closed."""
    try:
        own = os.fstat(fd)
    except OSError:
        return None
    return own.st_dev, own.st_ino
