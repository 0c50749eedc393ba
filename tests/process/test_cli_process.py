"""The command against real systems: steering, deaths of the parent and of all, terminals and pipes."""

import contextlib
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path

import pytest

from dolphin_mp import Client
from dolphin_mp.paths import runtime_folder
from dolphin_mp.remains import end_orphans

LIMIT_S = 30.0
COMMAND = [sys.executable, "-m", "dolphin_mp.cli"]
PARTS = """
import signal, time
from dolphin_mp import Component, Input, Output

class Tick(Component):
    every = "10ms"
    out = Output("f8")
    def step(self):
        last = self.out.latest()
        self.out.publish(1.0 if last is None else float(last.value) + 1)

class Twice(Component):
    tick = Input("tick.out", stale_after="3s", required=True)
    out = Output("f8")
    def step(self):
        self.out.publish(2 * float(self.tick.latest().value))

class Deaf(Component):
    every = "10ms"
    out = Output("f8")
    def setup(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    def step(self):
        self.out.publish(1.0)
        while True:
            signal.sigtimedwait([], 60)
"""
TWO = """
[components.tick]
run = "parts:Tick"
[components.twice]
run = "parts:Twice"
"""


def command(*arguments, code=0, **settings):
    """Run the command to its end and give what it wrote; it must leave with that code."""
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=LIMIT_S, check=False, **settings
    )
    assert done.returncode == code, f"{arguments}: {done.returncode}, {done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def answer(*arguments, code=0):
    return json.loads(command(*arguments, "--json", code=code).stdout)


@pytest.fixture
def launched(world):
    """Give a function that launches components detached and gives the parent's pid; killed if they remain."""
    world.write("parts.py", PARTS)
    pids = []

    def launch(text=TWO):
        world.toml(text)
        pids.append(answer("launch", "--detach")["pid"])
        return pids[-1]

    yield launch
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    subprocess.run([*COMMAND, "shutdown"], capture_output=True, check=False, timeout=LIMIT_S)


def kill(pid):
    """Kill a process and wait for its death."""
    pidfd = os.pidfd_open(pid)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(LIMIT_S * 1000)
    os.close(pidfd)


def test_a_component_is_stopped_started_and_restarted(world, launched):
    parent = launched()
    status = answer("status")
    assert (status["system"], status["pid"], status["supervised"]) == (world.name, parent, True)
    before = {row["name"]: row for row in status["components"]}
    assert {row["state"] for row in before.values()} == {"ready"}
    assert answer("stop", "twice")["state"] == "stopped"
    stopped = {row["name"]: row for row in answer("status")["components"]}
    assert (stopped["twice"]["state"], stopped["twice"]["pid"]) == ("stopped", None)
    assert answer("start", "twice")["state"] == "ready"
    again = answer("restart", "tick")
    assert again["state"] == "ready"
    assert again["pid"] != before["tick"]["pid"]
    assert "did you mean 'tick'" in command("restart", "tock", code=4).stderr
    assert command("shutdown").stderr == f"{world.name} is down\n"
    assert world.segments() == []
    assert not world.runtime.exists()
    command("status", code=3)


def test_records_are_read_beside_their_writer(world, launched):
    launched()
    Client(world.name).channel("tick.out").wait(0, LIMIT_S)
    first = answer("read", "tick.out", "--stale-after", "1h")
    assert (first["channel"], first["dtype"], first["shape"], first["fresh"]) == ("tick.out", "<f8", [], True)
    assert first["value"] == first["version"] >= 1
    assert 'did you mean "tick.out"?' in command("read", "tick.uot", code=4).stderr


def test_components_without_a_parent_are_seen_read_and_ended(world, launched):
    kill(launched())
    status = answer("status")
    assert (status["pid"], status["supervised"]) == (None, False)
    assert {row["state"] for row in status["components"]} == {"ready"}
    assert answer("read", "tick.out")["version"] >= 1
    assert "parent" in command("restart", "tick", code=3).stderr
    assert "(pid " in command("clean", "--system", world.name, code=1).stderr
    ended = answer("shutdown")
    assert (ended["supervised"], ended["ended"]) == (False, ["tick", "twice"])
    assert world.segments() == []
    assert not Path(runtime_folder(world.name)).exists()
    command("shutdown", code=3)


