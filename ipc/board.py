"""Board: the process table in shared memory, one row a component instance.

    board  = header page | row 0 | row 1 | ... | row 4095
    row    = 64 bytes that no release changes: pid u32, process group u32, start time u64, name 48 bytes
           | doorbell u32 at 64: a futex word; rung, it asks the component to stop
           | three words from 128: beats u64, end of the last step, begin of the present step (0: none)
           | the number of the component's timer's descriptor at 152, plus one: for a parent that adopts it
           | three words from 160, of a pool's instance: records dealt to it, those dealt again, lost ones
           | the parent's part, in two versioned halves, from 192
           | the component's part, in two versioned halves, from 528

A process becomes a component by taking its row's kernel lock; adoption, status and "never two" ask that lock,
never a pid. Times are CLOCK_BOOTTIME in ns. Nothing here needs numpy.
"""

from __future__ import annotations

import os
import struct
from functools import lru_cache
from typing import NamedTuple

from dolphin_mp.ipc import _board, _core, folder, lock
from dolphin_mp.ipc.errors import ClaimedError, SegmentExistsError, SegmentInvalidError, SupersededError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

MAGIC = b"DOLPHINB"
LAYOUT = 1
ROWS = 4096
ROW_SIZE = 1024
PAGE = 4096
SIZE = PAGE + ROWS * ROW_SIZE
UNSEEN = -(1 << 31)  # the exit code of a death that nobody saw
LOCK_PARENT, LOCK_USERS, LOCK_ROWS = 0, 1, 16

_HEADER = struct.Struct("<8sIIQQII")  # magic, layout, header size, size, instance, rows, row size
_USED, _PARENT, _SYSTEM = 64, 128, 192  # u32 rows in use; u64 pid, start, launched_ns; 64 bytes of text
_HEAD = struct.Struct("<IIQ48s")
_NAMES = struct.Struct(f"<16x48s{ROW_SIZE - 64}x")
_TIMER, _BELL, _PARENT_CELL, _COMPONENT_CELL = 152, 64, 192, 528
_WORDS, _DEALT = _board.OFFSET_WORDS, _board.OFFSET_DEALT
_PARENT_PART = struct.Struct("<16sQQqii112s")
_COMPONENT_PART = struct.Struct("<16sQdQqQq96s")


class ParentPart(NamedTuple):
    """What the parent says of a row.

    Attributes: state; incarnation (process starts of this row); restarts; since_ns (of the state); pid (0:
    none); exit_code (of the last death, negative a signal, or UNSEEN); reason (one line).
    """

    state: str = ""
    incarnation: int = 0
    restarts: int = 0
    since_ns: int = 0
    pid: int = 0
    exit_code: int = 0
    reason: str = ""


class ComponentPart(NamedTuple):
    """What the component says of itself.

    Attributes: phase ("starting", "ready", "stopping", "done", "failed"); incarnation; cpu_percent over the
    last sample; rss_bytes (private memory); sampled_ns; missed (beats that `every` could not keep); ready_ns;
    reason (one line).
    """

    phase: str = ""
    incarnation: int = 0
    cpu_percent: float = 0.0
    rss_bytes: int = 0
    sampled_ns: int = 0
    missed: int = 0
    ready_ns: int = 0
    reason: str = ""


class Row(NamedTuple):
    """One row as read: who, whether its lock is held, and both parts (None before the first word)."""

    index: int  # type: ignore[assignment]  # the tuple's own method of that name is of no use here
    name: str
    pid: int
    group: int
    start: int
    alive: bool
    beats: int
    last_step_ns: int
    step_begun_ns: int
    parent: ParentPart | None
    component: ComponentPart | None
    dealt: tuple[int, int, int] = (0, 0, 0)


