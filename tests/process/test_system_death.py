"""Components that die, in every way there is, while their neighbours go on."""

import os
import signal
import time

import numpy as np
import pytest

from dolphin_mp import Component, Output
from dolphin_mp.logs.reader import tail

WHOLE = np.dtype([("a", "i8", (64,)), ("b", "i8", (64,))])


def counter(every_="2ms"):
    class Counter(Component):
        every = every_
        out = Output("i8", keep=64)

        def step(self):
            last = self.out.latest()
            self.out.publish(1 if last is None else int(last.value) + 1)

    return Counter


def dying(how):
    """Give a component that counts its lives and, told by its option, dies in that way."""

    class Dying(Component):
        every = "5ms"
        lives = Output("i8")

        def setup(self):
            last = self.lives.latest()
            self.lives.publish(1 if last is None else int(last.value) + 1)
            if how == "setup":
                raise ValueError("no luck\nin the second line")

        def step(self):
            import ctypes
            import os
            import sys

            if how == "step":
                raise KeyError("missing")
            if how == "segv":
                ctypes.string_at(0)
            if how == "exit":
                os._exit(3)
            if how == "text":
                sys.exit("out of milk")
            if isinstance(how, int):
                sys.exit(how)

    return Dying


def test_a_successor_goes_on_where_the_dead_one_was(up, world):
    client, watcher = up({"counter": counter(), "other": counter()})
    channel = client.channel("counter.out")
    before = world.rows(client)
    world.version(client, "counter.out", 20)
    os.kill(before["counter"]["pid"], signal.SIGKILL)
    row = watcher.until(
        lambda rows: rows["counter"]["restarts"] == 1 and rows["counter"]["state"] == "ready"
    )["counter"]
    died_at = channel.latest()
    world.version(client, "counter.out", died_at.version + 10)
    records = channel.history(64)
    assert [int(record.value) for record in records] == [record.version for record in records]
    assert {record.epoch for record in channel.history(3)} == {2}
    assert row["pid"] != before["counter"]["pid"]
    assert row["incarnation"] == 2
    assert row["exit_code"] == -signal.SIGKILL
    after = world.rows(client)["other"]
    assert (after["pid"], after["restarts"]) == (before["other"]["pid"], 0)
    assert after["beats"] > before["other"]["beats"]


def test_the_first_restart_is_at_once_and_its_reason_is_told(up, world):
    client, watcher = up({"counter": counter()})
    os.kill(world.rows(client)["counter"]["pid"], signal.SIGKILL)
    event = watcher.until_event(component="counter", state="starting")
    assert event["reason"] == "killed by SIGKILL"
    assert event["restarts"] == 1


def test_a_reader_elsewhere_sees_no_torn_record_and_hears_of_the_death(up, world):
    class Writer(Component):
        every = "1ms"
        out = Output(WHOLE)

        def step(self):
            with self.out.writing() as array:
                number = self.out.version
                array["a"] = number
                array["b"] = number

    client, watcher = up({"writer": Writer})
    channel = client.channel("writer.out")
    for life in range(1, 4):
        version = world.version(client, "writer.out", channel.version + 20)
        row = watcher.until(
            lambda rows, life=life: (
                rows["writer"]["incarnation"] == life and rows["writer"]["state"] == "ready"
            )
        )["writer"]
        os.kill(row["pid"], signal.SIGKILL)
        ended = time.monotonic()
        channel.wait(1 << 40, 20.0)  # no record ends it
        assert time.monotonic() - ended < 10.0
        for record in channel.history(8):
            assert len(set(record.value["a"].tolist()) | set(record.value["b"].tolist())) == 1
        assert channel.version >= version


@pytest.mark.parametrize(
    ("how", "code", "reason"),
    [
        ("segv", -signal.SIGSEGV, "killed by SIGSEGV"),
        ("exit", 3, "exit 3"),
        ("setup", 1, "exit 1: ValueError: no luck"),
        ("step", 1, "exit 1: KeyError: 'missing'"),
        ("text", 1, "exit 1: out of milk"),
        (75, 75, "exit 75"),
        (0, 0, "exit 0"),
    ],
)
def test_it_rests_longer_each_time_while_neighbours_go_on(up, world, how, code, reason):
    client, watcher = up({"dying": dying(how), "other": counter()})
    other = world.rows(client)["other"]
    row = watcher.until(lambda rows: rows["dying"]["state"] == "backoff" and rows["dying"]["restarts"] >= 2)[
        "dying"
    ]
    assert row["reason"] == reason
    assert row["exit_code"] == code
    assert row["pid"] is None
    assert int(client.latest("dying.lives").value) == row["incarnation"] == row["restarts"] + 1
    states = [(e["state"], e["incarnation"]) for e in watcher.events if e.get("component") == "dying"]
    assert ("backoff", 1) not in states
    assert world.rows(client)["other"]["pid"] == other["pid"]
    world.version(client, "other.out", client.channel("other.out").version + 5)


def test_exit_78_says_that_starting_anew_is_of_no_use(up, world):
    _client, watcher = up({"dying": dying(78)})
    row = watcher.until_state("dying", "failed")
    assert row["reason"] == "bad configuration (exit 78)"
    assert row["restarts"] == 0


def test_policies(up, world):
    _client, watcher = up(
        {
            "never": (dying(3), {"restart": "never"}),
            "failure": (dying(0), {"restart": "on-failure"}),
            "limited": (dying(3), {"max_restarts": 2, "within": "1m"}),
        }
    )
    rows = watcher.until(
        lambda rows: (
            [rows[n]["state"] for n in ("never", "failure", "limited")] == ["failed", "done", "failed"]
        )
    )
    assert rows["never"]["restarts"] == 0
    assert rows["limited"]["restarts"] == 2
    assert "past 2 restarts within 60 s" in rows["limited"]["reason"]


