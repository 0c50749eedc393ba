"""When components step, on what, and what they can use meanwhile."""

import os
import signal
import time

import numpy as np
import pytest

from dolphin_mp import Component, Done, Input, Output
from dolphin_mp.logs.reader import tail


def ticker(every_="5ms", keep_=64):
    class Tick(Component):
        every = every_
        out = Output("i8", keep=keep_)

        def step(self):
            self.out.publish(self.out.version + 1)

    return Tick


class TestEvery:
    def test_it_keeps_pace_with_the_clock(self, up, world):
        class Clocked(Component):
            every = "20ms"
            out = Output("i8", keep=512)

            def step(self):
                import time

                self.out.publish(time.monotonic_ns())

        client, _ = up({"clocked": Clocked})
        world.version(client, "clocked.out", 49)
        times = np.array([int(record.value) for record in client.channel("clocked.out").history(50)])
        status = world.rows(client)["clocked"]
        beats = (times[-1] - times[0]) / 20e6
        assert abs(beats - 49) <= 1 + status["missed"]
        phases = (times - times[0]) % 20_000_000
        drift = np.minimum(phases, 20_000_000 - phases)
        assert np.median(drift) < 5_000_000  # none has built up

    def test_beats_that_a_long_step_swallowed_are_counted(self, up, world):
        class Slow(Component):
            every = "10ms"
            out = Output("i8")

            def step(self):
                import time

                time.sleep(0.055)
                self.out.publish(time.monotonic_ns())

        client, _ = up({"slow": Slow})
        began = client.status()["uptime_s"]
        world.version(client, "slow.out", 19)
        row = world.rows(client)["slow"]
        elapsed = client.status()["uptime_s"] - began
        assert row["beats"] <= elapsed / 0.055 + 3
        while not world.rows(client)["slow"]["missed"] > 40:  # told once a second
            world.version(client, "slow.out", client.channel("slow.out").version)

    def test_a_status_tells_how_it_does(self, up, world, watch):
        client, _watcher = up({"tick": ticker("20ms")})
        world.version(client, "tick.out", 60)  # past the first sample
        row = world.rows(client)["tick"]
        assert row["beats"] >= 60
        assert 0 <= row["last_step_age_s"] < 5
        assert 0 <= row["cpu_percent"] < 100
        assert 1e6 < row["rss_bytes"] < 200e6


