"""Real systems in a world of their own: private folders, and nothing of them left behind."""

import contextlib
import ctypes
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import zmq

import dolphin_mp
from dolphin_mp import Client
from dolphin_mp.ipc.folder import FOLDER
from dolphin_mp.paths import runtime_folder, segment_prefix

HOME = Path(dolphin_mp.__file__).parents[1]
LIMIT_S = 20.0
GONE_WITHIN_S = 5.0
PR_SET_CHILD_SUBREAPER = 36
IN_CREATE, IN_MOVED_TO = 0x100, 0x80


class World:
    """A system's surroundings during one test.

    Attributes: folder (for configurations and modules; the current one), name (of the test's system).
    """

    def __init__(self, folder, name):
        self.before = descendants(os.getpid())
        self.folder = folder
        self.name = name
        self.started = []

    @property
    def runtime(self):
        return Path(runtime_folder(self.name))

    def write(self, name, text):
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return path

    def toml(self, text, name="dolphin.toml"):
        """Write a configuration of this test's system."""
        return self.write(name, f'[system]\nname = "{self.name}"\n' + textwrap.dedent(text))

    def python(self, code, *args, **settings):
        """Start a script in a process of its own; its output goes to files in the folder."""
        path = self.write(f"script{len(self.started)}.py", code)
        return self.start([sys.executable, str(path), *args], **settings)

    def run_system(self, config="dolphin.toml", **settings):
        """Start a foreground launch; the process is the system's parent."""
        code = f"""
            import sys
            from dolphin_mp.parent.launch import run_system
            sys.exit(run_system({str(config)!r}, **{settings!r}))
        """
        return self.python(code)

    def run_alone(self, component, config="dolphin.toml"):
        """Start one component alone."""
        code = f"""
            import sys
            from pathlib import Path
            from dolphin_mp.parent.alone import run_alone
            sys.exit(run_alone({component!r}, Path({str(config)!r})))
        """
        return self.python(code)

    def cli(self, *args):
        """Run a command to its end; gives its output."""
        process = self.start([sys.executable, "-m", "dolphin_mp.cli", *args])
        assert finish(process) == 0, process.err.read_text()
        return process.out.read_text()

    def start(self, command, **settings):
        number = len(self.started)
        with (
            (self.folder / f"out{number}").open("wb") as out,
            (self.folder / f"err{number}").open("wb") as err,
        ):
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                **{"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err, **settings},
            )
        process.out, process.err = self.folder / f"out{number}", self.folder / f"err{number}"
        self.started.append(process)
        return process

    def await_launch(self, limit_s=20.0):
        """Give a client of the test's system, once its parent answers."""
        wait_for_path(self.runtime / "events", limit_s)
        return Client(self.name)

    @staticmethod
    def wait_for_path(path, limit_s=20.0):
        wait_for_path(Path(path), limit_s)

    def segments(self):
        prefix = segment_prefix(self.name)
        return sorted(entry.name for entry in os.scandir(FOLDER) if entry.name.startswith(prefix))

    @staticmethod
    def finish(process, limit_s=20.0):
        """Give the exit code of a started process, which ends in time."""
        return finish(process, limit_s)

    @staticmethod
    def wait_gone(pid, limit_s=20.0):
        """Wait until a process is dead."""
        wait_gone(pid, limit_s)

    def strangers(self):
        """Give the pids of all processes begotten in this test that live."""
        return [pid for pid in sorted(descendants(os.getpid()) - self.before) if lives(pid)]

    @staticmethod
    def title(pid):
        return title(pid)

    @staticmethod
    def stat(pid):
        """Give (state, ppid, session) of a process."""
        return stat(pid)

    @staticmethod
    def rows(client):
        """Give the components' status by name."""
        return rows_of(client)

    @staticmethod
    def version(client, name, more_than=0, limit_s=20.0):
        """Wait for a record newer than a version, past deaths and new claims; gives the newest version."""
        return wait_version(client.channel(name), more_than, limit_s)

    @staticmethod
    def wait_version(channel, more_than=0, limit_s=20.0):
        return wait_version(channel, more_than, limit_s)

    @staticmethod
    def record(client, name, more_than=0, limit_s=20.0):
        """Give the newest record of a channel once it is newer than a version."""
        wait_version(client.channel(name), more_than, limit_s)
        return client.latest(name)


def finish(process, limit_s=LIMIT_S):
    """Give the exit code of a started process, which ends in time."""
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it still runs: {process.err.read_text()[-2000:]}") from None


def wait_gone(pid, limit_s=LIMIT_S):
    """Wait until a process is dead."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert is_readable(pidfd, limit_s), f"{pid} lives on: {title(pid)}"
    finally:
        os.close(pidfd)


def is_readable(fd, limit_s):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(limit_s * 1000))


def wait_for_path(path, limit_s=LIMIT_S):
    """Wait until a file is there; its folder may have to come first."""
    if not path.parent.exists():
        wait_for_path(path.parent, limit_s)
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_CLOEXEC)
    try:
        assert libc.inotify_add_watch(watch, os.fsencode(path.parent), IN_CREATE | IN_MOVED_TO) >= 0
        while not path.exists():
            assert is_readable(watch, limit_s), f"{path} does not appear"
            os.read(watch, 1 << 16)
    finally:
        os.close(watch)


def title(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def stat(pid):
    """Give (state, ppid, session) of a process."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return words[0], int(words[1]), int(words[3])


