from __future__ import annotations

import errno
import io
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dolphin_mp.workers.books.capture import (
    Kind,
    Line,
    read_capture,
    read_file,
    read_line,
    read_sent,
    symbols_configured,
)
from dolphin_mp.workers.feeds import recorder
from dolphin_mp.workers.feeds.recorder import RETRY_S, Recorder

if TYPE_CHECKING:
    from pathlib import Path

NS = 1_000_000_000
times = st.integers(NS, 9_999_999_999 * NS)
payloads = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1).map(
    lambda text: b"{%s}" % text.encode()
)


@given(times, payloads)
def test_each_kind_of_line_is_read_back_as_it_was_noted(recv_ns: int, payload: bytes) -> None:
    url, rest_url = "wss://a/b?c=d@e", "https://a/b?c=d"
    assert read_line(recorder.received(recv_ns, payload)) == Line(recv_ns, Kind.RECEIVED, "", payload)
    assert read_line(recorder.sent(url, recv_ns, payload)) == Line(recv_ns, Kind.SENT, url, payload)
    assert read_line(recorder.connected(url, recv_ns)) == Line(recv_ns, Kind.CONNECTED, url, b"")
    body = payload.partition(b" header: {")[0]
    assert read_line(recorder.reply(rest_url, recv_ns, payload)) == Line(recv_ns, Kind.REPLY, rest_url, body)


def test_json_of_many_lines_is_recorded_in_one() -> None:
    assert recorder.received(5 * NS, b'{\r\n "a": 1\n}') == b'5.000000000: {   "a": 1 }'


class Made:
    """A recorder of two streams, and what it reported."""

    def __init__(self, folder: Path, file_bytes: int = 100, total_bytes: int = 10_000) -> None:
        self.lines: list[str] = []
        self.recorder = Recorder(
            folder,
            "EX",
            ["http.0", "ws.1"],
            file_bytes=file_bytes,
            total_bytes=total_bytes,
            report=self.lines.append,
        )

    def write(self, *numbers: int, now: float = 0.0, stream: str = "ws.1") -> None:
        for number in numbers:
            self.recorder.note(stream, message(number))
        self.recorder.write(self.recorder.batch(), now)


def message(number: int) -> bytes:
    return recorder.received((1000 + number) * NS, b'{"n": %d}' % number)


def recorded(folder: Path, stream: str = "ws.1") -> list[Line]:
    paths = sorted(folder.glob(f"EX.{stream}.*"), key=lambda path: int(path.suffix[1:]))
    return [line for path in paths for line in read_file(path)]


def numbers(lines: list[Line]) -> list[int]:
    return [int(line.payload[6:-1]) for line in lines if line.kind is Kind.RECEIVED]


def test_files_are_rotated_by_size_and_no_line_is_parted(tmp_path: Path) -> None:
    made = Made(tmp_path / "deep" / "folder")
    made.write(*range(30))
    made.write(*range(30, 40))
    made.recorder.close()
    names = sorted(path.name for path in (tmp_path / "deep" / "folder").iterdir())
    assert len(names) > 8
    assert {name.rpartition(".")[0] for name in names} == {"EX.ws.1"}  # no file without a line
    assert numbers(recorded(tmp_path / "deep" / "folder")) == list(range(40))
    sizes = [path.stat().st_size for path in (tmp_path / "deep" / "folder").iterdir()]
    assert max(sizes) < 100 + len(message(39)) + 1


def test_a_start_begins_files_of_its_own(tmp_path: Path) -> None:
    first = Made(tmp_path, file_bytes=10_000, total_bytes=100_000)
    first.write(1, 2)
    first.recorder.close()
    with (tmp_path / "EX.ws.1.0").open("ab") as file:
        file.write(message(3)[:15])  # a kill
    second = Made(tmp_path, file_bytes=10_000, total_bytes=100_000)
    second.write(4)
    second.recorder.close()
    assert (tmp_path / "EX.ws.1.1").read_bytes() == message(4) + b"\n"
    lines = list(read_capture([tmp_path / "EX.ws.1.0", tmp_path / "EX.ws.1.1"]))
    assert numbers(lines) == [1, 2, 4]
    assert [line.kind for line in lines].count(Kind.BAD) == 1


def test_the_oldest_files_go_and_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "OTHER.ws.1.0").write_bytes(b"x" * 5_000)
    (tmp_path / "EX.0").write_bytes(b"x" * 5_000)
    made = Made(tmp_path, file_bytes=100, total_bytes=500)
    for number in range(60):
        made.write(number)
    made.recorder.close()
    left = list(tmp_path.glob("EX.ws.1.*"))
    assert sum(path.stat().st_size for path in left) <= 500
    kept = numbers(recorded(tmp_path))
    assert kept == list(range(kept[0], 60))
    assert kept[0] > 20
    assert made.lines[0] == "removed EX.ws.1.0, the oldest recording: more than 500 bytes"
    assert {path.name for path in tmp_path.iterdir()} >= {"OTHER.ws.1.0", "EX.0"}


def test_bounds_that_can_not_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="299 bytes are too few for 2 files and a full one"):
        Made(tmp_path, file_bytes=100, total_bytes=299)


