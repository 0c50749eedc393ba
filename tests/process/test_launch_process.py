"""`dolphin-mp launch` and `run` as real processes: what they say, where, and what holds them up (nothing)."""

import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from dolphin_mp import Client
from dolphin_mp.paths import runtime_folder

ROOT = Path(__file__).parents[2]
LIMIT_S = 30.0
PARTS = """
from dolphin_mp import Component, Done, Output

class Tick(Component):
    every = "20ms"
    out = Output("f8")
    def step(self):
        last = self.out.latest()
        self.out.publish(1.0 if last is None else float(last.value) + 1)

class Loud(Component):
    every = "5ms"
    out = Output("f8", keep=64)
    def step(self):
        for _ in range(100):
            print("loud " + "x" * 100)
        self.out.publish(0.0)

class Deaf(Component):
    every = "5ms"
    def step(self):
        import time
        while True:
            try:
                time.sleep(600)
            except SystemExit:
                pass

class Finish(Component):
    every = "10ms"
    def step(self):
        print("finish speaks")
        raise Done

class Fail(Component):
    every = "10ms"
    def setup(self):
        raise ValueError("no luck")
    def step(self): ...
"""
# as a shell: leads the session, gives its job the terminal, outlives it
SHELL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
job = os.fork()
if job == 0:
    os.execv(sys.argv[1], sys.argv[1:])
signal.signal(signal.SIGINT, signal.SIG_IGN)
code = os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])
sys.stdin.readline()
sys.exit(code % 256)
"""


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A runtime folder of its own, short enough for sockets, and a folder with components."""
    folder = tempfile.mkdtemp(prefix="dmp-")
    monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("NO_COLOR", raising=False)
    (tmp_path / "parts.py").write_text(PARTS)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    shutil.rmtree(folder, ignore_errors=True)


def configure(home, name, **components):
    text = f'[system]\nname = "{name}"\n'
    for key, run in components.items():
        text += f'[components.{key}]\nrun = "parts:{run}"\n'
    (home / "dolphin.toml").write_text(text)


def command(*arguments):
    return [sys.executable, "-P", "-m", "dolphin_mp.cli", *arguments]


def run(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=LIMIT_S, check=False)


class OnTerminal:
    """A command in the foreground of a terminal of its own; `wait_for` reads what it shows."""

    def __init__(self, *arguments, **environment):
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", SHELL, *command(*arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", **environment},
        )
        os.close(slave)
        self.shown = ""
        self.raw = False

    def wait_for(self, pattern):
        """Read until what came since the last call matches; gives the match."""
        deadline = time.monotonic() + LIMIT_S
        while not (found := re.search(pattern, self.shown)):
            ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no {pattern!r} within {LIMIT_S} s in {self.shown!r}"
            self.shown += self._read()
        self.shown = self.shown[found.end() :]
        return found

    def _read(self):
        """Give some text; colours are left out, but not what moves the cursor."""
        text = os.read(self._master, 1 << 16).decode(errors="replace")
        return text if self.raw else re.sub(r"\x1b\[[0-9;]*m", "", text)

    def type(self, text):
        os.write(self._master, text.encode())

    def viewer(self):
        """Give the pid of the process that draws."""
        (parent,) = children(self.process.pid)
        return next(pid for pid in children(parent) if "viewer" in Path(f"/proc/{pid}/cmdline").read_text())

    def end(self):
        """Let the shell go; gives the command's exit code."""
        self.type("\n")
        code = self.process.wait(LIMIT_S)
        with contextlib.suppress(OSError):  # the terminal's other side is closed
            while True:
                self.shown += self._read()
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()  # its terminal hangs up: the command ends too
            self.process.wait(LIMIT_S)
        os.close(self._master)


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def on_terminal():
    commands = []

    def on_terminal(*arguments, **environment):
        commands.append(OnTerminal(*arguments, **environment))
        return commands[-1]

    yield on_terminal
    for started in commands:
        started.close()


def test_off_a_terminal_talk_is_lines_on_stderr_and_components_have_the_streams(home):
    configure(home, "plain", finish="Finish")
    done = run("launch", "--until-done")
    assert done.returncode == 0
    assert done.stdout == "finish speaks\n"
    lines = done.stderr.splitlines()
    assert lines[0] == "launching dolphin.toml"
    assert re.fullmatch(r"plain: 1 component, pid \d+; Ctrl-C stops it", lines[1])
    assert lines[2] == "in a second terminal: dolphin-mp status"
    assert re.search(r"^\d\d:\d\d:\d\d finish ready \(pid \d+\)$", done.stderr, re.MULTILINE)
    assert re.search(r"^\d\d:\d\d:\d\d finish done$", done.stderr, re.MULTILINE)
    assert lines[-1] == "stopped"
    assert "\x1b" not in done.stderr


def test_with_json_each_event_is_a_line_on_stdout(home):
    configure(home, "data", finish="Finish")
    done = run("launch", "--until-done", "--json")
    assert done.returncode == 0
    events = [json.loads(line) for line in done.stdout.splitlines() if line != "finish speaks"]
    assert events[0]["event"] == "launched"
    assert events[0]["components"] == ["finish"]
    assert events[-1] == {"event": "ended", "exit_code": 0}
    states = [event["state"] for event in events if event["event"] == "state"]
    assert states[0] == "starting"
    assert states[-1] == "done"


