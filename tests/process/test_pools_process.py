"""Pools as real processes: names, dealing, deaths, and who reads a whole pool."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from dolphin_mp import Component, Input, Output
from dolphin_mp.client import ClientError
from dolphin_mp.ipc import Channel, wait_any
from dolphin_mp.ipc.folder import FOLDER
from dolphin_mp.paths import segment_name

JOB = np.dtype([("number", "i8"), ("deadly", "?")])
PART = np.dtype([("number", "i8"), ("version", "i8"), ("redealt", "?"), ("key", "S16")])
JOBS = 200


class Jobs(Component):
    job = Output(JOB, keep=1024)
    every = "1ms"

    def setup(self):
        self.left = JOBS

    def step(self):
        if self.left:
            self.left -= 1
            self.job.publish(number=JOBS - self.left, deadly=False)


class Worker(Component):
    job = Input("jobs.job", share=True)
    part = Output(PART, keep=1024)

    def step(self):
        record = self.job.dealt
        self.part.publish(
            number=record.value["number"], version=record.version, redealt=record.redealt, key=self.key
        )


class Sum(Component):
    parts = Input("mc@*.part")
    total = Output(np.dtype([("instances", "S64"), ("count", "i8")]))

    def step(self):
        count = sum(channel.version for channel in self.parts.values())
        self.total.publish(instances=",".join(self.parts), count=count)


def parts_of(client, names):
    """Give all that was published by these instances."""
    found = [record for name in names for record in client.channel(f"{name}.part").history(1024)]
    return [(int(r.value["number"]), bool(r.value["redealt"]), r.value["key"].item().decode()) for r in found]


def test_a_pool_handles_each_record_once_and_is_read_as_a_whole(world, up):
    pool = (Worker, {"instances": 3})
    client, watcher = up({"jobs": Jobs, "mc": pool, "sum": Sum})
    rows = watcher.until(lambda rows: all(row["state"] == "ready" for row in rows.values()))
    assert list(rows) == ["jobs", "mc@0", "mc@1", "mc@2", "sum"]
    assert world.title(rows["mc@1"]["pid"]) == f"mc@1 [dolphin-mp {world.name}]"
    version = 0
    while int(client.latest("sum.total").value["count"] if version else 0) < JOBS:
        version = world.version(client, "sum.total", version)
    parts = parts_of(client, ["mc@0", "mc@1", "mc@2"])
    assert sorted(number for number, _, _ in parts) == list(range(1, JOBS + 1))
    assert not any(redealt for _, redealt, _ in parts)
    assert {key for _, _, key in parts} <= {"0", "1", "2"}
    assert client.latest("sum.total").value["instances"] == b"mc@0,mc@1,mc@2"


class Given(Component):
    """Publishes what the test asks for, by its own channel: one job at the start."""

    every = "1h"
    job = Output(JOB, keep=64)

    def setup(self):
        if not self.job.version:
            self.job.publish(number=7, deadly=True)

    def step(self):
        pass


class Mortal(Component):
    """Stops itself in the midst of its first record: killed then, another is to have it."""

    job = Input("given.job", share=True)
    part = Output(PART, keep=64)

    def step(self):
        record = self.job.dealt
        if not record.redealt:
            os.kill(os.getpid(), signal.SIGSTOP)
        self.part.publish(number=record.value["number"], version=1, redealt=record.redealt, key=self.key)


def test_what_a_killed_instance_held_is_dealt_to_a_living_one(world, up):
    settings = {"instances": 2, "restart": "never", "hang_after": "60s"}
    client, watcher = up({"given": Given, "mc": (Mortal, settings)})
    rows = watcher.until(lambda rows: all(row["state"] == "ready" for row in rows.values()))
    stopped = wait_stopped(world, {name: rows[name]["pid"] for name in ("mc@0", "mc@1")})
    other = {"mc@0": "mc@1", "mc@1": "mc@0"}[stopped]
    os.kill(rows[stopped]["pid"], signal.SIGKILL)
    record = world.record(client, f"{other}.part")
    assert record.value["redealt"]
    assert record.value["number"] == 7


def wait_stopped(world, pids):
    """Give the name of the process that stops; the parent is told by the kernel, we have to look."""
    import time

    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        for name, pid in pids.items():
            if world.stat(pid)[0] == "T":
                return name
        time.sleep(0.005)
    pytest.fail("nobody stopped")


def test_it_is_dealt_again_without_a_parent_too(world, up):
    settings = {"instances": 3, "hang_after": "60s"}
    client, watcher = up({"given": Given, "mc": (Mortal, settings)}, system={"orphan": "run"}, detach=True)
    rows = watcher.until(lambda rows: all(row["state"] == "ready" for row in rows.values()))
    pids = {name: rows[name]["pid"] for name in rows}
    stopped = wait_stopped(world, {name: pid for name, pid in pids.items() if name != "given"})
    parent = client.status()["pid"]
    os.kill(parent, signal.SIGKILL)
    world.wait_gone(parent)
    others = [client.channel(f"{name}.part") for name in pids if name not in {"given", stopped}]
    os.kill(pids.pop(stopped), signal.SIGKILL)
    seen = [0, 0]
    while not any(seen):
        assert wait_any(list(zip(others, seen, strict=True)), 20), "nobody has it"
        seen = [channel.version for channel in others]
    world.cli("shutdown")
    assert sorted(seen) == [0, 1]


def test_a_pool_is_scaled_up_and_down_and_forgets_no_record(world, up):
    client, watcher = up({"jobs": Jobs, "mc": (Worker, {"instances": 2}), "sum": Sum})
    before = watcher.until(lambda rows: all(row["state"] == "ready" for row in rows.values()))
    answer = client.scale("mc", 4)
    assert [(one["component"], one["state"]) for one in answer["instances"]] == [
        ("mc@0", "ready"), ("mc@1", "ready"), ("mc@2", "ready"), ("mc@3", "ready"),
    ]  # fmt: skip
    rows = watcher.until(lambda rows: all(row["state"] == "ready" for row in rows.values()))
    assert [rows[name]["pid"] for name in ("jobs", "mc@0", "mc@1")] == [
        before[name]["pid"] for name in ("jobs", "mc@0", "mc@1")
    ]
    assert world.title(rows["mc@3"]["pid"]).startswith("mc@3 ")
    version = 0
    while version == 0 or client.latest("sum.total").value["instances"] != b"mc@0,mc@1,mc@2,mc@3":
        version = world.version(client, "sum.total", version)
    world.version(client, "jobs.job", JOBS - 1)
    client.restart("jobs")  # which publishes as many again
    handled = {name: client.channel(f"{name}.part") for name in ("mc@0", "mc@1", "mc@2", "mc@3")}
    assert [one["component"] for one in client.scale("mc", 1)["instances"]] == ["mc@0"]
    assert list(world.rows(client)) == ["jobs", "mc@0", "sum"]
    world.wait_gone(rows["mc@3"]["pid"])
    seen = 0
    while sum(channel.version for channel in handled.values()) < 2 * JOBS:
        seen = world.wait_version(handled["mc@0"], seen)
    assert sum(channel.version for channel in handled.values()) == 2 * JOBS
    assert not [name for name in world.segments() if "mc@3" in name or "mc@1" in name]


def test_the_command_scales_and_steers_a_pool_by_its_name(world, up):
    client, watcher = up({"jobs": Jobs, "mc": (Worker, {"instances": 1})})
    watcher.until(lambda rows: all(row["state"] == "ready" for row in rows.values()))
    world.cli("scale", "mc", "2")
    world.cli("stop", "mc")
    assert [row["state"] for name, row in world.rows(client).items() if name != "jobs"] == ["stopped"] * 2
    world.cli("start", "mc")
    assert {row["state"] for row in world.rows(client).values()} == {"ready"}
    with pytest.raises(ClientError, match="'mc' is a pool: name one of mc@0, mc@1"):
        client.stop("mc")
    with pytest.raises(ClientError, match="1 to 1024"):
        client.scale("mc", 0)


def test_instances_that_share_a_process_deal_too(world, up):
    pool = (Worker, {"instances": 2, "process": "all"})
    client, watcher = up({"jobs": Jobs, "mc": pool, "sum": Sum})
    rows = watcher.until(lambda rows: all(row["state"] == "ready" for row in rows.values()))
    assert rows["mc@0"]["pid"] == rows["mc@1"]["pid"]
    version = 0
    while int(client.latest("sum.total").value["count"] if version else 0) < JOBS:
        version = world.version(client, "sum.total", version)
    parts = parts_of(client, ["mc@0", "mc@1"])
    assert sorted(number for number, _, _ in parts) == list(range(1, JOBS + 1))
    dealt = [world.rows(client)[name]["dealt"] for name in ("mc@0", "mc@1")]
    assert sum(dealt) == JOBS


ALONE = """
    from dolphin_mp import Component, Input, Output

    class Jobs(Component):
        every = "2ms"
        job = Output("i8", keep=1024)
        def step(self):
            self.job.publish(self.job.version + 1)

    class Worker(Component):
        job = Input("jobs.job", share=True)
        part = Output("i8", keep=1024)
        def step(self):
            self.part.publish(self.job.dealt.value)
