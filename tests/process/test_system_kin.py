"""What a component begets ends with it, wherever it went: other groups, other sessions, other parents."""

import os
import signal

import pytest

from dolphin_mp import Client, Component, Output, System
from dolphin_mp.process.kin import kin_of, mark_of

PIDS = 8


class Begetter(Component):
    """Begets in every way there is and publishes the pids; dies as its option says at the end of a step."""

    every = "1h"
    pids = Output("i8", shape=PIDS)

    def setup(self):
        import os
        import subprocess
        import sys

        import numpy as np

        pids = []

        def sleep(**how):
            process = subprocess.Popen(["sleep", "600"], **how)
            process.returncode = 0  # or its warning is an error
            pids.append(process.pid)

        def report(act):
            """Fork a process that acts; it tells the pid that matters."""
            reading, writing = os.pipe()
            if os.fork() == 0:
                try:
                    pid = act() or os.getpid()
                    os.write(writing, str(pid).encode())
                    os.close(writing)
                    if pid == os.getpid():
                        import time

                        time.sleep(600)
                finally:
                    os._exit(0)
            os.close(writing)
            pids.append(int(os.read(reading, 32)))
            os.close(reading)

        def daemon():
            os.setsid()
            pid = os.fork()
            if pid == 0:
                os.execve("/bin/sleep", ["kworker/0:1", "600"], {})
            return pid

        sleep()
        sleep(start_new_session=True)
        sleep(start_new_session=True, env={})
        report(os.setsid)  # no exec: its memory is a copy
        report(daemon)  # its parent is dead, its environment and title are not the component's
        stubborn = (
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", stubborn + "time.sleep(600)"],
            start_new_session=True,
            stdout=subprocess.PIPE,
        )
        process.stdout.read(1)
        process.returncode = 0
        pids.append(process.pid)
        tree = subprocess.Popen(  # a tree: its root dies first, its leaf is found then
            ["setsid", "sh", "-c", "setsid sleep 600 & echo $!; wait"], stdout=subprocess.PIPE
        )
        tree.returncode = 0
        pids.append(int(tree.stdout.readline()))
        pids.append(tree.pid)
        self.pids.publish(np.array(pids))

    def step(self):
        pass


def begotten(world, client, more_than=0):
    pids = world.record(client, "begetter.pids", more_than).value.tolist()
    assert len(set(pids)) == PIDS
    for pid in pids:
        os.kill(pid, 0)
    return pids


def alive(pids):
    found = []
    for pid in pids:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        found.append(pid)
    return found


def test_stopped_means_that_nothing_of_it_lives(up, world):
    client, _ = up({"begetter": Begetter})
    pids = begotten(world, client)
    assert client.stop("begetter")["state"] == "stopped"
    assert alive(pids) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_successor_starts_when_nothing_of_the_dead_lives(up, world, number):
    client, watcher = up({"begetter": Begetter, "other": Begetter})
    pids = begotten(world, client)
    others = world.record(client, "other.pids").value.tolist()
    os.kill(world.rows(client)["begetter"]["pid"], number)
    watcher.until_event(component="begetter", state="starting", incarnation=2)
    assert alive(pids) == []
    assert alive(others) == others
    row = watcher.until_state("begetter", "ready")
    assert (row["incarnation"], row["restarts"]) == (2, 1)
    again = begotten(world, client, 1)
    assert alive(again) == again


def test_it_is_so_without_a_parent_too(world):
    """Those tied to their parent end theirs by themselves; the others' are ended by `shutdown`."""
    for orphan in ("stop", "run"):
        System(world.name, {"begetter": Begetter}, orphan=orphan).launch(detach=True).close()
        with Client(world.name) as client:
            pids = begotten(world, client)
            parent = client.status()["pid"]
            own = client.status()["components"][0]["pid"]
            os.kill(parent, signal.SIGKILL)
            world.wait_gone(parent)
            if orphan == "run":
                os.kill(own, signal.SIGKILL)  # nobody is there to see it
                world.wait_gone(own)
                assert alive(pids)
                world.cli("shutdown", "--system", world.name)
            for pid in pids:
                world.wait_gone(pid)
        if orphan == "stop":
            world.wait_gone(own)
            world.cli("shutdown", "--system", world.name)