class FullDisk:
    """Takes so many bytes, then none, until there is room again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        real = io.FileIO.write

        def write(file: Any, data: Any) -> int:
            part = bytes(data)[: self.room]
            if not part:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.room -= len(part)
            return real(file, part)

        monkeypatch.setattr(recorder, "_put", write)


def test_a_full_disk_stops_the_recording_which_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(tmp_path, file_bytes=10_000, total_bytes=100_000)
    made.write(0, 1)
    disk = FullDisk(monkeypatch, room=40)
    made.write(2, 3, now=1.0)
    made.write(4, now=2.0)
    assert (tmp_path / "EX.ws.1.0").read_bytes() == message(0) + b"\n" + message(1) + b"\n"
    disk.room = 10_000
    made.write(5, now=3.0)  # it is not asked each time
    made.write(6, 7, now=1.0 + RETRY_S)
    made.recorder.close()
    lines = recorded(tmp_path)
    assert numbers(lines) == [0, 1, 6, 7]
    assert [line.payload for line in lines if line.kind is Kind.BAD] == [b"# 4 messages are missing here"]
    assert lines[2].kind is Kind.BAD  # where they are missing
    assert made.recorder.n_lost == 4
    assert made.lines == [
        f"recording to {tmp_path} stops: No space left on device; the books go on",
        f"recording to {tmp_path} goes on; 4 messages in all are missing",
    ]


def test_a_folder_that_can_not_be_made_is_no_crash_either(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    made = Made(folder)
    folder.write_text("something is in the way")
    made.write(1, now=0.0)
    assert made.lines == [f"recording to {folder} stops: File exists; the books go on"]
    folder.unlink()
    made.write(2, now=RETRY_S)
    made.recorder.close()
    assert numbers(recorded(folder)) == [2]
    assert made.recorder.n_lost == 1


def test_what_nobody_writes_away_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "WAITING_BYTES", 100)
    made = Made(tmp_path, file_bytes=10_000, total_bytes=100_000)
    made.write(*range(20))
    made.write(20)
    made.recorder.close()
    lines = recorded(tmp_path)
    kept = numbers(lines)
    assert kept == [*range(len(kept) - 1), 20]
    assert made.recorder.n_lost == 21 - len(kept)
    gap = [line.payload for line in lines if line.kind is Kind.BAD]
    assert gap == [b"# %d messages are missing here" % made.recorder.n_lost]
    assert lines[-2].kind is Kind.BAD


def test_each_file_of_a_connection_says_of_which_symbols_its_messages_are(tmp_path: Path) -> None:
    made = Made(tmp_path, file_bytes=100)
    made.recorder.begin("ws.1", ["A", "B"])
    made.write(*range(20))
    made.recorder.close()
    paths = list(tmp_path.iterdir())
    assert len(paths) > 4
    for path in paths:
        (line,) = read_sent([path])
        assert (line.kind, symbols_configured(line.payload)) == (Kind.CONFIGURED, ["A", "B"])
    assert numbers(recorded(tmp_path)) == list(range(20))


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"7", b'{"ticker":["A"]}', b'{"subscribed":7}'])
def test_a_configuration_that_says_nothing_of_symbols_names_none(payload: bytes) -> None:
    assert symbols_configured(payload) == []


MISSING = "something is missing in the recording"
REMOVED = "its snapshots will be removed from the recording"


def test_snapshots_are_wanted_before_the_last_ones_may_be_removed(tmp_path: Path) -> None:
    made = Made(tmp_path, file_bytes=100, total_bytes=1_000)
    made.recorder.begin("ws.1", ["A"])
    size, count = len(message(0)) + 1, 0
    while not made.recorder.renewals.due():
        made.write(count)
        count += 1
    assert 400 - size <= count * size <= 400 + size
    assert made.recorder.renewals.due() == {"ws.1": REMOVED}
    assert 0 in numbers(recorded(tmp_path))
    made.recorder.begin("ws.1", ["A"])
    assert made.recorder.renewals.due() == {}
    made.recorder.close()


@pytest.mark.parametrize("stream", ["ws.1", "http.0"])
def test_snapshots_are_wanted_after_a_gap(
    stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(tmp_path, file_bytes=10_000, total_bytes=100_000)
    made.recorder.begin("ws.1", ["A"])
    disk = FullDisk(monkeypatch, room=0)
    made.write(1, stream=stream)
    assert made.recorder.renewals.due() == {}  # they would be lost as well
    disk.room = 10_000
    made.write(2, now=RETRY_S, stream=stream)
    assert made.recorder.renewals.due() == {"ws.1": MISSING}
    made.recorder.begin("ws.1", ["A"])
    assert made.recorder.renewals.due() == {}
    made.recorder.close()


def test_the_gap_of_a_stream_that_is_quiet_since_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(tmp_path, file_bytes=10_000, total_bytes=100_000)
    disk = FullDisk(monkeypatch, room=0)
    made.write(1, stream="http.0")
    disk.room = 10_000
    made.write(2, now=RETRY_S)
    made.recorder.close()
    assert (tmp_path / "EX.http.0.0").read_bytes() == b"# 1 messages are missing here\n"


def test_snapshots_are_wanted_after_more_than_can_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "WAITING_BYTES", 100)
    made = Made(tmp_path, file_bytes=10_000, total_bytes=100_000)
    made.recorder.begin("ws.1", ["A"])
    made.write(*range(20))
    assert made.recorder.renewals.due() == {"ws.1": MISSING}
    made.recorder.close()
