from __future__ import annotations

from pathlib import Path

import pytest

from dolphin_mp.workers.books import capture
from dolphin_mp.workers.books.capture import (
    CaptureError,
    Kind,
    Line,
    capture_files,
    read_capture,
    read_file,
    read_line,
)

NS = 1_000_000_000


def write(path: Path, *lines: str | bytes, end: bytes = b"\n") -> Path:
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines) + end)
    return path


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b'1626992741.06217: {"a": 1}', Line(1626992741062170000, Kind.RECEIVED, "", b'{"a": 1}')),
        (b"1626992771.0886679: x: y", Line(1626992771088667900, Kind.RECEIVED, "", b"x: y")),
        (b"5.0: ", Line(5 * NS, Kind.RECEIVED, "", b"")),
        (b"wss://a/b?c=d@e <-> 1.5", Line(1_500_000_000, Kind.CONNECTED, "wss://a/b?c=d@e", b"")),
        (b"https://a/b?c=d -> 1.5: {}", Line(1_500_000_000, Kind.REPLY, "https://a/b?c=d", b"{}")),
        (b'https://a -> 2.0: {} header: {"x": 1}', Line(2 * NS, Kind.REPLY, "https://a", b"{}")),
        (b"wss://a <- 1.0: {}", Line(NS, Kind.SENT, "wss://a", b"{}")),
    ],
)
def test_each_kind_of_line_is_read(text: bytes, line: Line) -> None:
    assert read_line(text) == line


@pytest.mark.parametrize(
    "text",
    [
        b"garbage",
        b"\xff\x00",
        b"5",
        b"5.: {}",
        b"nan: {}",
        b"99999999999.0: {}",
        b"1.5{}",
        b"wss://a",
        b"wss://a <-> soon",
        b"wss://a <- {}",
        b"wss://a <- soon: {}",
        b"https://a",
        b"https://a -> x: {}",
    ],
)
def test_what_is_no_record_is_a_bad_line(text: bytes) -> None:
    line = read_line(text)
    assert line.kind is Kind.BAD


def test_blank_lines_and_the_configuration_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "X", "", "1.0: a", "", "  ", "configuration: {}", "2.0: b")
    assert [line.payload for line in read_file(path)] == [b"a", b"b"]


def test_a_last_line_without_its_end_is_a_line(tmp_path: Path) -> None:
    path = write(tmp_path / "X", "1.0: a", '2.0: {"b', end=b"")
    assert [line.payload for line in read_file(path)] == [b"a", b'{"b']