"""


def test_instances_run_as_services_of_their_own(world):
    world.write("alone.py", ALONE)
    world.toml(
        """
        [components.jobs]
        run = "alone:Jobs"
        [components.mc]
        run = "alone:Worker"
        for_each = ["BTC-USDT", "ETH-USDT"]
        """
    )
    started = [world.run_alone(name) for name in ("jobs", "mc@BTC-USDT", "mc@ETH-USDT")]
    handled = []
    for key in ("BTC-USDT", "ETH-USDT"):
        name = segment_name(world.name, f"mc@{key}.part")
        world.wait_for_path(f"{FOLDER}/{name}")
        with Channel.attach(name) as channel:
            world.wait_version(channel, 5)
            handled.append({int(record.value) for record in channel.history(5)})
    assert not handled[0] & handled[1]
    for process in reversed(started):
        process.terminate()
        assert world.finish(process) == 0


RELOADED = """
    from dataclasses import dataclass
    from dolphin_mp import Component, Input, Output

    class Jobs(Component):
        every = "5ms"
        @dataclass
        class Options:
            kind: str = "i8"
        job = Output(lambda options: options.kind, keep=1024)
        def step(self):
            self.job.publish((self.job.version + 1) * (2.5 if self.options.kind == "f8" else 1))

    class Worker(Component):
        job = Input("jobs.job", share=True)
        part = Output("f8", keep=1024)
        def step(self):
            self.part.publish(float(self.job.dealt.value))
