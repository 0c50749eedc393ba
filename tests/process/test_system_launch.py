"""Systems from TOML: run in the foreground or detached, started with the data flow, stopped against it."""

import os
import signal
import time

import pytest

from dolphin_mp import Client
from dolphin_mp.faults import ConfigurationError
from dolphin_mp.parent.detached import start_detached
from dolphin_mp.parent.errors import LaunchError

CHAIN = """
    import os, time
    from dolphin_mp import Component, Input, Output

    def note(what):
        with open("notes", "a") as file:
            file.write(f"{what}\\n")

    class Source(Component):
        every = "10ms"
        out = Output("f8", keep=64)
        def setup(self):
            with open("gate") as gate:       # a FIFO: held until the test lets go
                gate.read()
            note("source set up")
        def step(self):
            self.out.publish(1.0)
        def close(self):
            note("source closed")

    class Middle(Component):
        inn = Input("source.out")
        out = Output("f8")
        def setup(self):
            note("middle set up")
        def step(self):
            self.out.publish(2.0)
        def close(self):
            assert self.inn.writer_alive
            note("middle closed")

    class Sink(Component):
        inn = Input("middle.out")
        out = Output("f8")
        def setup(self):
            note("sink set up")
        def step(self):
            self.out.publish(3.0)
        def close(self):
            assert self.inn.writer_alive
            note("sink closed")
"""
PART = """
    from dolphin_mp import Component, Output

    class Part(Component):
        every = "10ms"
        out = Output("f8")
        def step(self):
            self.out.publish(1.0)
"""
CONFIG = """
    [components.sink]
    run = "chain:Sink"
    [components.middle]
    run = "chain:Middle"
    [components.source]
    run = "chain:Source"
"""


@pytest.fixture
def chain(world):
    world.write("chain.py", CHAIN)
    world.toml(CONFIG)
    os.mkfifo(world.folder / "gate")
    return world


def open_gate(world):
    with (world.folder / "gate").open("w"):
        pass


