"""What the components of a launched system say: in its files, on the launcher's streams, after any death."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dolphin_mp import Client
from dolphin_mp.logs.files import files_folder, look
from dolphin_mp.logs.reader import Follower, tail

ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0
PARTS = """
import os, sys
from dolphin_mp import Component, Done, Output

class Talk(Component):
    every = "20ms"
    out = Output("f8")
    def setup(self):
        self.log.warning("set up")
        os.write(1, b"straight to the descriptor\\n")
    def step(self):
        print("step")
        self.out.publish(0.0)

class Fail(Component):
    every = "10ms"
    def setup(self):
        print("about to fail")
        raise ValueError("no luck")
    def step(self): ...

class Flood(Component):
    out = Output("f8")
    every = "1ms"
    def step(self):
        for _ in range(2000):
            print("x" * 1000)
        self.out.publish(0.0)

class Brief(Component):
    every = "1ms"
    def step(self):
        print("brief")
        raise Done
"""


@pytest.fixture
def home(monkeypatch, tmp_path):
    folder = tempfile.mkdtemp(prefix="dmp-")
    monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts.py").write_text(PARTS)
    yield tmp_path
    for left in Path(folder, "dolphin-mp").glob("*"):  # of a test that failed
        command("shutdown", "--system", left.name)
    shutil.rmtree(folder, ignore_errors=True)


def configure(home, name, more="", **components):
    text = f'[system]\nname = "{name}"\n{more}'
    for key, run in components.items():
        lines = run if "=" in run else f'run = "parts:{run}"'
        text += f"[components.{key}]\n{lines}\n"
    (home / "dolphin.toml").write_text(text)


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-P", "-m", "dolphin_mp.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def said(system, component):
    return tail(system, component, 1 << 30)


def wait_for(system, component, wanted):
    """Wait until a component has said what is wanted."""
    follower = Follower(files_folder(system))
    found = said(system, component)
    while not any(wanted(record) for record in found):
        assert select.select([follower], [], [], LIMIT_S)[0], f"not said: {found}"
        found += follower.read()
    follower.close()


def collector_of(system):
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"logs [dolphin-mp {system}]" in (entry / "cmdline").read_text():
                return int(entry.name)
    return 0


def wait_gone(pid):
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        assert select.select([pidfd], [], [], LIMIT_S)[0], f"{pid} lives on"
        os.close(pidfd)


def is_told_to_have_died(record):
    """Even of a death that a restart follows at once."""
    return record["level"] == "warning" and record["message"].startswith("starting: exit 1: ValueError")


def test_what_components_say_is_read_while_they_run_and_after(home):
    configure(home, "spoken", talk="Talk", fail="Fail")
    assert command("launch", "--detach").returncode == 1
    wait_for("spoken", "talk", lambda record: record["message"] == "step")
    wait_for("spoken", "fail", lambda record: "Traceback" in record["message"])
    wait_for("spoken", "fail", is_told_to_have_died)
    wait_for("spoken", "fail", lambda record: "`dolphin-mp crashes 2" in record["message"])
    assert (home / "state/dolphin-mp/output.log").stat().st_mode & 0o077 == 0
    with Client("spoken") as client:
        pid = client.status()["components"][0]["pid"]
        shown = command("logs", "talk", "--json", "-n", "all")
        collector = collector_of("spoken")
        client.shutdown()
    wait_gone(collector)
    found = [json.loads(line) for line in shown.stdout.splitlines()]
    by_message = {record["message"]: record for record in found}
    assert by_message["set up"]["level"] == "warning"
    assert by_message["straight to the descriptor"]["pid"] == pid
    assert by_message["step"]["stream"] == "stdout"
    assert by_message["ready"]["stream"] == "system"
    assert {record["component"] for record in found} == {"talk"}
    whole = next(r for r in said("spoken", "fail") if "Traceback" in r["message"])
    assert whole["message"].endswith("ValueError: no luck")
    assert whole["level"] == "error"
    after = command("logs", "fail", "--level", "error")
    assert after.returncode == 0
    assert "ValueError: no luck" in after.stdout
    assert command("logs", "nobody").returncode == 4


def test_the_last_words_of_a_system_that_ends_at_once_are_there(home):
    configure(home, "brief", brief="Brief")
    done = command("launch", "--until-done")
    assert done.returncode == 0
    assert done.stdout == "brief\n"
    assert "brief" in [record["message"] for record in said("brief", "brief")]
    assert collector_of("brief") == 0


def test_shared_processes_name_their_components(home):
    shared = '\nrun = "parts:Talk"\nprocess = "both"'
    configure(home, "shared", one=shared, two=shared)
    assert command("launch", "--detach").returncode == 0
    for name in ("one", "two"):
        wait_for("shared", name, lambda record: record["message"] == "step")
    collector = collector_of("shared")
    assert command("shutdown").returncode == 0
    wait_gone(collector)
    for name in ("one", "two"):
        assert {"set up", "step"} <= {record["message"] for record in said("shared", name)}
    assert [r["message"] for r in said("shared", "both")].count("straight to the descriptor") == 2


def test_a_killed_collector_is_followed_by_another(home):
    configure(home, "revived", talk="Talk")
    assert command("launch", "--detach").returncode == 0
    with Client("revived") as client:
        wait_for("revived", "talk", lambda record: record["message"] == "step")
        first = collector_of("revived")
        os.kill(first, signal.SIGKILL)
        wait_gone(first)
        steps = len(said("revived", "talk"))
        follower = Follower(files_folder("revived"))
        while len(said("revived", "talk")) <= steps:
            assert select.select([follower], [], [], LIMIT_S)[0], "nobody writes any more"
            follower.read()
        follower.close()
        second = collector_of("revived")
        assert second not in {0, first}
        client.shutdown()
    wait_gone(second)
    numbers = [r["seq"] for r in said("revived", "talk") if r["stream"] == "stdout" and "seq" in r]
    assert numbers == sorted(set(numbers))


def test_a_killed_parent_leaves_them_speaking_and_written_down(home):
    configure(home, "orphaned", talk="Talk")
    assert command("launch", "--detach").returncode == 0
    with Client("orphaned") as client:
        os.kill(client.status()["pid"], signal.SIGKILL)
    follower = Follower(files_folder("orphaned"))
    for _ in range(5):
        assert select.select([follower], [], [], LIMIT_S)[0], "nobody writes any more"
        follower.read()
    follower.close()
    collector = collector_of("orphaned")
    assert command("shutdown").returncode == 0
    wait_gone(collector)
    assert look(files_folder("orphaned"))


def test_a_flood_takes_nothing_from_its_neighbour_and_is_said(home):
    configure(home, "flooded", flood="Flood", talk="Talk")
    assert command("launch", "--detach").returncode == 0
    wait_for("flooded", "flood", lambda record: record.get("dropped"))
    wait_for("flooded", "talk", lambda record: record["message"] == "step")
    collector = collector_of("flooded")
    assert command("shutdown").returncode == 0
    wait_gone(collector)
    quiet = said("flooded", "talk")
    numbers = [r["seq"] for r in quiet if r["stream"] == "stdout" and "seq" in r]
    assert numbers == list(range(len(numbers)))
    assert not any("dropped" in record for record in quiet)