def test_an_orphan_that_does_not_listen_is_killed(world, launched):
    kill(launched('[components.deaf]\nrun = "parts:Deaf"\n'))
    began = time.monotonic()
    [row] = end_orphans(world.name, grace_s=1.0)
    assert row.name == "deaf"
    assert 0.9 < time.monotonic() - began < LIMIT_S / 2
    assert not Path(f"/proc/{row.pid}").exists() or "Z" in Path(f"/proc/{row.pid}/stat").read_text()
    command("clean")


def test_an_orphans_death_is_seen_and_told(world, launched):
    kill(launched())
    status = {row["name"]: row for row in answer("status")["components"]}
    kill(status["twice"]["pid"])
    status = answer("status", code=1)
    [row] = [row for row in status["components"] if row["name"] == "twice"]
    assert (row["state"], row["pid"], row["reason"]) == ("failed", None, "died while no parent lived")


def test_what_a_crash_of_everything_left_is_read_and_cleaned(world, launched):
    parent = launched()
    pids = [row["pid"] for row in answer("status")["components"]]
    for pid in (parent, *pids):
        kill(pid)
    assert answer("status", code=3)["supervised"] is False
    assert answer("read", "tick.out")["version"] >= 1
    assert len(answer("clean")["removed"][0]["segments"]) == 3
    assert world.segments() == []
    command("status", code=3)


def test_what_init_writes_launches_and_passes_unedited(world):
    assert command("init", "trial").stdout.splitlines() == [
        "trial/dolphin.toml",
        "trial/market.py",
        "trial/test_market.py",
    ]
    folder = world.folder / "trial"
    for runner in (["unittest"], ["pytest", "-q", "-p", "no:cacheprovider"]):
        done = subprocess.run(
            [sys.executable, "-m", *runner],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    command("check", cwd=folder)
    command("launch", "--for", "500ms", cwd=folder)


def test_a_reader_that_leaves_early_is_no_error(world, launched):
    launched()
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, "status"], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=LIMIT_S, check=False
    )
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr.startswith(f"{world.name}: up ")
    assert done.stderr.count("\n") == 1


def on_terminal(columns, **environment):
    """Give what `status` writes on a terminal of that width."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    settings = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "COLUMNS", "TERM"}}
    subprocess.run(
        [*COMMAND, "status"],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**settings, "TERM": "xterm", **environment},
        timeout=LIMIT_S,
        check=True,
    )
    os.close(theirs)
    found = b""
    with contextlib.suppress(OSError):  # EIO: the other side is closed and all is read
        while part := os.read(ours, 1 << 16):
            found += part
    os.close(ours)
    return found.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colours_and_lines_that_fit(launched):
    launched()
    wide = on_terminal(100)
    assert "\x1b[32mready" in wide
    assert "MEMORY" in wide
    assert "\x1b" not in on_terminal(100, NO_COLOR="1")
    narrow = on_terminal(40, NO_COLOR="1").splitlines()
    assert all(len(line) <= 40 for line in narrow)
    assert narrow[0].split()[:2] == ["NAME", "STATE"]
    assert "BEATS" not in narrow[0]


def test_status_imports_nothing_that_it_has_no_use_for(launched):
    launched()
    code = (
        "import sys; from dolphin_mp.cli import main; main(['status', '--json']); "
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    heavy = {"numpy", "zmq", "pydantic", "rich", "asyncio", "dataclasses", "inspect", "pathlib", "shutil"}
    assert loaded.isdisjoint(
        heavy | {"multiprocessing", "subprocess", "socket", "logging", "tomllib", "secrets"}
    )


@pytest.mark.xdist_group("cores")
def test_status_takes_at_most_five_times_as_long_as_python_alone(world, launched):
    launched()
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(world.folder / "cache")}
    environment.pop("PYTHONDONTWRITEBYTECODE")

    def seconds(*arguments):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            check=True,
        )
        return time.perf_counter() - began

    seconds("-m", "dolphin_mp.cli", "status")  # it compiles the modules
    times = [(seconds("-c", "0"), seconds("-m", "dolphin_mp.cli", "status")) for _ in range(10)]
    bare, whole = (min(column) for column in zip(*times, strict=True))
    assert whole <= 5 * bare, f"{whole * 1e3:.1f} ms against {bare * 1e3:.1f} ms"
