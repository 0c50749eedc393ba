"""What a component's process is: its name, parent, session, descriptors, signals, limits."""

import contextlib
import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from dolphin_mp import Component, Output, System

FACTS = np.dtype(
    [
        ("pid", "i8"),
        ("ppid", "i8"),
        ("sid", "i8"),
        ("random", "f8"),
        ("umask", "i8"),
        ("files", "i8"),
        ("text", "S400"),
        ("cwd", "S300"),
    ]
)


def teller():
    class Teller(Component):
        every = "1h"
        facts = Output(FACTS)

        def setup(self):
            import os
            import resource
            from pathlib import Path

            import numpy as np

            umask = os.umask(0)
            os.umask(umask)
            self.facts.publish(
                pid=os.getpid(),
                ppid=os.getppid(),
                sid=os.getsid(0),
                random=np.random.random(),
                umask=umask,
                files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
                text=os.environ.get("TELL", ""),
                cwd=str(Path.cwd()),
            )

        def step(self):
            pass

    return Teller


@pytest.fixture
def limited():
    """Lower the soft limit of descriptors for the test."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    yield 512
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_it_has_the_launchers_surroundings(limited, up, world, monkeypatch):
    monkeypatch.setenv("TELL", "told")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    monkeypatch.chdir("/tmp")
    client, _ = up({"teller": teller()})
    facts = world.record(client, "teller.facts").value
    umask = os.umask(0)
    os.umask(umask)
    assert facts["text"].item() == b"told"
    assert facts["cwd"].item() == b"/tmp"
    assert int(facts["files"]) == limited
    assert int(facts["umask"]) == umask


def test_each_is_a_child_of_the_parent_and_leads_a_session(up, world):
    client, _ = up({"a": teller(), "b": teller()})
    parent = client.status()["pid"]
    for name in "ab":
        facts = world.record(client, f"{name}.facts").value
        assert facts["ppid"] == parent
        assert facts["sid"] == facts["pid"] == world.rows(client)[name]["pid"]


def test_no_two_draw_the_same_random_numbers(up, world):
    client, _ = up({"a": teller(), "b": teller()})
    drawn = {float(world.record(client, f"{name}.facts").value["random"]) for name in "ab"}
    client.restart("a")
    drawn.add(float(client.latest("a.facts").value["random"]))
    assert len(drawn) == 3


def test_titles_begin_with_what_tells_them_apart(up, world):
    client, _ = up({"teller": teller()})
    parent, child = client.status()["pid"], world.rows(client)["teller"]["pid"]
    assert world.title(parent) == f"dolphin-mp [{world.name}]"
    assert world.title(child) == f"teller [dolphin-mp {world.name}]"
    assert Path(f"/proc/{child}/comm").read_text().startswith("teller [")
    titles = {world.title(pid) for pid in world.strangers()}
    assert f"zygote [dolphin-mp {world.name}]" in titles


def descriptors(pid):
    links = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        links[int(entry.name)] = str(entry.readlink())
    return links


def test_it_holds_no_stray_descriptors(world):
    """The launcher has a pipe, a file and a socket open; nothing of that arrives."""
    world.write(
        "parts.py",
        """
        from dolphin_mp import Component, Input, Output
        class Source(Component):
            every = "10ms"
            out = Output("f8")
            def step(self):
                self.out.publish(1.0)
        class Sink(Source):
            inn = Input("source.out")
        """,
    )
    world.toml('[components.source]\nrun = "parts:Source"\n[components.sink]\nrun = "parts:Sink"')
    code = """
        import os, socket
        from dolphin_mp.parent.launch import run_system
        os.set_inheritable(os.open("/dev/zero", os.O_RDONLY), True)
        ends = os.pipe()
        os.set_inheritable(ends[1], True)
        end = socket.socketpair()[0]
        end.set_inheritable(True)
        run_system("dolphin.toml")
    """
    process = world.python(code)
    with world.await_launch() as client:
        world.version(client, "sink.out", 3)
        client.restart("source")
        for name in ("source", "sink"):
            links = descriptors(world.rows(client)[name]["pid"])
            own = [link for fd, link in links.items() if fd > 2]
            own = [link for link in own if own.count(link) < 2 or not link.startswith("pipe:")]  # both ends
            runtime = [str(world.runtime / name) for name in ("notify", "logs/", "crash/")]
            allowed = ("/dev/shm/dolphin-mp-", "/proc/", "anon_inode:[", *runtime)
            assert all(link.startswith(allowed) for link in own), links
            assert len(own) < 20, links
        client.shutdown()
    assert world.finish(process) == 0


def test_signals_are_as_in_a_fresh_process(up, world):
    client, _ = up({"teller": teller()})
    pid = world.rows(client)["teller"]["pid"]
    status = dict(
        line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    blocked, ignored, caught = (int(status[key], 16) for key in ("SigBlk", "SigIgn", "SigCgt"))

    def is_in(number, mask):
        return bool(mask >> (number - 1) & 1)

    assert blocked == 0
    assert is_in(signal.SIGTERM, caught)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        assert is_in(number, ignored)
    for number in (signal.SIGCHLD, signal.SIGUSR1, signal.SIGALRM, signal.SIGQUIT, signal.SIGSEGV):
        assert not is_in(number, ignored)


class TestZygote:
    def zygotes(self, world):
        return [pid for pid in world.strangers() if world.title(pid).startswith("zygote [")]

    def zygote(self, world):
        return self.zygotes(world)[0]

    def test_its_death_harms_nobody_and_another_comes(self, up, world):
        client, watcher = up({"a": teller(), "b": teller()})
        rows = world.rows(client)
        first = self.zygote(world)
        os.kill(first, signal.SIGKILL)
        watcher.until_event(event="zygote", pid=0)
        assert world.rows(client)["a"]["pid"] == rows["a"]["pid"]
        assert client.restart("a")["state"] == "ready"
        assert watcher.until_event(event="zygote")["pid"] == self.zygote(world) != first
        os.kill(world.rows(client)["b"]["pid"], signal.SIGKILL)
        watcher.until(lambda rows: rows["b"]["restarts"] == 1 and rows["b"]["state"] == "ready")

    def test_its_death_at_the_very_moment_it_is_needed(self, up, world):
        client, watcher = up({"a": teller()})
        for _ in range(3):
            before = world.rows(client)["a"]
            for pid in [*self.zygotes(world), before["pid"]]:
                with contextlib.suppress(ProcessLookupError):  # it was a spare's passing parent
                    os.kill(pid, signal.SIGKILL)
            watcher.until(
                lambda rows, before=before: (
                    rows["a"]["restarts"] > before["restarts"] and rows["a"]["state"] == "ready"
                )
            )
        assert client.restart("a")["state"] == "ready"

    def test_a_frozen_one_holds_up_starts_but_not_the_parent(self, up, world):
        client, watcher = up({"a": (teller(), {"ready_within": "10s"}), "b": teller()})
        zygote = self.zygote(world)
        os.kill(zygote, signal.SIGSTOP)
        try:
            os.kill(world.rows(client)["a"]["pid"], signal.SIGKILL)
            watcher.until_state("a", "starting")
            assert client.request("ping", 5.0)["system"] == world.name
            assert client.stop("b")["state"] == "stopped"
        finally:
            os.kill(zygote, signal.SIGCONT)
        watcher.until_state("a", "ready")

    def test_one_that_stands_still_for_long_is_replaced(self, up, world):
        client, watcher = up({"a": teller()})
        zygote = self.zygote(world)
        os.kill(zygote, signal.SIGSTOP)
        os.kill(world.rows(client)["a"]["pid"], signal.SIGKILL)  # a spare takes its place and is missed
        watcher.until_event(event="zygote")
        world.wait_gone(zygote)
        assert client.restart("a")["state"] == "ready"

    def test_a_frozen_one_does_not_hold_up_the_end(self, world):
        with System(world.name, {"a": teller()}).launch():
            os.kill(self.zygote(world), signal.SIGSTOP)


def wake_ups(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("voluntary_ctxt_switches:\t")[1].split()[0])


def test_an_idle_parent_does_not_wake(up, world):
    class Busy(Component):
        every = "5ms"
        out = Output("i8")

        def step(self):
            self.out.publish(self.out.version)

    client, _ = up({"busy": Busy, "idle": teller()})
    parent = client.status()["pid"]
    found = []
    while 0 not in found and len(found) < 4:  # at first it parks spares, and answers
        before = wake_ups(parent)
        world.version(client, "busy.out", client.channel("busy.out").version + 150)
        found.append(wake_ups(parent) - before)
    assert 0 in found, found


@pytest.mark.slow
def test_two_hundred_components(world):
    class Small(Component):
        every = "1h"
        out = Output("i8")

        def setup(self):
            self.out.publish(1)

        def step(self):
            pass

    with System(world.name, {f"c{number}": Small for number in range(200)}).launch() as client:
        rows = world.rows(client)
        assert len({row["pid"] for row in rows.values()}) == 200
        assert {row["state"] for row in rows.values()} == {"ready"}
        assert client.status()["uptime_s"] < 30
