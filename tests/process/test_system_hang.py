"""Whole systems whose components hang or crash: found, written down, restarted; and those that only idle."""

import json
import os
import signal

import pytest

from dolphin_mp.crashes.shelf import crashes_folder

PARTS = """
    import asyncio, ctypes, os, threading, time
    import numpy as np
    from dolphin_mp import Component, Input, Output

    class Tick(Component):
        every = "10ms"
        out = Output("f8", keep=16)
        def step(self):
            self.out.publish(1.0)

    class Stuck(Tick):
        def setup(self):
            last = self.out.latest()
            self.first = last is None
        def step(self):
            super().step()
            if self.first:
                threading.Event().wait()

    class Deaf(Stuck):
        def step(self):
            Tick.step(self)
            if self.first:
                ctypes.PyDLL(None).sleep(60)

    class Loop(Component):
        out = Output("f8")
        async def run(self):
            first = self.out.latest() is None
            self.out.publish(1.0)
            if first:
                ctypes.CDLL(None).sleep(60)  # blocks the event loop
            await asyncio.sleep(3600)

    class Fall(Stuck):
        def step(self):
            Tick.step(self)
            if self.first:
                ctypes.string_at(0)

    class Speaks(Tick):
        def step(self):
            super().step()
            if self.out.version == 1:
                self.log.warning("one before the end")
                raise ValueError("the end")

    class Rare(Component):
        every = "1h"
        out = Output("f8")
        def step(self): ...

    class Idle(Component):
        rare = Input("rare.out")
        out = Output("f8")
        def step(self): ...

    class Slow(Component):
        every = "10ms"
        out = Output("f8")
        def setup(self):
            ctypes.PyDLL(None).usleep(900000)  # the start has its own deadline
        def step(self):
            for _ in range(8):
                time.sleep(0.25)  # work
                self.beat()
            self.out.publish(1.0)
"""


@pytest.fixture
def launched(world, watch):
    """Give a function that launches components of `PARTS`, by class, and gives a watcher of the system."""
    started = []

    def launched(hang_after="0.4s", **components):
        world.write("parts.py", PARTS)
        text = "".join(
            f'[components.{name}]\nrun = "parts:{kind}"\nhang_after = "{hang_after}"\n'
            for name, kind in components.items()
        )
        world.toml(text)
        started.append(world.run_system())
        client = world.await_launch()
        started.append(client)
        return watch(client)

    yield launched
    if started:
        started[0].send_signal(signal.SIGTERM)
        world.finish(started[0])
        started[1].close()


def bundle(world, watcher, process):
    """Wait for the bundle of a crash of that process."""
    event = next((e for e in watcher.events if e.get("event") == "crash"), None)
    event = event or watcher.until_event(event="crash", process=process)
    assert "error" not in event, event
    return crashes_folder(world.name) / event["id"]


@pytest.mark.parametrize(("kind", "where"), [("Stuck", "in step"), ("Deaf", "in step"), ("Loop", "in run")])
def test_a_component_that_hangs_is_restarted_and_leaves_its_stacks(world, launched, kind, where):
    watcher = launched(ob=kind)
    row = watcher.until(lambda rows: rows["ob"]["restarts"] >= 1 and rows["ob"]["state"] == "ready")["ob"]
    assert row["incarnation"] == row["restarts"] + 1
    found = bundle(world, watcher, "ob")
    facts = json.loads((found / "crash.json").read_text())
    assert facts["reason"].startswith("hung: step begun ")
    assert facts["steps"]["ob"]["in_progress"]
    stacks = (found / "stacks.txt").read_text()
    assert where in stacks
    assert "the kernel's view" in stacks


def test_a_stopped_component_is_hung(world, launched):
    watcher = launched(ob="Tick")
    pid = watcher.until_state("ob", "ready")["pid"]
    os.kill(pid, signal.SIGSTOP)
    row = watcher.until(lambda rows: rows["ob"]["restarts"] >= 1 and rows["ob"]["state"] == "ready")["ob"]
    assert row["pid"] != pid
    reason = json.loads((bundle(world, watcher, "ob") / "crash.json").read_text())["reason"]
    assert "(stopped by a signal)" in reason


def test_mere_idleness_and_long_work_with_beats_are_not_hung(world, launched):
    watcher = launched("1s", rare="Rare", idle="Idle", slow="Slow")
    client = watcher.client
    watcher.until(lambda rows: all(row["state"] == "ready" for row in rows.values()))
    world.version(client, "slow.out", more_than=1)
    rows = world.rows(client)
    assert {row["restarts"] for row in rows.values()} == {0}
    assert {row["incarnation"] for row in rows.values()} == {1}


def test_a_segmentation_fault_leaves_a_bundle_with_the_last_records(world, launched):
    watcher = launched(ob="Fall")
    watcher.until(lambda rows: rows["ob"]["restarts"] >= 1 and rows["ob"]["state"] == "ready")
    found = bundle(world, watcher, "ob")
    facts = json.loads((found / "crash.json").read_text())
    assert (facts["signal"], facts["reason"]) == ("SIGSEGV", "killed by SIGSEGV")
    assert "in step" in (found / "stacks.txt").read_text()
    tail = json.loads((found / "records.json").read_text())["ob.out"]
    assert [record["value"] for record in tail["records"]] == [1.0]
    shown = world.cli("crashes", "ob", "--system", world.name)
    assert "Segmentation fault" in shown


def test_one_killed_by_hand_leaves_a_bundle_too(world, launched):
    watcher = launched(ob="Tick")
    os.kill(watcher.until_state("ob", "ready")["pid"], signal.SIGKILL)
    facts = json.loads((bundle(world, watcher, "ob") / "crash.json").read_text())
    assert facts["reason"] == "killed by SIGKILL"


def test_a_bundle_holds_what_was_said_last(world, launched):
    watcher = launched(ob="Speaks")
    said = (bundle(world, watcher, "ob") / "log.jsonl").read_text().splitlines()
    assert "one before the end" in [json.loads(line)["message"] for line in said]