def test_time_never_runs_backward_within_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "X", "10.0: a", "9.0: b", "11.0: c")
    assert [(line.recv_ns // NS, line.kind) for line in read_file(path)] == [
        (10, Kind.RECEIVED),
        (10, Kind.BAD),
        (11, Kind.RECEIVED),
    ]


R, B = Kind.RECEIVED, Kind.BAD


@pytest.mark.parametrize(
    ("times", "kinds"),
    [
        ([10, 9999999999, 11, 12], [B, B, R, R]),  # the first line is doubtful until the next one agrees
        ([10, 11, 9999999999, 12, 13], [R, R, B, R, R]),
        ([10, 11, 90000, 90001, 90002], [R, R, R, R, R]),  # a pause of a day
        ([10, 11, 90000, 200000, 200001], [R, R, B, R, R]),
        ([9999999999, 10, 11], [B, R, R]),
        ([1, 90000, 90001], [B, R, R]),  # a stamp whose first digits are cut off
        ([10, 11, 90000], [R, R, B]),
        ([10], [R]),
    ],
)
def test_a_time_far_ahead_is_believed_when_the_next_line_agrees(
    times: list[int], kinds: list[Kind], tmp_path: Path
) -> None:
    lines = list(read_file(write(tmp_path / "X", *(f"{time}.0: x" for time in times))))
    assert [line.kind for line in lines] == kinds
    assert [line.recv_ns for line in lines] == sorted(line.recv_ns for line in lines)


@pytest.mark.parametrize(
    ("times", "kinds"),
    [
        ([10_100, 18_000, 26_000], [Kind.REPLY] * 3),  # hours apart
        ([10_100, 9999999999, 26_000], [Kind.REPLY, B, Kind.REPLY]),
        ([9999999999, 10_100, 18_000], [B, Kind.REPLY, Kind.REPLY]),
        ([10_100, 18_000, 9999999999], [Kind.REPLY, Kind.REPLY, B]),
        ([1, 18_000, 26_000], [B, Kind.REPLY, Kind.REPLY]),
    ],
)
def test_a_replys_time_is_judged_by_the_messages_around_it(
    times: list[int], kinds: list[Kind], tmp_path: Path
) -> None:
    write(tmp_path / "EX.ws.1.0", *(f"{time}.0: x" for time in range(10_000, 30_000, 50)))
    write(tmp_path / "EX.http.0.0", *(f"https://x -> {time}.0: {time}" for time in times))
    lines = list(read_capture(capture_files(tmp_path, "EX")))
    found = {line.payload.rpartition(b" ")[2]: line.kind for line in lines if line.kind is not R}
    assert [found[b"%d" % time] for time in times] == kinds
    assert all(line.recv_ns < 30_000 * NS for line in lines)


def test_a_clock_set_back_before_a_restart_parts_no_two_rotations(tmp_path: Path) -> None:
    write(tmp_path / "EX.ws.1.0", "100.0: a", "200.0: b", "300.0: c")
    write(tmp_path / "EX.ws.1.1", "150.0: d", "160.0: e", "400.0: f")
    write(tmp_path / "EX.ws.1.2", "garbage", "450.0: g")
    lines = list(read_capture(capture_files(tmp_path, "EX")))
    assert [line.payload for line in lines] == [b"a", b"b", b"c", b"d", b"e", b"f", b"garbage", b"g"]
    assert [line.recv_ns // NS for line in lines] == [100, 200, 300, 300, 310, 550, 550, 550]


@pytest.mark.parametrize(
    ("last", "second"),
    [
        ('300.5: {"a', 300),
        ("300.5", 200),
        ("wss://x <- 300.0: {}", 300),
        ("", 200),
        ("# 3 are missing here", 200),
    ],
)
def test_the_last_time_of_a_capture_is_found_in_spite_of_a_kill(
    last: str, second: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "_TAIL_BYTES", 60)
    assert capture.latest_ns(tmp_path / "none", "EX") == capture.latest_ns(tmp_path, "EX") == 0
    write(tmp_path / "EX.http.0.0", "https://x -> 150.0: x")
    write(tmp_path / "EX.ws.1.9", *(f"{number}.0: x" for number in range(100, 180)))
    write(tmp_path / "EX.ws.1.10", *(f"{number}.0: x" for number in range(100, 201)), last, end=b"")
    assert capture.latest_ns(tmp_path, "EX") // NS == second


def test_of_each_connection_one_file_is_open_at_a_time(tmp_path: Path) -> None:
    for number in range(40):
        write(tmp_path / f"EX.ws.1.{number}", f"{100 + number}.0: x")
        write(tmp_path / f"EX.http.0.{number}", f"https://x -> {100 + number}.5: x")
    here, most = Path("/proc/self/fd"), 0
    for _ in read_capture(capture_files(tmp_path, "EX")):
        opened = sum(fd.readlink().is_relative_to(tmp_path) for fd in here.iterdir() if fd.is_symlink())
        most = max(most, opened)
    assert 1 <= most <= 2


def test_garbage_at_the_head_does_not_spoil_the_rest(tmp_path: Path) -> None:
    lines = list(read_file(write(tmp_path / "X", "garbage", "10.0: a", "garbage", "11.0: b", "12.0: c")))
    assert [line.payload for line in lines if line.kind is R] == [b"a", b"b", b"c"]
    assert [line.kind for line in lines].count(B) == 2


def test_files_are_merged_by_time_and_rotations_in_order(tmp_path: Path) -> None:
    write(tmp_path / "EX.ws.1.0", "1.0: a", "4.0: d")
    write(tmp_path / "EX.ws.1.1", "5.0: e")
    write(tmp_path / "EX.ws.2.0", "2.0: b", "4.0: dd")
    write(tmp_path / "EX.http.0.0", "https://x -> 3.0: c")
    write(tmp_path / "EX.0", "configuration: {}")
    write(tmp_path / "OTHER.ws.1.0", "1.0: z")
    files = capture_files(tmp_path, "EX")
    assert [path.name for path in files] == ["EX.http.0.0", "EX.ws.1.0", "EX.ws.1.1", "EX.ws.2.0"]
    assert [line.payload for line in read_capture(files)] == [b"a", b"b", b"c", b"d", b"dd", b"e"]


def test_a_folder_without_a_capture_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"no capture at .*missing: No such file or directory"):
        capture_files(tmp_path / "missing", "EX")
    with pytest.raises(CaptureError, match=r"it has no file EX\.ws\.N\.R or EX\.http\.N\.R$"):
        capture_files(tmp_path, "EX")
    write(tmp_path / "KRAKEN.ws.1.0", "1.0: a")
    with pytest.raises(CaptureError, match="only KRAKEN: is the option venue right"):
        capture_files(tmp_path, "EX")