def test_a_failure_can_end_the_system(world):
    world.write(
        "parts.py",
        """
        from dolphin_mp import Component
        class Bad(Component):
            every = "5ms"
            def step(self):
                raise ValueError("bad")
        class Good(Component):
            every = "5ms"
            def step(self): ...
        """,
    )
    world.toml(
        """
        [components.bad]
        run = "parts:Bad"
        restart = "never"
        on_failed = "stop"
        [components.good]
        run = "parts:Good"
        """
    )
    process = world.run_system()
    assert world.finish(process) == 1
    said = [record["message"] for record in tail(world.name, "bad", 20)]
    assert any("Traceback" in text and 'raise ValueError("bad")' in text for text in said)
    assert any("ValueError: bad" in text.splitlines()[0] for text in said)


def test_a_flood_of_output_harms_nobody(world, watch):
    """Nobody reads the pipe into which it all goes."""
    world.write(
        "parts.py",
        """
        import sys
        from dolphin_mp import Component, Output
        class Loud(Component):
            every = "2ms"
            out = Output("f8")
            def step(self):
                print("x" * 100_000)
                sys.stderr.write("y" * 100_000)
                self.out.publish(1.0)
        """,
    )
    world.toml("\n".join(f'[components.{name}]\nrun = "parts:Loud"\nstop_within = "4s"' for name in "abcd"))
    reading, writing = os.pipe()
    code = "from dolphin_mp.parent.launch import run_system\nrun_system('dolphin.toml')"
    process = world.python(code, stdout=writing, stderr=writing)
    os.close(writing)
    with world.await_launch() as client:
        watch(client).until(lambda rows: all(row["state"] == "ready" for row in rows.values()))
        for name in "abcd":
            world.version(client, f"{name}.out", 100)
        assert client.shutdown()["exit_code"] == 0
    assert world.finish(process) == 0
    os.close(reading)


class TestStopping:
    def test_a_step_that_does_not_heed_the_ask_is_interrupted_then_killed(self, up, world):
        class Deaf(Component):
            every = "1ms"
            out = Output("i8")

            def step(self):
                import time

                while True:
                    self.out.publish(1)
                    try:
                        time.sleep(600)
                    except SystemExit:  # SIGTERM raises it here
                        continue

        client, _ = up({"deaf": (Deaf, {"stop_within": "1s"})})
        world.version(client, "deaf.out")
        began = time.monotonic()
        result = client.stop("deaf")
        assert 0.9 < time.monotonic() - began < 10
        assert client.channel("deaf.out").version == 2
        assert result["state"] == "stopped"
        assert result["reason"] == "on request, killed by SIGKILL"

    def test_sigterm_ends_a_long_step(self, up, world):
        class Slow(Component):
            every = "1ms"
            out = Output("i8")

            def step(self):
                import time

                self.out.publish(1)
                time.sleep(600)

            def close(self):
                self.out.publish(2)

        client, _ = up({"slow": (Slow, {"stop_within": "1s"})})
        world.version(client, "slow.out")
        assert client.stop("slow")["reason"] == "on request, exit 143"
        assert client.channel("slow.out").version == 2

    def test_a_long_step_that_asks_is_not_interrupted(self, up, world):
        class Polite(Component):
            every = "1ms"
            out = Output("i8")

            def step(self):
                self.beat()
                self.out.publish(1)
                while not self.stopping:
                    self.beat()
                self.out.publish(2)

        client, _watcher = up({"polite": Polite})
        world.version(client, "polite.out")
        assert client.stop("polite")["reason"] == "on request"
        assert client.channel("polite.out").version == 2
        assert world.rows(client)["polite"]["beats"] > 1

    @pytest.mark.parametrize("how", ["stop", "kill"])
    def test_grandchildren_go_with_their_group(self, up, world, how):
        class Parent(Component):
            every = "1h"
            child = Output("i8")

            def setup(self):
                import subprocess

                self.process = subprocess.Popen(["sleep", "600"])
                self.child.publish(self.process.pid)

            def step(self):
                pass

        client, _ = up({"parent": Parent})
        pid = int(world.record(client, "parent.child").value)
        os.kill(pid, 0)
        if how == "stop":
            client.stop("parent")
        else:
            os.kill(world.rows(client)["parent"]["pid"], signal.SIGKILL)
        world.wait_gone(pid)

    def test_a_stopped_component_stays_down_until_started(self, up, world):
        client, _watcher = up({"counter": counter()})
        client.stop("counter")
        version = client.channel("counter.out").version
        assert world.rows(client)["counter"]["state"] == "stopped"
        assert client.start("counter")["state"] == "ready"
        assert world.record(client, "counter.out", version).epoch == 2
        assert world.rows(client)["counter"]["restarts"] == 0

    def test_one_that_is_not_ready_in_time_is_killed(self, up, world):
        class Late(Component):
            every = "1s"

            def setup(self):
                import time

                time.sleep(600)

            def step(self):
                pass

        import threading

        # launch() itself returns when the first rest begins
        _client, watcher = up({"late": (Late, {"ready_within": "300ms"})})
        row = watcher.until_state("late", "backoff")
        assert row["reason"] == "not ready within 0.3 s"
        assert threading.active_count() >= 1

    def test_a_frozen_component_is_stopped_too(self, up, world):
        client, _ = up({"counter": (counter(), {"stop_within": "1s"})})
        os.kill(world.rows(client)["counter"]["pid"], signal.SIGSTOP)
        assert client.stop("counter")["state"] == "stopped"
