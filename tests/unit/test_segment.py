"""Segments in one process: made whole, attached with suspicion, taken up, replaced, swept."""

import itertools
import os
import struct
from pathlib import Path

import pytest

from dolphin_mp.ipc import (
    SegmentExistsError,
    SegmentFullError,
    SegmentInvalidError,
    SegmentMissingError,
    _core,
    folder,
    layout,
    lock,
)
from dolphin_mp.ipc.segment import Segment, new_header, sweep

SHM = Path("/dev/shm")
_numbers = itertools.count()


@pytest.fixture
def name():
    name = f"t-{os.getpid()}-s{next(_numbers)}"
    yield name
    (SHM / name).unlink(missing_ok=True)


def a_header(dtype="<f8", shape=(4,), size=32, keep=8):
    return new_header(dtype, shape, size, keep)


def abandon(segment):
    """Leave a segment as its owner's SIGKILL would."""
    segment.close(unlink=False)


def open_descriptors():
    return {path.name for path in Path("/proc/self/fd").iterdir()}


# birth -----------------------------------------------------------------------------------------------------


def test_a_segment_is_born_whole_private_and_reserved(name):
    segment = Segment.create(name, a_header())
    found = (SHM / name).stat()
    assert found.st_size == segment.header.segment_size
    assert found.st_blocks * 512 >= found.st_size, "every page has its memory now"
    assert found.st_mode & 0o777 == 0o600
    segment.close()
    assert not (SHM / name).exists()


def test_what_is_there_already_is_taken_up_without_room(name, monkeypatch):
    def no_room(name, _fd, size):
        raise SegmentFullError(name, size, 0)

    first = Segment.create(name, a_header())
    abandon(first)
    monkeypatch.setattr(folder, "_reserve", no_room)
    second = Segment.create(name, a_header())
    assert second.header.instance == first.header.instance
    second.close()
    with pytest.raises(SegmentFullError):
        Segment.create(name, a_header())


@pytest.mark.parametrize("umask", [0, 0o777])
def test_the_umask_does_not_change_who_may_read(name, umask):
    before = os.umask(umask)
    try:
        segment = Segment.create(name, a_header())
        Segment.attach(name).close()
    finally:
        os.umask(before)
    assert (SHM / name).stat().st_mode & 0o777 == 0o600
    segment.close()


def test_a_second_maker_is_refused_while_the_owner_lives(name):
    segment = Segment.create(name, a_header())
    with pytest.raises(SegmentExistsError, match=f"pid {os.getpid()}"):
        Segment.create(name, a_header())
    with pytest.raises(SegmentExistsError):
        Segment.create(name, a_header(keep=9))
    assert (SHM / name).exists()
    segment.close()


def test_refusals_leave_no_descriptor_open(name):
    segment = Segment.create(name, a_header())
    before = open_descriptors()
    for _ in range(3):
        with pytest.raises(SegmentExistsError):
            Segment.create(name, a_header())
        with pytest.raises(SegmentMissingError):
            Segment.attach(name + "-none")
    (SHM / (name + "-bad")).write_bytes(b"x" * 8192)
    (SHM / (name + "-bad")).chmod(0o600)
    try:
        for make in (
            lambda: Segment.attach(name + "-bad"),
            lambda: Segment.create(name + "-bad", a_header()),
        ):
            with pytest.raises(SegmentInvalidError):
                make()
    finally:
        (SHM / (name + "-bad")).unlink()
    assert open_descriptors() == before
    segment.close()


@pytest.mark.parametrize("bad", ["", ".", "..", "a/b", "-a", "a b", "ä", "a" * 201, "a\0b", "a\n", None, 5])
def test_a_name_that_leads_elsewhere_is_refused(bad):
    with pytest.raises(ValueError, match="segment name"):
        Segment.create(bad, a_header())
    with pytest.raises(ValueError, match="segment name"):
        Segment.attach(bad)


@pytest.mark.parametrize("keep", [0, -1, (1 << 24) + 1])
def test_a_keep_that_makes_no_ring_is_refused(keep):
    with pytest.raises(ValueError, match="keep"):
        a_header(keep=keep)


def test_a_size_beyond_any_machine_is_refused():
    with pytest.raises(ValueError, match="address"):
        a_header(size=1 << 60, keep=1 << 20)


