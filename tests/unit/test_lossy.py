"""Streams that lose rather than wait."""

import fcntl
import io
import os
import socket
import time

import pytest

from dolphin_mp.process import lossy
from dolphin_mp.process.lossy import CHUNK, PATIENCE_S, LossyStream


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    yield reading, writing
    for fd in (reading, writing):
        try:
            os.close(fd)
        except OSError:
            continue


@pytest.fixture
def no_patience(monkeypatch):
    monkeypatch.setattr(lossy, "PATIENCE_S", 0.0)


@pytest.mark.usefixtures("no_patience")
class TestPipe:
    def test_what_fits_arrives(self, pipe):
        reading, writing = pipe
        stream = LossyStream(writing)
        assert stream.write(b"spoken\n") == 7
        assert os.read(reading, 100) == b"spoken\n"
        assert stream.lost == 0

    def test_what_does_not_fit_is_counted(self, pipe):
        reading, writing = pipe
        stream = LossyStream(writing)
        size = 10 * CHUNK
        assert stream.write(b"x" * size) == size
        assert stream.lost == size - len(os.read(reading, size))
        assert stream.lost > 0

    def test_it_goes_on_when_there_is_room_again(self, pipe):
        reading, writing = pipe
        stream = LossyStream(writing)
        stream.write(b"x" * 10 * CHUNK)
        lost = stream.lost
        os.read(reading, 10 * CHUNK)
        stream.write(b"again")
        assert os.read(reading, 100) == b"again"
        assert stream.lost == lost

    def test_a_reader_that_is_gone_is_no_error(self, pipe):
        reading, writing = pipe
        stream = LossyStream(writing)
        os.close(reading)
        assert stream.write(b"spoken") == 6
        assert stream.lost == 6

    def test_a_neighbour_may_take_the_room_in_the_last_moment(self, pipe, monkeypatch):
        _, writing = pipe
        stream = LossyStream(writing)
        monkeypatch.setattr(stream, "_has_room", lambda: True)
        stream.write(b"x" * 10 * CHUNK)
        assert stream.lost >= 8 * CHUNK

    def test_the_others_end_of_it_stays_as_it_was(self, pipe):
        _, writing = pipe
        LossyStream(writing)
        assert os.get_blocking(writing)


def test_a_socket(monkeypatch):
    monkeypatch.setattr(lossy, "PATIENCE_S", 0.0)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = LossyStream(ours.fileno())
        assert stream.write(b"spoken") == 6
        assert theirs.recv(100) == b"spoken"
        stream.write(b"x" * (8 << 20))
        assert stream.lost > 0
        theirs.close()
        assert stream.write(b"spoken") == 6
        stream.close()
        stream.close()
        assert ours.fileno() >= 0


def test_it_closes_what_it_has_opened_only(pipe):
    stream = LossyStream(pipe[1])
    os.fstat(stream.own_fd)
    stream.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(stream.own_fd)
    os.fstat(pipe[1])


def test_a_full_disk_is_no_error():
    fd = os.open("/dev/full", os.O_WRONLY)
    stream = LossyStream(fd)
    assert stream.write(b"spoken") == 6
    assert stream.lost == 6
    os.close(fd)


def test_a_file_gets_all(tmp_path):
    path = tmp_path / "log"
    with path.open("ab") as file:
        stream = LossyStream(file.fileno())
        stream.write(b"x" * 100_000)
        assert stream.lost == 0
    assert path.stat().st_size == 100_000


def test_its_patience_is_short_and_used_up(pipe):
    stream = LossyStream(pipe[1])
    began = time.monotonic()
    stream.write(b"x" * 1000 * CHUNK)
    assert time.monotonic() - began < 40 * PATIENCE_S  # not a thousand times


def test_under_a_text_stream(pipe):
    reading, writing = pipe
    raw = LossyStream(writing)
    stream = io.TextIOWrapper(io.BufferedWriter(raw), errors="backslashreplace", line_buffering=True)
    print("spoken", file=stream)
    assert os.read(reading, 100) == b"spoken\n"
    assert stream.fileno() == writing
    assert not stream.isatty()
    assert raw.writable()