@pytest.mark.parametrize("how", ["launch", "clean"])
def test_what_a_system_that_was_killed_whole_has_begotten_ends_with_the_next(world, how):
    System(world.name, {"begetter": Begetter, "tick": Begetter}, orphan="run").launch(detach=True).close()
    with Client(world.name) as client:
        pids = begotten(world, client)
        parent = client.status()["pid"]
        everyone = [row["pid"] for row in client.status()["components"]]
        os.kill(parent, signal.SIGKILL)
        world.wait_gone(parent)
        for pid in everyone:
            os.kill(pid, signal.SIGKILL)
            world.wait_gone(pid)
    assert alive(pids) == pids
    if how == "clean":
        world.cli("clean")
    else:
        System(world.name, {"begetter": Begetter}).launch().close()
    for pid in pids:
        world.wait_gone(pid)


def test_an_adopted_one_takes_its_own_along_too(world):
    System(world.name, {"begetter": Begetter}, orphan="run").launch(detach=True).close()
    with Client(world.name) as client:
        pids = begotten(world, client)
        parent, own = client.status()["pid"], client.status()["components"][0]["pid"]
        os.kill(parent, signal.SIGKILL)
        world.wait_gone(parent)
    with System(world.name, {"begetter": Begetter}, orphan="run").launch() as again:
        assert world.rows(again)["begetter"]["pid"] == own
        assert alive(pids) == pids
        again.stop("begetter")
        for pid in pids:
            world.wait_gone(pid)


def test_what_a_module_begets_at_its_import_ends_with_the_inspection(world):
    world.write(
        "parts.py",
        """
        import os, subprocess
        from dolphin_mp import Component
        subprocess.Popen(["sleep", "600"], start_new_session=True, env={}).returncode = 0
        class A(Component):
            every = "1h"
            def step(self): ...
        """,
    )
    world.toml('[components.a]\nrun = "parts:A"\n[components.b]\nrun = "parts:Nowhere"')
    assert world.finish(world.run_system()) != 0
    assert world.strangers() == []


def test_a_system_that_a_component_launches_is_nobodys_kin(up, world):
    """It has a session of its own and outlives the component, with all that belongs to it."""
    inner = f"{world.name}i"

    class Launcher(Component):
        every = "1h"
        out = Output("i8")

        def setup(self):
            class Inner(Component):
                every = "10ms"

                def step(self):
                    pass

            with System(inner, {"inner": Inner}, orphan="run").launch(detach=True) as client:
                self.out.publish(client.status()["pid"])

        def step(self):
            pass

    client, watcher = up({"launcher": (Launcher, {"restart": "never"})})
    parent = int(world.record(client, "launcher.out").value)
    own = world.rows(client)["launcher"]["pid"]
    mark = mark_of(own)
    assert mark
    assert kin_of({mark}) == [own]
    os.kill(own, signal.SIGKILL)
    watcher.until_state("launcher", "failed")
    with Client(inner) as launched:
        assert launched.status()["pid"] == parent
        launched.restart("inner")  # its zygote lives, too
        launched.shutdown()
    world.wait_gone(parent)


def test_a_begetter_that_forks_faster_than_it_is_killed(up, world):
    """Each of its descendants, in a session of its own, begets another and dies."""

    class Hydra(Component):
        every = "1h"

        def setup(self):
            import subprocess

            code = "import os\nwhile True:\n    if os.fork(): os._exit(0)\n    os.setsid()\n"
            import sys

            process = subprocess.Popen([sys.executable, "-I", "-S", "-c", code], start_new_session=True)
            process.wait()

        def step(self):
            pass

    client, _ = up({"hydra": Hydra})
    mark = mark_of(world.rows(client)["hydra"]["pid"])
    assert mark
    client.stop("hydra")
    assert kin_of({mark}) == []