def lives(pid):
    """Tell whether a process is more than a zombie."""
    try:
        return stat(pid)[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it was there a moment ago
        return False


def descendants(root):
    """Give the pids of all that a process has begotten."""
    parents = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = stat(entry.name)[1]
    found, todo = set(), [root]
    while todo:
        parent = todo.pop()
        children = {pid for pid, ppid in parents.items() if ppid == parent} - found
        found |= children
        todo.extend(children)
    return found


class Watcher:
    """A system seen through its events: waits for facts, without looking twice for nothing."""

    def __init__(self, client):
        self.client = client
        self.events = []
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._socket.connect(f"ipc://{runtime_folder(client.system)}/events")
        self.next(LIMIT_S)  # mostly the hello; whatever comes, from here on nothing is missed

    def next(self, limit_s):
        assert self._socket.poll(max(0, limit_s) * 1000), f"no further event; status: {self.client.status()}"
        event = json.loads(self._socket.recv_multipart()[-1])
        self.events.append(event)
        return event

    def until(self, is_so, limit_s=LIMIT_S):
        """Wait until `is_so` holds for the components' rows by name; looked at after each event."""
        limit = time.monotonic() + limit_s
        while True:
            rows = rows_of(self.client)
            told = all(row["reason"] != "died a moment ago" for row in rows.values())
            if told and is_so(rows):
                return rows
            self.next(limit - time.monotonic())

    def until_state(self, component, state, limit_s=LIMIT_S):
        return self.until(lambda rows: rows[component]["state"] == state, limit_s)[component]

    def until_event(self, limit_s=LIMIT_S, **facts):
        """Wait for an event with these facts, from now on."""
        limit = time.monotonic() + limit_s
        while True:
            event = self.next(limit - time.monotonic())
            if all(event.get(key) == value for key, value in facts.items()):
                return event

    def until_told(self, component, text, limit_s=LIMIT_S):
        """Wait for a component's event, past ones too, whose reason holds the text; gives the reason."""
        limit = time.monotonic() + limit_s
        looked = 0
        while True:
            for event in self.events[looked:]:
                if event.get("component") == component and text in event.get("reason", ""):
                    return event["reason"]
            looked = len(self.events)
            self.next(limit - time.monotonic())

    def close(self):
        self._context.destroy(linger=0)


def rows_of(client):
    return {row["name"]: row for row in client.status()["components"]}


def wait_version(channel, more_than, limit_s=LIMIT_S):
    """Wait for a record newer than that, past deaths and new claims; gives the version."""
    limit = time.monotonic() + limit_s
    while (version := channel.wait(more_than, max(0.0, limit - time.monotonic()))) <= more_than:
        assert time.monotonic() < limit, f"{channel.name} stays at {version}"
    return version


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Give a `World`; afterwards nothing of it may be left: no process, segment or socket."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    base = Path(f"/tmp/dm-{secrets.token_hex(4)}")
    base.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(HOME), os.environ.get("PYTHONPATH")))))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "")
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    world = World(folder, f"t{secrets.token_hex(3)}")
    yield world
    left = clean_up(world)
    shutil.rmtree(base, ignore_errors=True)
    assert not left, f"left behind: {left}"


def clean_up(world):
    """Give what is left after a while, and remove it."""
    left = []
    limit = time.monotonic() + GONE_WITHIN_S
    for pid in sorted(descendants(os.getpid()) - world.before):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            pidfd = os.pidfd_open(pid)
            if not is_readable(pidfd, max(0.0, limit - time.monotonic())):
                left.append(f"process {pid} ({title(pid)}, ppid {stat(pid)[1]})")
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
    for process in world.started:
        process.wait(LIMIT_S)
    reap(world.before)
    left += [f"segment {name}" for name in world.segments()]
    for name in world.segments():
        Path(FOLDER, name).unlink(missing_ok=True)
    left += (
        [f"file {path}" for path in world.runtime.parent.rglob("*")] if world.runtime.parent.exists() else []
    )
    return left


def reap(spared):
    for pid in descendants(os.getpid()) - spared:
        with contextlib.suppress(ChildProcessError, FileNotFoundError):
            if stat(pid)[0] == "Z":
                os.waitpid(pid, os.WNOHANG)


@pytest.fixture
def watch(world):
    """Give a function that gives a `Watcher` of a client's system, closed at the end."""
    watchers = []

    def watch(client):
        watchers.append(Watcher(client))
        return watchers[-1]

    yield watch
    for watcher in watchers:
        watcher.close()


@pytest.fixture
def up(world, watch):
    """Give a function that launches components as this test's system and gives (client, watcher)."""
    with contextlib.ExitStack() as stack:

        def up(components, **settings):
            system = dolphin_mp.System(world.name, components, **settings.pop("system", {}))
            client = stack.enter_context(system.launch(**settings))
            return client, watch(client)

        yield up