class TestInputs:
    def test_a_wake_finds_all_new_records(self, up, world):
        class Burst(Component):
            every = "20ms"
            out = Output("i8", keep=64)

            def step(self):
                for _ in range(5):
                    self.out.publish(self.out.version + 1)

        class Sum(Component):
            burst = Input("burst.out")
            out = Output([("count", "i8"), ("last", "i8"), ("lost", "i8"), ("steps", "i8")], keep=8)

            def setup(self):
                self.count = self.lost = self.steps = 0

            def step(self):
                self.steps += 1
                records, lost = self.burst.new()
                self.count += len(records)
                self.lost += lost
                self.out.publish(
                    count=self.count, last=int(records[-1].value), lost=self.lost, steps=self.steps
                )

        client, _ = up({"burst": Burst, "sum": Sum})
        value = world.record(client, "sum.out", 20).value
        assert value["count"] + value["lost"] == value["last"]
        assert value["steps"] <= value["count"]

    def test_only_the_inputs_of_on_wake_it(self, up, world):
        class Picky(Component):
            fast = Input("fast.out")
            slow = Input("slow.out")
            on = ("slow",)
            out = Output([("fast", "i8"), ("slow", "i8")], keep=64)

            def step(self):
                self.out.publish(fast=self.fast.version, slow=self.slow.version)

        client, _ = up({"fast": ticker("1ms"), "slow": ticker("50ms"), "picky": Picky})
        world.version(client, "picky.out", 5)
        values = [record.value for record in client.channel("picky.out").history(6)]
        slow = [int(value["slow"]) for value in values]
        assert slow == sorted(set(slow))
        assert int(values[-1]["fast"]) > int(values[-1]["slow"])

    def test_a_component_with_both_steps_on_either(self, up, world):
        class Both(Component):
            every = "1h"
            on = ("tick",)
            tick = Input("tick.out")
            out = Output("i8")

            def step(self):
                self.out.publish(self.tick.version)

        client, _ = up({"tick": ticker("20ms"), "both": Both})
        world.version(client, "both.out", 5)

    def test_what_is_stale_is_told_and_what_is_fresh_again_too(self, up, world):
        class Careful(Component):
            tick = Input("tick.out", stale_after="150ms", required=True)
            steps = Output("i8")
            stale = Output("i8")

            def step(self):
                assert self.tick.latest().fresh
                self.steps.publish(self.tick.version)

            def on_stale(self):
                now = self.tick.latest()
                assert now is None or not now.fresh
                self.stale.publish(self.tick.version)

        client, _ = up({"tick": ticker("10ms"), "careful": Careful})
        world.version(client, "careful.steps", 3)
        before = client.channel("careful.stale").version
        pid = world.rows(client)["tick"]["pid"]
        os.kill(pid, signal.SIGSTOP)  # it lives and says nothing
        last = client.channel("tick.out").version
        assert world.record(client, "careful.stale", before).value >= last
        steps = client.channel("careful.steps").version
        os.kill(pid, signal.SIGCONT)
        world.version(client, "careful.steps", steps + 3)
        assert client.status()["components"][1]["restarts"] == 0

    def test_without_a_record_yet_a_required_input_is_stale(self, up, world):
        class Silent(Component):
            every = "1h"
            out = Output("i8")

            def step(self):
                pass

        class Careful(Component):
            inn = Input("silent.out", required=True)
            stale = Output("i8")

            def step(self):
                raise AssertionError

            def on_stale(self):
                self.stale.publish(1)

        client, _ = up({"silent": Silent, "careful": Careful})
        world.version(client, "careful.stale")
        assert world.rows(client)["careful"]["restarts"] == 0

    def test_a_reader_survives_its_producer(self, up, world):
        class Reader(Component):
            tick = Input("tick.out")
            out = Output([("version", "i8"), ("epoch", "i8")], keep=64)

            def step(self):
                now = self.tick.latest()
                self.out.publish(version=now.version, epoch=now.epoch)

        client, watcher = up({"tick": ticker(), "reader": Reader})
        pid = world.rows(client)["reader"]["pid"]
        for epoch in (1, 2, 3):
            while (
                int(world.record(client, "reader.out", client.channel("reader.out").version).value["epoch"])
                < epoch
            ):
                pass
            os.kill(world.rows(client)["tick"]["pid"], 9)
        watcher.until(lambda rows: rows["tick"]["restarts"] == 3 and rows["tick"]["state"] == "ready")
        assert world.rows(client)["reader"]["pid"] == pid


class TestDone:
    def test_done_is_for_good_and_records_stay(self, up, world):
        class Three(Component):
            every = "5ms"
            out = Output("i8")

            def step(self):
                if self.out.version == 3:
                    raise Done
                self.out.publish(self.out.version + 1)

        client, watcher = up({"three": Three})
        row = watcher.until_state("three", "done")
        assert row["restarts"] == 0
        if row["pid"]:  # it is about to leave
            world.wait_gone(row["pid"])
        assert world.rows(client)["three"]["pid"] is None
        assert int(client.latest("three.out").value) == 3
        client.start("three")
        assert watcher.until_state("three", "done")["incarnation"] == 2

    def test_done_in_setup(self, up, world):
        class Never(Component):
            every = "5ms"

            def setup(self):
                raise Done

            def step(self):
                pass

        _, watcher = up({"never": Never})
        watcher.until_state("never", "done")


class TestAsync:
    def test_each_publish_and_beat_counts_and_a_stop_cancels(self, up, world):
        class Feed(Component):
            out = Output("i8", keep=64)
            cancelled = Output("i8")

            async def run(self):
                import asyncio

                try:
                    while True:
                        await asyncio.sleep(0.005)
                        self.out.publish(self.out.version + 1)
                finally:
                    self.cancelled.publish(1)

        client, _ = up({"feed": Feed})
        while world.rows(client)["feed"]["beats"] < 100:  # counted once a second
            world.version(client, "feed.out", client.channel("feed.out").version)
        began = time.monotonic()
        assert client.stop("feed")["reason"] == "on request"
        assert time.monotonic() - began < 4  # far from the half of stop_within
        assert client.channel("feed.cancelled").version == 1

    def test_an_exception_is_a_crash(self, up, world):
        class Feed(Component):
            out = Output("i8")

            async def run(self):
                import asyncio

                await asyncio.sleep(0.01)
                raise ConnectionError("lost")

        _, watcher = up({"feed": Feed})
        row = watcher.until(lambda rows: rows["feed"]["state"] == "backoff")["feed"]
        assert row["reason"] == "exit 1: ConnectionError: lost"

    def test_done(self, up, world):
        class Feed(Component):
            out = Output("i8")

            async def run(self):
                raise Done

        _, watcher = up({"feed": Feed})
        watcher.until_state("feed", "done")

    def test_it_hears_that_it_is_to_stop(self, up, world):
        class Feed(Component):
            out = Output("i8")

            async def run(self):
                import asyncio

                self.beat()
                self.out.publish(1)
                try:
                    await asyncio.sleep(600)
                except asyncio.CancelledError:
                    assert self.stopping
                    self.out.publish(2)
                    raise

        client, _ = up({"feed": Feed})
        world.version(client, "feed.out")
        assert client.stop("feed")["reason"] == "on request"
        assert client.channel("feed.out").version == 2


