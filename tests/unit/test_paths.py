"""Where a running system lives."""

import os

import pytest

from dolphin_mp.paths import (
    FolderError,
    base_folder,
    board_name,
    check_private,
    log_folder,
    make_runtime_folder,
    runtime_folder,
    segment_name,
    segment_prefix,
)


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """A runtime folder whose path is short enough for sockets."""
    short = tmp_path / "r"
    short.mkdir(mode=0o700)
    monkeypatch.chdir(short)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    return short


def test_it_is_in_the_users_runtime_folder(runtime):
    assert base_folder() == f"{runtime}/dolphin-mp"
    assert runtime_folder("demo") == f"{runtime}/dolphin-mp/demo"


def test_a_slash_at_the_end_makes_no_other(runtime, monkeypatch):
    name = board_name("demo")
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{runtime}/")
    assert board_name("demo") == name


def test_one_that_is_missing_is_passed_over(monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    assert base_folder() in {f"/run/user/{os.geteuid()}/dolphin-mp", f"/tmp/dolphin-mp-{os.geteuid()}"}


def test_names_carry_the_user_the_folder_and_the_system(runtime, monkeypatch):
    prefix = segment_prefix("demo")
    assert prefix.startswith(f"dolphin-mp-{os.geteuid()}-")
    assert prefix.endswith("-demo.")
    assert board_name("demo") == f"{prefix}board"
    assert segment_name("demo", "ob.book") == f"{prefix}ob.book"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp")
    assert segment_prefix("demo") != prefix


def test_a_prefix_is_never_the_beginning_of_anothers(runtime):
    assert not segment_prefix("demo2").startswith(segment_prefix("demo"))


def test_the_folder_is_made_private_and_may_be_there(runtime):
    folder = make_runtime_folder("demo")
    assert make_runtime_folder("demo") == folder
    for path in (folder, os.path.dirname(folder)):  # noqa: PTH120
        assert os.stat(path).st_mode & 0o777 == 0o700  # noqa: PTH116


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o777])
def test_one_that_is_open_to_others_is_refused(runtime, mode):
    (runtime / "dolphin-mp").mkdir()
    (runtime / "dolphin-mp").chmod(mode)
    with pytest.raises(FolderError, match=f"open to others .mode {mode:04o}.: chmod 0700"):
        make_runtime_folder("demo")


def test_a_link_is_refused(runtime, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (runtime / "dolphin-mp").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderError, match="is no folder: remove it"):
        make_runtime_folder("demo")


def test_a_file_is_refused(runtime):
    (runtime / "dolphin-mp").write_text("")
    with pytest.raises(FolderError, match="is no folder: remove it"):
        make_runtime_folder("demo")


def test_another_users_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(FolderError, match=r"belongs to uid \d+, you are uid"):
        check_private(str(tmp_path))


def test_one_too_long_for_a_socket_is_refused(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    with pytest.raises(FolderError, match="too long for a socket's path: set XDG_RUNTIME_DIR"):
        make_runtime_folder("demo")


def test_logs_are_kept_where_state_is(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert log_folder() == tmp_path / "dolphin-mp"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(log_folder()) == "/home/someone/.local/state/dolphin-mp"