def test_no_room_is_said_in_numbers_and_leaves_nothing(name):
    before = open_descriptors()
    free = os.statvfs(SHM)
    size = free.f_blocks * free.f_frsize * 2
    with pytest.raises(SegmentFullError, match=r"MiB needed, [\d.]+ MiB free") as caught:
        Segment.create(name, a_header(size=size, keep=1))
    assert caught.value.nbytes > size
    assert isinstance(caught.value, MemoryError)
    assert not (SHM / name).exists()
    assert open_descriptors() == before


# attach ----------------------------------------------------------------------------------------------------


def test_attaching_reads_what_the_maker_wrote(name):
    made = Segment.create(name, a_header())
    attached = Segment.attach(name)
    assert attached.header == made.header
    assert not attached.owner
    attached.close()
    assert (SHM / name).exists(), "an attached handle's close never unlinks"
    made.close()


def test_a_missing_segment_is_said_to_be_missing(name):
    with pytest.raises(SegmentMissingError, match=name) as caught:
        Segment.attach(name)
    assert isinstance(caught.value, FileNotFoundError)


def put(name, content, mode=0o600):
    (SHM / name).write_bytes(content)
    (SHM / name).chmod(mode)


def whole(name):
    segment = Segment.create(name, a_header())
    content = (SHM / name).read_bytes()
    segment.close()
    return content


@pytest.mark.parametrize("size", [0, 1, 79, 80, 4095])
def test_what_is_smaller_than_a_header_is_refused(name, size):
    put(name, whole(name)[:size])
    with pytest.raises(SegmentInvalidError, match="truncated"):
        Segment.attach(name)


def test_a_truncated_segment_is_refused_with_its_sizes(name):
    content = whole(name)
    put(name, content[:-1])
    with pytest.raises(SegmentInvalidError, match=f"{len(content) - 1} of {len(content)}"):
        Segment.attach(name)


def test_a_foreign_file_is_refused_and_left_alone(name):
    put(name, b"somebody's data" * 1000)
    for make in (lambda: Segment.attach(name), lambda: Segment.create(name, a_header())):
        with pytest.raises(SegmentInvalidError, match="no dolphin-mp segment"):
            make()
    assert (SHM / name).read_bytes() == b"somebody's data" * 1000


def test_another_layout_version_is_refused_by_both_numbers(name):
    content = bytearray(whole(name))
    struct.pack_into("<I", content, 8, layout.LAYOUT + 1)
    put(name, content)
    with pytest.raises(SegmentInvalidError, match=f"{layout.LAYOUT + 1}.*{layout.LAYOUT}"):
        Segment.attach(name)


