"""What a process takes on, seen from inside it and from outside."""

import contextlib
import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from dolphin_mp import Component, Output
from dolphin_mp.ipc.folder import FOLDER

FACTS = np.dtype(
    [("nice", "i8"), ("cpus", "i8"), ("files", "i8"), ("data", "i8"), ("cwd", "S200"), ("level", "S20")]
)


class Facts(Component):
    every = "1h"
    facts = Output(FACTS)

    def step(self):
        self.facts.publish(
            nice=os.getpriority(os.PRIO_PROCESS, 0),
            cpus=sum(1 << cpu for cpu in os.sched_getaffinity(0)),
            files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            data=resource.getrlimit(resource.RLIMIT_DATA)[0],
            cwd=bytes(Path.cwd()),
            level=os.environ.get("THEIR_LEVEL", "").encode(),
        )


class Ticker(Component):
    every = "20ms"
    out = Output("i8")

    def step(self):
        self.out.publish(self.out.version + 1)


def test_each_process_has_its_own_and_its_neighbours_the_launchers(up, world, monkeypatch):
    monkeypatch.setenv("THEIR_LEVEL", "0")
    (world.folder / "data").mkdir()
    cpu = max(os.sched_getaffinity(0))
    table = {
        "nice": 7,
        "cpus": [cpu],
        "open_files": 333,
        "memory_max": "512MiB",
        "cwd": "data",
        "env": {"THEIR_LEVEL": "2"},
    }
    client, _ = up({"a": (Facts, table), "b": Facts})
    mine = world.record(client, "a.facts").value
    assert (mine["nice"], mine["cpus"], mine["files"]) == (7, 1 << cpu, 333)
    pid = world.rows(client)["a"]["pid"]
    for thread in map(int, os.listdir(f"/proc/{pid}/task")):  # noqa: PTH208
        assert os.getpriority(os.PRIO_PROCESS, thread) == 7
        assert os.sched_getaffinity(thread) == {cpu}
    autogroup = Path(f"/proc/{pid}/autogroup")
    assert not autogroup.exists() or autogroup.read_text().endswith("nice 7\n")
    assert 768 << 20 < mine["data"] < 2 << 30
    assert mine["cwd"].item().decode() == str(world.folder / "data")
    assert mine["level"].item() == b"2"
    other = world.record(client, "b.facts").value
    assert other["nice"] == os.getpriority(os.PRIO_PROCESS, 0)
    assert other["cpus"] == sum(1 << cpu for cpu in os.sched_getaffinity(0))
    assert other["files"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert other["data"] == resource.getrlimit(resource.RLIMIT_DATA)[0]
    assert other["cwd"].item().decode() == str(world.folder)
    assert other["level"].item() == b"0"


def test_a_module_sees_the_environment_and_the_folder_when_it_is_imported(world, watch):
    world.write(
        "their.py",
        """
        import os
        from dolphin_mp import Component, Done, Output
        SEEN = f"{os.environ['THEIR_KEY']} {os.path.basename(os.getcwd())}"
        class Seen(Component):
            every = "1h"
            out = Output("S40")
            def step(self):
                self.out.publish(SEEN.encode())
        """,
    )
    (world.folder / "data").mkdir()
    world.write("s.env", "THEIR_KEY=k\n")
    world.toml('[components.s]\nrun = "their:Seen"\nenv_file = "s.env"\ncwd = "data"')
    process = world.run_system()
    with world.await_launch() as client:
        assert world.record(client, "s.out").value.item() == b"k data"
        client.shutdown()
    assert world.finish(process) == 0


def test_a_component_over_its_memory_is_killed_told_and_restarted_alone(up, world):
    class Hoard(Component):
        every = "100ms"
        out = Output("i8")

        def setup(self):
            self.kept = []
            self.grows = self.out.version == 0

        def step(self):
            if self.grows and len(self.kept) < 24:  # 96 MiB: over the limit, within the kernel's room
                self.kept.append(np.ones(4 << 17))
            self.out.publish(self.out.version + 1)

    _, watcher = up({"h": (Hoard, {"memory_max": "96MiB"}), "t": Ticker})
    neighbour = watcher.until_state("t", "ready")["pid"]
    assert "of 96 MiB" in watcher.until_told("h", "SIGKILL: over memory_max: ")
    rows = watcher.until(lambda rows: rows["h"]["state"] == "ready" and rows["h"]["restarts"] == 1)
    assert rows["t"]["pid"] == neighbour
    assert rows["t"]["restarts"] == 0


def test_a_burst_between_two_looks_is_refused_by_the_kernel(up, world):
    class Burst(Component):
        every = "20ms"

        def step(self):
            if Path("go").exists():
                Path("go").unlink()
                np.ones(1 << 28)  # 2 GiB at once

    _, watcher = up({"b": (Burst, {"memory_max": "128MiB"}), "t": Ticker})
    neighbour = watcher.until_state("t", "ready")["pid"]
    (world.folder / "go").touch()
    watcher.until_told("b", "MemoryError")
    rows = watcher.until(lambda rows: rows["b"]["state"] == "ready" and rows["b"]["restarts"] == 1)
    assert rows["t"]["pid"] == neighbour


def test_channels_do_not_count(up, world):
    class Large(Component):
        every = "20ms"
        out = Output("f8", shape=(8 << 20,), keep=2)  # 64 MiB a record

        def step(self):
            with self.out.writing() as array:
                array[:] = 1.0

    client, watcher = up({"l": (Large, {"memory_max": "64MiB"})})
    world.version(client, "l.out", 20)
    row = watcher.until(lambda rows: rows["l"]["rss_bytes"] is not None)["l"]
    assert row["restarts"] == 0
    assert row["rss_bytes"] < 64 << 20


@pytest.mark.parametrize("way", ["gone", "faulty"])
def test_an_env_file_is_read_anew_at_each_start_and_its_loss_is_told(up, world, way):
    path = world.write("s.env", "THEIR_LEVEL=1\n")
    client, watcher = up({"a": (Facts, {"env_file": str(path), "backoff": {"first": "1h"}})})
    assert world.record(client, "a.facts").value["level"].item() == b"1"
    path.write_text("THEIR_LEVEL=2\n")
    client.restart("a")
    assert world.record(client, "a.facts", 1).value["level"].item() == b"2"
    path.unlink() if way == "gone" else path.write_text("THEIR_LEVEL=hunter2 hunter3\n")
    ask_restart(client, "a")
    row = watcher.until(lambda rows: rows["a"]["state"] == "backoff")["a"]
    assert "env_file: " in row["reason"]
    assert "hunter" not in row["reason"]


def ask_restart(client, component):
    """Restart what may not come up, which the client then says."""
    with contextlib.suppress(Exception):
        client.restart(component)


def test_secrets_show_nowhere(world, watch):
    secret, literal = "hunter2hunter2", "swordfish-swordfish"
    world.write(
        "their.py",
        """
        import os
        from dolphin_mp import Component, Output
        class Keeper(Component):
            every = "20ms"
            out = Output("i8")
            def step(self):
                assert os.environ["THEIR_KEY"] and os.environ["THEIR_OTHER"]
                if self.out.version == 3:
                    self.out.publish(4)
                    raise RuntimeError("as it happens")
                self.out.publish(self.out.version + 1)
        """,
    )
    world.write("s.env", f"THEIR_KEY={secret}\n")
    world.toml(
        f'[components.k]\nrun = "their:Keeper"\nenv_file = "s.env"\nenv = {{ THEIR_OTHER = "{literal}" }}'
    )
    process = world.run_system()
    with world.await_launch() as client:
        watcher = watch(client)
        watcher.until(lambda rows: rows["k"]["restarts"] >= 1 and rows["k"]["state"] == "ready")
        world.version(client, "k.out", 8)
        shown = seen_of(world)
        shown += [world.cli("status", "--json"), world.cli("status"), world.cli("check", "--json")]
        shown += [str(watcher.events), str(client.status())]
        client.shutdown()
    assert world.finish(process) == 0
    shown += [process.out.read_text(), process.err.read_text()]
    state = world.folder.parent / "state"
    shown += [path.read_text(errors="replace") for path in state.rglob("*") if path.is_file()]
    for text in shown:
        assert secret not in text
        assert literal not in text


def test_secrets_of_a_system_from_python_show_nowhere(up, world):
    literal = "swordfish-swordfish"
    client, watcher = up({"a": (Facts, {"env": {"THEIR_LEVEL": "2", "THEIR_KEY": literal}})})
    assert world.record(client, "a.facts").value["level"].item() == b"2"
    os.kill(world.rows(client)["a"]["pid"], signal.SIGKILL)
    watcher.until_event(event="crash")
    state = world.folder.parent / "state"
    shown = [path.read_text(errors="replace") for path in state.rglob("*") if path.is_file()]
    assert any('"THEIR_KEY": "[redacted]"' in text for text in shown)
    shown += [*seen_of(world), str(watcher.events), str(client.status())]
    assert not [text for text in shown if literal in text]


def seen_of(world):
    """Give what others can see of the system's processes, and what lies in its folder and segments."""
    found = [world.title(pid) for pid in world.strangers()]
    found += [environ_of(pid) for pid in world.strangers()]
    paths = [*world.runtime.rglob("*"), *(Path(FOLDER, name) for name in world.segments())]
    return found + [path.read_text(errors="replace") for path in paths if path.is_file()]


def environ_of(pid):
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return ""


def test_a_component_alone_takes_on_the_same(world):
    world.write(
        "their.py",
        """
        import os, resource
        from dolphin_mp import Component, Done
        class Alone(Component):
            every = "1h"
            def step(self):
                key, nice = os.environ["THEIR_KEY"], os.getpriority(os.PRIO_PROCESS, 0)
                print(key, os.path.basename(os.getcwd()), nice)
                raise Done
        """,
    )
    (world.folder / "data").mkdir()
    world.write("s.env", "THEIR_KEY=k\n")
    world.toml('[components.s]\nrun = "their:Alone"\nenv_file = "s.env"\ncwd = "data"\nnice = 9')
    process = world.run_alone("s")
    assert world.finish(process) == 0
    assert process.out.read_text() == "k data 9\n"