def test_it_starts_with_the_data_flow_and_stops_against_it(chain, watch):
    parent = chain.run_system()
    client = chain.await_launch()
    watcher = watch(client)
    rows = watcher.until(lambda rows: rows["source"]["state"] == "starting")  # of its pid no event tells
    assert [rows[name]["state"] for name in ("source", "middle", "sink")] == [
        "starting",
        "waiting",
        "waiting",
    ]
    assert rows["middle"]["reason"] == "waits for source"
    open_gate(chain)
    chain.version(client, "sink.out", 3)
    client.shutdown()
    client.close()
    assert chain.finish(parent) == 0
    assert (chain.folder / "notes").read_text().splitlines() == [
        "source set up",
        "middle set up",
        "sink set up",
        "sink closed",
        "middle closed",
        "source closed",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_parent_stops_it_in_order(chain, number):
    parent = chain.run_system()
    open_gate(chain)
    client = chain.await_launch()
    chain.version(client, "sink.out", 3)
    parent.send_signal(number)
    assert chain.finish(parent) == 0
    client.close()
    notes = (chain.folder / "notes").read_text().splitlines()
    assert notes[-3:] == ["sink closed", "middle closed", "source closed"]


def test_a_second_signal_kills_at_once(world, watch):
    world.write(
        "parts.py",
        """
        import time
        from dolphin_mp import Component
        class Stubborn(Component):
            every = "1ms"
            def step(self):
                try:
                    time.sleep(600)
                except SystemExit:
                    time.sleep(600)
        """,
    )
    world.toml('[components.stubborn]\nrun = "parts:Stubborn"\nstop_within = "10m"')
    parent = world.run_system()
    with world.await_launch() as client:
        watcher = watch(client)
        watcher.until_state("stubborn", "ready")
        parent.send_signal(signal.SIGINT)
        watcher.until_state("stubborn", "stopping")
        parent.send_signal(signal.SIGINT)
        assert world.finish(parent) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_in_the_midst_of_the_launch_leaves_nothing(world, number):
    """All segments are there, and nobody looks at signals yet."""
    world.write("parts.py", PART)
    world.toml('[components.part]\nrun = "parts:Part"')
    code = f"""
        import os, signal, sys
        from dolphin_mp.parent import launch
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)  # a suite in the background is started with some ignored
        class Orchestrator(launch.Orchestrator):
            def __init__(self, *args, **settings):
                os.kill(os.getpid(), {int(number)})
                super().__init__(*args, **settings)
        launch.Orchestrator = Orchestrator
        sys.exit(launch.run_system("dolphin.toml"))
    """
    assert world.finish(world.python(code)) == 0
    assert (world.strangers(), world.segments()) == ([], [])


def test_a_detached_launch_comes_back_when_all_have_settled(chain):
    opener = os.fork()
    if opener == 0:
        open_gate(chain)
        os._exit(0)
    started = start_detached(str(chain.folder / "dolphin.toml"))
    os.waitpid(opener, 0)
    assert started["system"] == chain.name
    assert set(started["states"].values()) == {"ready"}
    with Client(chain.name) as client:
        assert client.status()["pid"] == started["pid"]
        chain.version(client, "sink.out")
        client.shutdown()
    chain.wait_gone(started["pid"])


def test_a_running_system_is_not_launched_again(chain):
    parent = chain.run_system()
    open_gate(chain)
    with chain.await_launch() as client:
        chain.version(client, "sink.out", 3)
        second = chain.run_system()
        assert chain.finish(second) == 1
        assert f"running already (pid {parent.pid})" in second.err.read_text()
        with pytest.raises(LaunchError, match=f"pid {parent.pid}"):
            start_detached(str(chain.folder / "dolphin.toml"))
        chain.version(client, "sink.out", chain.version(client, "sink.out") + 3)
        client.shutdown()
    assert chain.finish(parent) == 0


def test_all_faults_are_told_and_nothing_starts(world):
    world.toml('[components.a]\nrun = "nowhere:A"\nevery = "x"\n[components.b]\nrun = 3\ntypo = 1')
    with pytest.raises(ConfigurationError) as caught:
        start_detached(str(world.folder / "dolphin.toml"))
    assert len(caught.value.faults) >= 3


def test_until_done_leaves_when_all_are_done(world):
    world.write(
        "parts.py",
        """
        from dolphin_mp import Component, Done, Output
        class Three(Component):
            every = "5ms"
            out = Output("i8")
            def step(self):
                if self.out.version == 3:
                    raise Done
                self.out.publish(self.out.version)
        class Odd(Three):
            def step(self):
                raise ValueError("odd")
        """,
    )
    world.toml('[components.a]\nrun = "parts:Three"\n[components.b]\nrun = "parts:Three"')
    assert world.finish(world.run_system(until_done=True)) == 0
    world.toml(
        '[components.a]\nrun = "parts:Three"\n[components.b]\nrun = "parts:Odd"\nrestart = "never"',
        "odd.toml",
    )
    assert world.finish(world.run_system("odd.toml", until_done=True)) == 1


def test_it_runs_for_so_long(world):
    world.write(
        "parts.py",
        """
        from dolphin_mp import Component
        class Idle(Component):
            every = "1h"
            def step(self): ...
        """,
    )
    world.toml('[components.idle]\nrun = "parts:Idle"')
    began = time.monotonic()
    assert world.finish(world.run_system(for_s=0.7)) == 0
    assert time.monotonic() - began >= 0.7


class TestImports:
    """What a user's module does when it is imported."""

    def launch(self, world, module):
        self.write(world, module)
        return world.run_system()

    def write(self, world, module):
        head = "import os, signal, sys, threading, time\n"
        tail = "\nfrom dolphin_mp import Component, Output\n"
        tail += "class A(Component):\n    every = '10ms'\n    out = Output('f8')\n"
        tail += "    def step(self): self.out.publish(1.0)\n"
        world.write("parts.py", head + module + tail)
        world.write("fine.py", tail)
        world.toml('[components.a]\nrun = "parts:A"\n[components.fine]\nrun = "fine:A"')

    @pytest.mark.parametrize(
        ("module", "said"),
        [
            ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
            ("os._exit(3)", "exit 3"),
        ],
    )
    def test_one_that_ends_its_process_is_a_clear_error(self, world, module, said):
        process = self.launch(world, module)
        assert world.finish(process) == 1
        text = process.err.read_text()
        assert f"LaunchError: importing the components ended the process that did it ({said})" in text
        assert not world.segments()

    def test_one_that_crashes_is_named(self, world):
        process = self.launch(world, "os.kill(os.getpid(), signal.SIGSEGV)")
        assert world.finish(process) == 1
        assert "parts.py" in process.err.read_text()

    @pytest.mark.parametrize("module", ["raise ValueError('no luck')", "sys.exit(4)", "import nowhere"])
    def test_one_that_raises_is_a_fault(self, world, module):
        process = self.launch(world, module)
        assert world.finish(process) == 1
        text = process.err.read_text()
        assert "ConfigurationError" in text
        assert "parts" in text

    def test_one_that_hangs_is_given_up(self, world):
        self.write(world, "time.sleep(600)")
        code = """
            from dolphin_mp.parent import inspection, launch
            inspection.LIMIT_S = 1.0
            launch.run_system("dolphin.toml")
        """
        process = world.python(code)
        assert world.finish(process) == 1
        assert "took longer than 1 s" in process.err.read_text()

    def test_one_that_hangs_ends_with_a_parent_that_is_killed(self, world):
        process = self.launch(world, "open('importing', 'w').close()\ntime.sleep(600)")
        world.wait_for_path(world.folder / "importing")
        pids = world.strangers()
        process.kill()
        for pid in pids:
            world.wait_gone(pid)

    @pytest.mark.parametrize(
        ("module", "said"),
        [
            ("threading.Thread(target=time.sleep, args=(600,), daemon=True).start()", "leaves a thread"),
            ("f = open('/dev/null')", "leaves an open file"),
            ("os.environ['PARTS'] = '1'", "changes the environment"),
            ("os.umask(0o007)", "changes the umask"),
            ("signal.signal(signal.SIGUSR1, lambda *_: None)", "changes the signal handlers"),
        ],
    )
    def test_one_that_leaves_traces_is_kept_out_of_the_zygote_and_works(self, world, module, said):
        process = self.launch(world, module)
        with world.await_launch() as client:
            world.version(client, "a.out")
            world.version(client, "fine.out")
            client.shutdown()
        assert world.finish(process) == 0
        assert (
            f"importing parts {said}: each process that needs it does that itself" in process.err.read_text()
        )
        assert "importing fine" not in process.err.read_text()

    def test_one_that_prints_a_flood_into_a_pipe_that_nobody_reads(self, world):
        self.write(world, "print('x' * 10_000_000)\nprint('y' * 10_000_000, file=sys.stderr)")
        code = "from dolphin_mp.parent.launch import run_system\nrun_system('dolphin.toml')"
        reading, writing = os.pipe()
        process = world.python(code, stdout=writing, stderr=writing)
        os.close(writing)
        with world.await_launch() as client:
            world.version(client, "a.out")
            client.restart("a")
            client.shutdown()
        assert world.finish(process) == 0
        os.close(reading)

    def test_what_it_prints_is_not_said_again_by_each_process(self, world):
        self.write(world, "print('said', end='')\nsys.stderr.write('told')")
        process = world.run_system()
        with world.await_launch() as client:
            for _ in range(3):
                client.restart("a")
            client.shutdown()
        assert world.finish(process) == 0
        assert process.out.read_text().count("said") <= 2  # by the inspector and the zygote
        assert process.err.read_text().count("told") <= 2

    def test_what_a_module_sets_in_the_environment_is_there(self, world):
        world.write(
            "setter.py",
            """
            import os
            os.environ["SETTER"] = "7"
            from dolphin_mp import Component, Output
            class A(Component):
                every = "10ms"
                out = Output("f8")
                def step(self):
                    self.out.publish(float(os.environ["SETTER"]))
            """,
        )
        world.toml('[components.a]\nrun = "setter:A"')
        process = world.run_system()
        with world.await_launch() as client:
            assert float(world.record(client, "a.out").value) == 7.0
            client.shutdown()
        assert world.finish(process) == 0