@pytest.mark.parametrize(
    ("kind", "offset", "value"),
    [
        ("<I", 12, 0),
        ("<I", 12, 4097),
        ("<Q", 16, 1 << 63),
        ("<Q", 32, 0),
        ("<Q", 32, 1 << 40),
        ("<Q", 40, 0),
        ("<Q", 40, 65),
        ("<Q", 40, 1 << 62),
        ("<I", 48, 0),
        ("<I", 48, 8),
        ("<I", 48, 0xFFFFFFFF),
        ("<I", 52, 0),
        ("<I", 52, 0xFFFFFFFF),
        ("<I", 56, 0),
        ("<I", 56, 0xFFFFFFFF),
        ("<I", 60, 0xFFFFFFFF),
        ("<I", 60, 1),
        ("<Q", 512, 0),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(name, kind, offset, value):
    content = bytearray(whole(name))
    struct.pack_into(kind, content, offset, value)
    put(name, content)
    with pytest.raises(SegmentInvalidError):
        Segment.attach(name)


@pytest.mark.parametrize("mode", [0o601, 0o602, 0o604, 0o620, 0o660, 0o666, 0o777])
def test_a_segment_that_is_open_to_others_is_refused(name, mode):
    put(name, whole(name), mode)
    with pytest.raises(SegmentInvalidError, match="others can change it"):
        Segment.attach(name)


if os.geteuid() == 0:  # only root can give a file away

    def test_another_users_segment_is_refused(name):
        put(name, whole(name))
        os.chown(SHM / name, 12345, -1)
        with pytest.raises(SegmentInvalidError, match="uid 12345"):
            Segment.attach(name)
        with pytest.raises(SegmentInvalidError, match="uid 12345"):
            Segment.create(name, a_header())


def test_links_folders_and_pipes_are_refused(name):
    path = SHM / name
    makers = [lambda: path.symlink_to("/etc/passwd"), path.mkdir, lambda: os.mkfifo(path, 0o600)]
    for make, remove in zip(makers, (path.unlink, path.rmdir, path.unlink), strict=True):
        make()
        try:
            with pytest.raises(SegmentInvalidError):
                Segment.attach(name)
        finally:
            remove()


# after a crash ---------------------------------------------------------------------------------------------


def test_what_a_dead_owner_left_is_taken_up(name):
    first = Segment.create(name, a_header())
    with pytest.raises(SegmentExistsError):
        Segment.create(name, a_header())
    abandon(first)
    second = Segment.create(name, a_header())
    assert second.owner
    assert second.header == first.header
    with pytest.raises(SegmentExistsError):
        Segment.create(name, a_header())
    second.close()
    assert not (SHM / name).exists()


@pytest.mark.parametrize(
    "other", [a_header(keep=9), a_header(shape=(2, 2)), a_header(dtype=">f8"), a_header(shape=(5,), size=40)]
)
def test_a_dead_owners_segment_of_another_layout_is_retired_and_replaced(name, other):
    first = Segment.create(name, a_header())
    reader = Segment.attach(name)
    abandon(first)
    second = Segment.create(name, other)
    assert second.header.instance != first.header.instance
    assert reader.is_replaced()
    assert struct.unpack("<Q", os.pread(reader.fd, 8, _core.OFFSET_RETIRED)) == (1,)
    assert Segment.attach(name).header == second.header
    reader.close()
    second.close()


def test_a_living_writer_keeps_its_segment_from_being_replaced_but_not_from_being_taken_up(name):
    first = Segment.create(name, a_header())
    writer = Segment.attach(name)
    assert lock.try_lock(writer.fd, folder.LOCK_WRITER)
    abandon(first)
    with pytest.raises(SegmentExistsError, match="still writes"):
        Segment.create(name, a_header(keep=9))
    assert not lock.is_locked(writer.fd, folder.LOCK_OWNER), "the refused maker owns nothing"
    taken = Segment.create(name, a_header())
    assert taken.writer_alive()
    writer.close()
    assert not taken.writer_alive()
    taken.close()


def test_a_segment_that_its_owner_was_about_to_unlink_is_not_taken_up(name):
    first = Segment.create(name, a_header())
    _core.retire(_core.Memory(first.fd, layout.PAGE, True))
    abandon(first)  # killed between the two
    second = Segment.create(name, a_header())
    assert second.header.instance != first.header.instance
    second.close()


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\0" * 8192])
def test_a_half_made_file_of_our_own_names_is_rubbish(name, content):
    ours = f"{folder.NAMESPACE}{name}"
    put(ours, content)
    try:
        with pytest.raises(SegmentInvalidError):
            Segment.attach(ours)
        segment = Segment.create(ours, a_header())
        segment.close()
    finally:
        (SHM / ours).unlink(missing_ok=True)


def test_a_half_made_file_that_somebody_holds_is_not_taken_for_rubbish(name):
    ours = f"{folder.NAMESPACE}{name}"
    put(ours, b"")
    holder = os.open(SHM / ours, os.O_RDWR)
    try:
        assert lock.try_lock(holder, folder.LOCK_OWNER)
        with pytest.raises(SegmentInvalidError):
            Segment.create(ours, a_header())
        assert (SHM / ours).exists()
    finally:
        os.close(holder)
        (SHM / ours).unlink()


def test_an_owner_does_not_unlink_what_took_its_name(name):
    segment = Segment.create(name, a_header())
    (SHM / name).unlink()
    put(name, b"another")
    segment.close()
    assert (SHM / name).read_bytes() == b"another"


def test_closing_leaves_a_descriptor_alone_that_is_another_files_by_now(name):
    """Somebody closed all descriptors of the process, and the number was used again."""
    segment = Segment.create(name, a_header())
    fd = segment.fd
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, fd)
    os.close(null)
    segment.close()
    assert os.read(fd, 1) == b""
    os.close(fd)


# sweeping --------------------------------------------------------------------------------------------------


def test_sweeping_removes_only_what_is_nobodys(name):
    segment = Segment.create(name, a_header())
    assert not sweep(name)
    writer = Segment.attach(name)
    assert lock.try_lock(writer.fd, folder.LOCK_WRITER)
    abandon(segment)
    assert not sweep(name), "a writer lives"
    reader = Segment.attach(name)
    writer.close()
    assert sweep(name)
    assert not (SHM / name).exists()
    assert struct.unpack("<Q", os.pread(reader.fd, 8, _core.OFFSET_RETIRED)) == (1,), "its readers are told"
    reader.close()
    assert not sweep(name)


def test_listing_finds_this_users_segments_by_their_beginning(name):
    segment = Segment.create(name, a_header())
    assert folder.segments(name) == [name]
    segment.close()
    assert folder.segments(name) == []


# memory ----------------------------------------------------------------------------------------------------


def test_memory_lives_as_long_as_a_buffer_of_it(name):
    segment = Segment.create(name, a_header())
    view = memoryview(_core.Memory(segment.fd, layout.PAGE, True))
    part = view[:8]
    segment.close()
    del view
    assert bytes(part) == layout.MAGIC


def test_memory_for_readers_can_not_be_written(name):
    segment = Segment.create(name, a_header())
    view = memoryview(_core.Memory(segment.fd, layout.PAGE, False))
    with pytest.raises(TypeError):
        view[0] = 0
    segment.close()


def test_memory_keeps_no_descriptor(name):
    segment = Segment.create(name, a_header())
    before = open_descriptors()
    memory = _core.Memory(segment.fd, layout.PAGE, True)
    assert open_descriptors() == before
    assert len(memory) == layout.PAGE
    segment.close()


def test_memory_holds_no_lock(name):
    """A mapping holds its open file; through the one that carries the lock, closing would not let go."""
    segment = Segment.create(name, a_header())
    other = Segment.attach(name)
    memory = _core.Memory(segment.fd, layout.PAGE, True)
    abandon(segment)
    assert not lock.is_locked(other.fd, folder.LOCK_OWNER)
    assert bytes(memoryview(memory)[:8]) == layout.MAGIC
    other.close()


def test_memory_of_a_closed_descriptor_is_an_os_error():
    with pytest.raises(OSError, match="/proc/self/fd/-1"):
        _core.Memory(-1, layout.PAGE, True)


def test_memory_of_no_size_is_an_os_error(name):
    segment = Segment.create(name, a_header())
    with pytest.raises(OSError, match="mmap of 0 bytes"):
        _core.Memory(segment.fd, 0, True)
    segment.close()


def test_who_reads_is_in_no_way_of_locks(name):
    segment = Segment.create(name, a_header())
    other = Segment.attach(name)
    assert lock.try_lock(other.fd, 100)
    assert lock.is_locked(segment.fd, 100)
    assert not lock.is_locked(other.fd, 100), "one's own lock is no other's"
    assert not lock.try_lock(segment.fd, 100)
    lock.unlock(other.fd, 100)
    assert lock.try_lock(segment.fd, 100, shared=True)
    assert lock.try_lock(other.fd, 100, shared=True)
    other.close()
    segment.close()


def test_a_process_is_described_by_pid_and_title():
    assert lock.describe_process(os.getpid()).startswith(f"pid {os.getpid()} (")
    assert lock.start_time(os.getpid()) > 0
    assert lock.start_time(2**30) == 0
    assert lock.describe_process(2**30) == f"pid {2**30}"


# a segment that is prepared --------------------------------------------------------------------------------


def test_a_prepared_segment_has_its_memory_and_its_owner_but_no_name(name):
    before = open_descriptors()
    segment = Segment.prepare(name, a_header())
    assert not (SHM / name).exists()
    assert os.fstat(segment.fd).st_blocks * 512 >= segment.header.segment_size
    segment.appear()
    assert segment.is_named()
    with pytest.raises(SegmentExistsError):
        Segment.create(name, a_header())
    segment.close()
    assert not (SHM / name).exists()
    assert open_descriptors() == before


def test_one_that_never_appears_leaves_nothing_and_hurts_no_other(name):
    other = Segment.create(name, a_header())
    Segment.prepare(name, a_header(dtype="<f4", size=16)).close()
    assert other.is_named()
    other.close()


def test_it_takes_the_place_of_another_which_is_retired(name):
    old = Segment.create(name, a_header())
    reader = Segment.attach(name)
    new = Segment.prepare(name, a_header(dtype="<f4", size=16))
    new.appear(old)
    assert new.is_named()
    assert reader.is_replaced()
    assert os.pread(reader.fd, 8, _core.OFFSET_RETIRED) == struct.pack("<Q", 1)
    assert old.fd == -1
    reader.close()
    new.close()


def test_a_strangers_name_is_not_taken(name):
    stranger = Segment.create(name, a_header())
    new = Segment.prepare(name, a_header())
    with pytest.raises(SegmentExistsError):
        new.appear()
    new.close()
    assert stranger.is_named()
    stranger.close()