class Board:
    """A handle of a system's process table; `create` makes it or takes it up, `attach` opens it."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self._fd = fd
        # not mmap.mmap: its copy of the descriptor would keep our locks, in a forked child as well
        self._memory = memoryview(_core.Memory(fd, SIZE, True))
        self._table = _board.Rows(
            self._memory,
            PAGE,
            ROW_SIZE,
            ROWS,
            LOCK_ROWS,
            _PARENT_CELL,
            _PARENT_PART.size,
            _COMPONENT_CELL,
            _COMPONENT_PART.size,
        )
        self._is_parent = False
        self._generation = _core.generation()

    @classmethod
    def create(cls, name: str, system: str) -> Self:
        """Make the board, or open one that is there already."""
        header = _HEADER.pack(
            MAGIC, LAYOUT, PAGE, SIZE, int.from_bytes(os.urandom(7), "little"), ROWS, ROW_SIZE
        )
        page = header.ljust(_SYSTEM, b"\0") + system.encode().ljust(64, b"\0")
        fd = folder.birth(name, page, SIZE, lock_byte=None)
        return cls.attach(name) if fd is None else cls(name, fd)

    @classmethod
    def attach(cls, name: str) -> Self:
        """Open the board of that name; raises SegmentMissingError, SegmentInvalidError."""
        fd = folder.open_checked(name)
        found = _HEADER.unpack(os.pread(fd, _HEADER.size, 0).ljust(_HEADER.size, b"\0"))
        fault = None
        if found[0] != MAGIC:
            fault = "it is not a dolphin-mp board"
        elif found[1] != LAYOUT or found[5:] != (ROWS, ROW_SIZE):
            fault = f"its layout is version {found[1]}, this program reads {LAYOUT}"
        elif os.fstat(fd).st_size < SIZE:
            fault = f"it is truncated: {os.fstat(fd).st_size} of {SIZE} bytes"
        if fault:
            folder.shut(fd)
            raise SegmentInvalidError(name, fault)
        return cls(name, fd)

    def close(self, *, unlink: bool = False) -> None:
        """Let go of the board and of every lock taken through this handle."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        if self._generation != _core.generation():
            return
        if unlink:
            folder.remove_name(self.name, fd)
        folder.shut(fd)

    # the parent ----------------------------------------------------------------------------------------

    def take_parent(self) -> None:
        """Become the system's one parent; raises SegmentExistsError naming the one that lives."""
        if not lock.try_lock(self._fd, LOCK_PARENT):
            raise SegmentExistsError(self.name, lock.describe_process(self.parent_pid))
        self._is_parent = True
        pid = os.getpid()
        struct.pack_into("<QQq", self._memory, _PARENT, pid, lock.start_time(pid), _core.boottime_ns())

    @property
    def parent_alive(self) -> bool:
        """Whether this handle is the parent's or another holds the parent's lock."""
        return self._is_parent or lock.is_locked(self._fd, LOCK_PARENT)

    @property
    def parent_pid(self) -> int:
        """The pid of the last parent: it explains, the lock decides."""
        return int(struct.unpack_from("<Q", self._memory, _PARENT)[0])

    @property
    def is_named(self) -> bool:
        """Whether the name still leads to this board: one that was unlinked meanwhile is nobody's."""
        return folder.is_named(self.name, self._fd)

    @property
    def launched_ns(self) -> int:
        """When the last parent took the board."""
        return int(struct.unpack_from("<q", self._memory, _PARENT + 16)[0])

    @property
    def system(self) -> str:
        """The system's name."""
        return bytes(self._memory[_SYSTEM : _SYSTEM + 64]).rstrip(b"\0").decode(errors="replace")

    def share(self) -> bool:
        """Count as a user of the board, so that no one else removes it; see `last_user`."""
        return lock.try_lock(self._fd, LOCK_USERS, shared=True)

    def last_user(self) -> bool:
        """Tell whether nobody else uses the board; if so, nobody new can until this handle closes."""
        return lock.try_lock(self._fd, LOCK_USERS)

    # rows ----------------------------------------------------------------------------------------------

    @property
    def used(self) -> int:
        """How many rows are or were in use; one without a name is nobody's."""
        return min(ROWS, int(struct.unpack_from("<I", self._memory, _USED)[0]))

    def names(self) -> list[str]:
        """Give the rows' names in their order, empty for one that is nobody's."""
        return [self._name(index) for index in range(self.used)]

    def add(self, name: str, likely: int = -1) -> int:
        """Give the row of that name, a new one if there is none; raises ValueError when the board is full.

        `likely` is the row that it probably has, which is looked at first.
        """
        if 0 <= likely < self.used and self._name(likely) == name:
            return likely
        index = self.find(name)
        if index is not None:
            return index
        forgotten = self.find("")
        index = self.used if forgotten is None else forgotten
        if index == ROWS:
            raise ValueError(f"a system has at most {ROWS} component instances")
        if len(name.encode()) > 48:
            raise ValueError(f"component name {name!r} has more than 48 bytes")
        struct.pack_into("<48s", self._memory, self._at(index) + 16, name.encode())
        struct.pack_into("<I", self._memory, _USED, max(self.used, index + 1))
        return index

    def find(self, name: str) -> int | None:
        """Give the row of that name, or None."""
        wanted = name.encode().ljust(48, b"\0")
        rows = self._memory[PAGE : PAGE + self.used * ROW_SIZE]
        for index, (found,) in enumerate(_NAMES.iter_unpack(rows)):
            if found == wanted:
                return index
        return None

    def take_row(self, index: int, launched_ns: int = 0) -> None:
        """Become this component.

        Whoever was told to by a parent that was followed by another is too late: that one, which writes
        `launched_ns` before it looks at the locks, either has seen this lock held or is seen here.

        Raises:
            ClaimedError: a living process is it; names that.
            SupersededError: the parent of that `launched_ns`, if not 0, is not the last one.
        """
        self._check_parent(launched_ns)
        if not lock.try_lock(self._fd, LOCK_ROWS + index):
            raise ClaimedError(self._name(index), lock.describe_process(self._head(index)[0]))
        try:
            self._check_parent(launched_ns)
        except SupersededError:
            self.release_row(index)
            raise
        pid = os.getpid()
        head = struct.pack("<IIQ", pid, os.getpgid(0), lock.own_start_time())
        self._memory[self._at(index) : self._at(index) + 16] = head

    def _check_parent(self, launched_ns: int) -> None:
        if launched_ns and launched_ns != self.launched_ns:
            raise SupersededError(self.name)

    def release_row(self, index: int) -> None:
        """Stop being this component."""
        lock.unlock(self._fd, LOCK_ROWS + index)

    def is_alive(self, index: int) -> bool:
        """Tell whether another handle holds the row's lock."""
        return lock.is_locked(self._fd, LOCK_ROWS + index)

    @staticmethod
    def lock_of(index: int) -> int:
        """Give the byte that is a row's lock."""
        return LOCK_ROWS + index

    def forget(self, index: int) -> None:
        """Make a dead component's row nameless: it is no part of the system any more."""
        self._memory[self._at(index) : self._at(index) + ROW_SIZE] = bytes(ROW_SIZE)

    def doorbell(self, index: int) -> _core.Doorbell:
        """Give the word that asks this component to stop."""
        return _core.Doorbell(self._memory, self._at(index) + _BELL)

    def words(self, index: int) -> memoryview:
        """Give the component's three words: beats, end of the last step, begin of the present one."""
        at = self._at(index) + _WORDS
        return self._memory[at : at + 24].cast("Q")

    def set_timer(self, index: int, fd: int) -> None:
        """Say which descriptor of the component's process is its timer; -1 for none."""
        struct.pack_into("<Q", self._memory, self._at(index) + _TIMER, fd + 1)

    def timer(self, index: int) -> int:
        """Give what `set_timer` said."""
        return int(struct.unpack_from("<Q", self._memory, self._at(index) + _TIMER)[0]) - 1

    def dealt_words(self, index: int) -> memoryview:
        """Give three words of a pool's instance: records dealt to it, those dealt again, lost ones."""
        at = self._at(index) + _DEALT
        return self._memory[at : at + 24].cast("Q")

    def parent_cell(self, index: int) -> _board.Cell:
        """Give the parent's part of a row, to write `pack_parent` into."""
        return _board.Cell(self._memory, self._at(index) + _PARENT_CELL, _PARENT_PART.size, True)

    def component_cell(self, index: int) -> _board.Cell:
        """Give the component's part of a row, to write `pack_component` into."""
        return _board.Cell(self._memory, self._at(index) + _COMPONENT_CELL, _COMPONENT_PART.size, True)

    def read(self, index: int) -> Row:
        """Give one row, each part consistent in itself."""
        name, pid, group, start, alive, beats, last_ns, begun_ns, mine, its, *dealt = self.look(index)
        return Row(
            index,
            name,
            pid,
            group,
            start,
            alive,
            beats,
            last_ns,
            begun_ns,
            unpack_parent(mine) if mine else None,
            unpack_component(its) if its else None,
            tuple(dealt),  # type: ignore[arg-type]  # three of them
        )

    def look(self, index: int) -> _board.Found:
        """Give one row as `_board.Rows.read` does, the parts still packed: for who reads many."""
        return self._table.read(self._fd, index)

    def _at(self, index: int) -> int:
        if not 0 <= index < ROWS:
            raise IndexError(f"row {index} of {ROWS}")
        return PAGE + index * ROW_SIZE

    def _head(self, index: int) -> tuple[int, int, int, str]:
        pid, group, start, name = _HEAD.unpack_from(self._memory, self._at(index))
        return pid, group, start, _text(name)

    def _name(self, index: int) -> str:
        return self._head(index)[3]