def test_the_demo_says_that_its_market_is_simulated(home):
    done = run("launch", "--for", "100ms")
    assert done.returncode == 0
    assert "the market is simulated" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["launch", "missing.toml"], 2, "dolphin-mp: missing.toml: no such file"),
        (["launch", "--for", "10"], 2, 'dolphin-mp: --for: "10" is no duration'),
        (["launch", "--nonsense"], 2, "--nonsense"),
        (["run", "nobody"], 4, "dolphin-mp: no component 'nobody' in refusing; there are: fail"),
        (["run"], 2, "COMPONENT"),
    ],
)
def test_what_can_not_be_done_is_one_line_and_a_code(home, arguments, code, text):
    configure(home, "refusing", fail="Fail")
    done = run(*arguments)
    assert done.returncode == code
    assert text in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_all_faults_of_a_configuration_are_said_with_code_2(home):
    (home / "dolphin.toml").write_text('[components.a]\nrun = "parts:Tock"\nevry = "1s"\n')
    done = run("launch")
    assert done.returncode == 2
    faults = [line for line in done.stderr.splitlines() if line.startswith("dolphin-mp: ")]
    assert len(faults) == 2


def test_a_second_launch_names_the_first_and_a_detached_one_is_left_running(home):
    configure(home, "twice", tick="Tick")
    first = run("launch", "--detach", "--json")
    assert first.returncode == 0
    started = json.loads(first.stdout)
    assert started["system"] == "twice"
    assert started["states"] == {"tick": "ready"}
    with Client("twice") as client:
        second = run("launch")
        assert second.returncode == 1
        assert f"'twice' is running already (pid {started['pid']})" in second.stderr.splitlines()[-1]
        client.shutdown()


def test_a_detached_launch_tells_of_a_component_that_fails_at_once(home):
    configure(home, "unlucky", fail="Fail")
    done = run("launch", "--detach")
    assert done.returncode == 1
    assert "fail backoff" in done.stdout
    with Client("unlucky") as client:
        client.shutdown()


def test_on_a_terminal_each_component_has_a_line_and_ctrl_c_stops(home, on_terminal):
    configure(home, "live", tick="Tick")
    launch = on_terminal("launch")
    launch.wait_for(r"NAME +STATE")
    launch.wait_for(r"tick +.*ready")
    with Client("live") as client:
        os.kill(client.status()["components"][0]["pid"], signal.SIGKILL)
    launch.wait_for(r"tick ready \(pid \d+\), restart 1")
    launch.type("\x03")
    launch.wait_for(r"stopping \(SIGINT\); Ctrl-C kills what does not stop")
    assert launch.end() == 0
    assert "stopped\r\n" in launch.shown


def test_a_second_ctrl_c_forces_and_a_third_is_none_too_many(home, on_terminal):
    configure(home, "force", deaf="Deaf", tick="Tick")
    launch = on_terminal("launch")
    launch.wait_for(r"deaf +.*ready")
    launch.type("\x03")
    launch.wait_for(r"stopping \(SIGINT\); Ctrl-C kills what does not stop")
    with Client("force") as client:
        pid = next(row["pid"] for row in client.status()["components"] if row["name"] == "deaf")
    pidfd = os.pidfd_open(pid)
    launch.type("\x03\x03")
    assert launch.end() == 0
    assert select.select([pidfd], [], [], LIMIT_S)[0]
    os.close(pidfd)
    assert not Path(runtime_folder("force")).exists()


def test_without_colour_a_terminal_gets_none(home, on_terminal):
    configure(home, "grey", finish="Finish")
    launch = on_terminal("launch", "--until-done", NO_COLOR="1")
    launch.raw = True
    assert launch.end() == 0
    assert "finish speaks" in launch.shown
    assert not re.search(r"\x1b\[[0-9;]*m", launch.shown)


def test_a_viewer_that_stands_still_holds_up_neither_component_nor_parent(home, on_terminal):
    configure(home, "held", loud="Loud")
    launch = on_terminal("launch")
    launch.wait_for("loud x+")
    with Client("held") as client:
        os.kill(launch.viewer(), signal.SIGSTOP)
        channel = client.channel("loud.out")
        reach = channel.version + 200  # 2 MB of prints: far more than the pipe holds
        deadline = time.monotonic() + LIMIT_S
        while channel.version < reach:
            channel.wait(channel.version, LIMIT_S)
            assert time.monotonic() < deadline
        client.restart("loud")
        began = time.monotonic()
        launch.type("\x03")
        assert launch.end() == 0
        assert time.monotonic() - began < 10


def test_a_killed_viewer_is_followed_by_another_and_nothing_else_notices(home, on_terminal):
    configure(home, "again", tick="Tick")
    launch = on_terminal("launch")
    launch.wait_for(r"NAME +STATE")
    with Client("again") as client:
        pid = client.status()["components"][0]["pid"]
        first = launch.viewer()
        os.kill(first, signal.SIGKILL)
        launch.shown = ""
        client.restart("tick")
        launch.wait_for(r"NAME +STATE")
        assert launch.viewer() != first
        assert client.status()["components"][0]["pid"] != pid
    launch.type("\x03")
    assert launch.end() == 0


def test_a_parent_that_dies_is_told_of_by_the_viewer(home, on_terminal):
    configure(home, "orphans", tick="Tick")
    launch = on_terminal("launch")
    launch.wait_for(r"tick +.*ready")
    with Client("orphans") as client:
        os.kill(client.status()["pid"], signal.SIGKILL)
        launch.wait_for("the parent is gone without a word")
        assert not client.status()["supervised"]
    assert run("shutdown").returncode == 0


def test_a_component_alone_is_a_service_of_its_own(home):
    configure(home, "alone", finish="Finish")
    done = run("run", "finish")
    assert done.returncode == 0
    assert done.stdout == "finish speaks\n"