class TestProcessShared:
    def member(self, every_="5ms"):
        class Member(Component):
            every = every_
            out = Output("i8")

            def step(self):
                import os

                self.out.publish(os.getpid())

        return Member

    def test_members_are_threads_of_one_process_and_share_its_fate(self, up, world):
        class Crash(Component):
            tick = Input("trigger.out")
            crashes = Output("i8")

            def step(self):
                if self.tick.latest().epoch == 2 and self.crashes.version == 0:
                    self.crashes.publish(1)
                    raise ValueError("crash")

        settings = {"process": "back"}
        client, watcher = up(
            {
                "a": (self.member(), settings),
                "b": (self.member(), settings),
                "crash": (Crash, settings),
                "trigger": ticker("10ms"),
            }
        )
        pids = {int(world.record(client, f"{name}.out").value) for name in "ab"}
        rows = world.rows(client)
        assert pids == {rows["a"]["pid"]} == {rows["b"]["pid"]} == {rows["crash"]["pid"]}
        assert world.title(pids.pop()) == f"back [dolphin-mp {world.name}]"
        epochs = [client.latest(f"{name}.out").epoch for name in "ab"]
        client.restart("trigger")
        rows = watcher.until(lambda rows: rows["a"]["restarts"] >= 1)
        assert {rows[name]["restarts"] for name in ("a", "b", "crash")} == {1}
        for name, epoch in zip("ab", epochs, strict=True):
            while client.latest(f"{name}.out").epoch == epoch:
                world.version(client, f"{name}.out", client.channel(f"{name}.out").version)

    def test_a_done_member_leaves_the_others(self, up, world):
        class Once(Component):
            every = "5ms"

            def step(self):
                raise Done

        settings = {"process": "back"}
        client, watcher = up({"a": (self.member(), settings), "once": (Once, settings)})
        watcher.until_state("once", "done")
        world.version(client, "a.out", client.channel("a.out").version + 5)
        assert world.rows(client)["a"]["state"] == "ready"
        os.kill(world.rows(client)["a"]["pid"], 9)
        rows = watcher.until(lambda rows: rows["a"]["restarts"] == 1 and rows["a"]["state"] == "ready")
        assert rows["once"]["state"] == "done"
        assert rows["once"]["pid"] is None

    def test_a_member_that_does_not_return_is_ended(self, up, world):
        class Stuck(Component):
            every = "1ms"
            out = Output("i8")

            def step(self):
                import time

                self.out.publish(1)
                time.sleep(600)

        settings = {"process": "back", "stop_within": "1s"}
        client, _ = up({"a": (self.member(), settings), "stuck": (Stuck, settings)})
        world.version(client, "stuck.out")
        assert client.stop("a")["state"] == "stopped"
        assert world.rows(client)["stuck"]["state"] == "stopped"


def test_a_successor_finds_its_predecessors_record_in_setup(up, world):
    class Heir(Component):
        every = "5ms"
        out = Output("i8")

        def setup(self):
            last = self.out.latest()
            self.value = 0 if last is None else int(last.value) + 1000

        def step(self):
            self.value += 1
            self.out.publish(self.value)

    client, _ = up({"heir": Heir})
    world.version(client, "heir.out", 5)
    client.restart("heir")
    value = int(world.record(client, "heir.out", client.channel("heir.out").version).value)
    assert 1000 < value < 2000


@pytest.mark.parametrize("name", ["component.log", "print"])
def test_what_a_component_says_is_written_down(world, name):
    say = 'self.log.info("spoken")' if name == "component.log" else 'print("spoken")'
    world.write(
        "parts.py",
        f"""
        from dolphin_mp import Component, Done
        class Speaker(Component):
            every = "5ms"
            def step(self):
                {say}
                raise Done
        """,
    )
    world.toml('[components.speaker]\nrun = "parts:Speaker"')
    process = world.run_system(until_done=True)
    assert world.finish(process) == 0
    said = next(record for record in tail(world.name, "speaker", 20) if record["message"] == "spoken")
    assert said["stream"] == ("stdout" if name == "print" else "log")