def pack_parent(part: ParentPart) -> bytes:
    """Give a parent's part as the bytes of its cell."""
    text = part.reason.encode()[:112]
    numbers = (part.incarnation, part.restarts, part.since_ns, part.pid, part.exit_code)
    return _PARENT_PART.pack(part.state.encode(), *numbers, text)


def pack_component(part: ComponentPart) -> bytes:
    """Give a component's part as the bytes of its cell."""
    text = part.reason.encode()[:96]
    numbers = (
        part.incarnation,
        part.cpu_percent,
        part.rss_bytes,
        part.sampled_ns,
        part.missed,
        part.ready_ns,
    )
    return _COMPONENT_PART.pack(part.phase.encode(), *numbers, text)


@lru_cache(ROWS)  # who reads all rows often finds most parts as they were: a quarter of the time
def unpack_parent(data: bytes) -> ParentPart:
    """Undo `pack_parent`."""
    state, *numbers, reason = _PARENT_PART.unpack(data)
    return ParentPart._make((_text(state), *numbers, _text(reason)))


@lru_cache(ROWS)
def unpack_component(data: bytes) -> ComponentPart:
    """Undo `pack_component`."""
    phase, *numbers, reason = _COMPONENT_PART.unpack(data)
    return ComponentPart._make((_text(phase), *numbers, _text(reason)))


def _text(padded: bytes) -> str:
    return str(padded.rstrip(b"\0"), "utf-8", "replace")