"""


def reloaded(kind, instances):
    return f"""
        [components.jobs]
        run = "again:Jobs"
        options = {{ kind = "{kind}" }}
        [components.mc]
        run = "again:Worker"
        instances = {instances}
    """


def test_a_reload_replaces_the_deal_with_its_channel_and_the_number_with_the_configured_one(world, watch):
    world.write("again.py", RELOADED)
    world.toml(reloaded("i8", 1))
    parent = world.run_system()
    with world.await_launch() as client:
        watcher = watch(client)
        watcher.until(lambda rows: len(rows) == 2 and all(row["state"] == "ready" for row in rows.values()))
        client.scale("mc", 3)
        world.version(client, "mc@0.part", 5)
        world.toml(reloaded("f8", 2))
        client.reload()
        rows = watcher.until(lambda rows: all(row["state"] == "ready" for row in rows.values()))
        assert list(rows) == ["jobs", "mc@0", "mc@1"]
        values = set()
        seen = {name: client.channel(f"{name}.part").version for name in ("mc@0", "mc@1")}
        for name, version in seen.items():
            world.version(client, f"{name}.part", version + 3)
            values |= {
                float(record.value) for record in client.channel(f"{name}.part").since(version).records
            }
        assert all(value % 2.5 == 0 for value in values)
        assert len([name for name in world.segments() if name.endswith(".deal")]) == 1
        client.shutdown()
    assert world.finish(parent) == 0


def test_the_next_parent_takes_a_pool_over_as_it_is(world, watch):
    world.write("again.py", RELOADED)
    world.toml(reloaded("i8", 2))
    parent = world.run_system()
    with world.await_launch() as client:
        watcher = watch(client)
        watcher.until(lambda rows: len(rows) == 3 and all(row["state"] == "ready" for row in rows.values()))
        before = {name: row["pid"] for name, row in world.rows(client).items()}
        parent.kill()
        parent.wait()
    (world.runtime / "events").unlink()
    parent = world.run_system()
    with world.await_launch() as client:
        watcher = watch(client)
        rows = watcher.until(lambda rows: all(row["state"] == "ready" for row in rows.values()))
        assert {name: row["pid"] for name, row in rows.items()} == before
        client.scale("mc", 3)
        world.version(client, "mc@2.part", 3)
        client.stop("jobs")
        parts = [client.channel(f"mc@{number}.part") for number in range(3)]
        newest = client.channel("jobs.job").version
        seen = [channel.version for channel in parts]
        while sum(seen) < newest:
            assert wait_any(list(zip(parts, seen, strict=True)), 20), (seen, newest)
            seen = [channel.version for channel in parts]
        handled = [int(record.value) for channel in parts for record in channel.history(1024)]
        assert sorted(handled) == list(range(1, newest + 1))
        assert sum(row["redealt"] + row["lost"] for row in world.rows(client).values()) == 0
        client.shutdown()
    assert world.finish(parent) == 0


def test_what_waited_for_a_required_input_is_dealt_when_that_comes(world, up):
    class Once(Component):
        every = "1h"
        job = Output("i8", keep=8)

        def step(self):
            for number in range(1, 4):
                self.job.publish(number)

    class Params(Component):
        every = "50ms"
        params = Output("f8")

        def step(self):
            if Path("go").exists() and not self.params.version:
                self.params.publish(1.0)

    class Patient(Component):
        on = ("job",)
        job = Input("once.job", share=True)
        params = Input("params.params", required=True, stale_after="1h")
        part = Output("i8")

        def step(self):
            self.part.publish(int(self.job.dealt.value))

    client, _ = up({"once": Once, "params": Params, "mc": (Patient, {"instances": 1})})
    assert world.version(client, "once.job", 2) == 3
    (world.folder / "go").touch()
    assert world.version(client, "mc@0.part", 2) == 3
