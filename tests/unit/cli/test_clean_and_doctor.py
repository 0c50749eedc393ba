"""`clean` and `doctor`: what is left over, and what the machine has."""

import json
import os
from pathlib import Path

from dolphin_mp.cli import main
from dolphin_mp.ipc.folder import segments
from dolphin_mp.paths import make_runtime_folder, runtime_folder, segment_prefix


def test_clean_removes_what_a_crash_left_and_nothing_else(system, channel, crash, capsys):
    system("alive", "ob")
    channel("alive", "ob.top", "f8")
    crash("dead")
    left = segments(segment_prefix("dead"))
    assert len(left) == 2
    assert main(["clean", "--dry-run"]) == 0
    assert segments(segment_prefix("dead")) == left
    capsys.readouterr()
    assert main(["clean", "--json"]) == 0
    out, err = capsys.readouterr()
    got = json.loads(out)
    assert sorted(got["removed"][0]["segments"]) == left
    assert got["removed"][0]["folders"] == [runtime_folder("dead")]
    assert [one["system"] for one in got["living"]] == ["alive"]
    assert f"ob (pid {os.getpid()})" in err
    assert segments(segment_prefix("dead")) == []
    assert not Path(runtime_folder("dead")).exists()
    assert len(segments(segment_prefix("alive"))) == 2


def test_clean_refuses_a_system_that_lives(system, capsys):
    system("alive", "ob", parent=False)
    assert main(["clean", "--system", "alive"]) == 1
    assert f"ob (pid {os.getpid()})" in capsys.readouterr().err
    assert main(["clean", "--system", "other"]) == 3


def test_clean_takes_a_channel_and_a_folder_without_a_board(channel, capsys):
    channel("stray", "a.b").close(unlink=False)
    make_runtime_folder("folder")
    assert main(["clean"]) == 0
    assert segments(segment_prefix("stray")) == []
    assert not Path(runtime_folder("folder")).exists()
    capsys.readouterr()
    assert main(["clean"]) == 0
    assert "nothing is left over" in capsys.readouterr().err


def test_clean_leaves_a_channel_that_somebody_owns(channel, capsys):
    channel("loose", "a.b", "f8")
    assert main(["clean"]) == 0
    assert len(segments(segment_prefix("loose"))) == 1


def test_doctor_finds_this_machine_able(machine, capsys):
    assert main(["doctor", "--json"]) == 0
    got = json.loads(capsys.readouterr().out)
    assert got["ok"]
    assert {"python", "kernel", "shared memory", "leftovers"} <= {check["name"] for check in got["checks"]}
    assert all(check["result"] in {"ok", "warn", "fail"} for check in got["checks"])
    assert main(["doctor"]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= len(got["checks"])


def test_doctor_tells_what_to_do_about_leftovers(crash, capsys):
    crash("dead")
    assert main(["doctor", "--json"]) == 0
    [found] = [
        check for check in json.loads(capsys.readouterr().out)["checks"] if check["name"] == "leftovers"
    ]
    assert (found["result"], found["advice"]) == ("warn", "dolphin-mp clean")
    assert "dead" in found["text"]


def test_doctor_fails_on_a_folder_open_to_others(machine, capsys):
    Path(os.environ["XDG_RUNTIME_DIR"], "dolphin-mp").mkdir(mode=0o755)
    assert main(["doctor"]) == 1
    assert "chmod 0700" in capsys.readouterr().out
