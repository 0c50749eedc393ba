"""Restarts, their limits and their ends, with real processes; the long stories are told in tests/unit."""

import os
import signal
import time
from pathlib import Path

import pytest

from dolphin_mp import Component, Input, Output

# a parent whose SIGKILL has no effect, as if the process sat in uninterruptible sleep
UNABLE = """
    import signal, sys
    from dolphin_mp.parent import children
    from dolphin_mp.parent.launch import run_system
    from dolphin_mp.supervision import stopping
    stopping.DEAD_WITHIN_S = 0.3
    children.Children.kill = lambda self, process: None
    sys.exit(run_system("dolphin.toml"))
"""


def ticker(every_="5ms"):
    class Tick(Component):
        every = every_
        out = Output("i8", keep=1024)

        def step(self):
            self.out.publish(self.out.version + 1)

    return Tick


def leaving(code):
    class Leaves(Component):
        every = "5ms"
        lives = Output("i8", keep=256)

        def setup(self):
            self.lives.publish(self.lives.version + 1)

        def step(self):
            import sys

            sys.exit(code)

    return Leaves


@pytest.mark.parametrize("restart", ["always", "on-failure", "never"])
def test_what_an_exit_leads_to(up, restart):
    parts = {f"exit{code}": (leaving(code), {"restart": restart}) for code in (0, 1, 75, 78)}
    _, watcher = up(parts)
    wanted = {
        "exit0": {"always": "backoff"}.get(restart, "done"),
        "exit1": {"never": "failed"}.get(restart, "backoff"),
        "exit75": {"never": "failed"}.get(restart, "backoff"),
        "exit78": "failed",
    }
    rows = watcher.until(lambda rows: all(rows[name]["state"] == state for name, state in wanted.items()))
    assert rows["exit78"]["reason"] == "bad configuration (exit 78)"
    assert rows["exit78"]["restarts"] == 0
    for name, state in wanted.items():
        assert (rows[name]["restarts"] > 0) == (state == "backoff"), name


def test_a_crash_loop_costs_its_neighbours_nothing(up, world):
    """Of the smallest rests: what its neighbours miss, its restarts, and the parent's CPU are bounded."""
    rests = {"backoff": {"first": "10ms", "factor": 2.0, "max": "80ms", "jitter": 0.0}}
    client, watcher = up({"loop": (leaving(1), rests), "calm": ticker("20ms")})
    calm = world.rows(client)["calm"]
    parent = client.status()["pid"]
    watcher.until(lambda rows: rows["loop"]["restarts"] >= 6)
    before, began, cpu = world.rows(client), time.monotonic(), cpu_s(parent)
    watcher.until(lambda rows: rows["loop"]["restarts"] >= before["loop"]["restarts"] + 10)
    passed_s = time.monotonic() - began
    after = world.rows(client)
    restarts = after["loop"]["restarts"] - before["loop"]["restarts"]
    assert restarts <= passed_s / 0.08 + 2  # never more than its rests let through
    assert cpu_s(parent) - cpu < 0.5 * passed_s + 0.1
    assert (after["calm"]["pid"], after["calm"]["restarts"]) == (calm["pid"], 0)
    beats = after["calm"]["beats"] - before["calm"]["beats"]
    missed = after["calm"]["missed"] - before["calm"]["missed"]
    assert beats + missed + 60 >= passed_s / 0.02  # `missed` may be a second old
    assert world.rows(client)["loop"]["state"] in {"backoff", "starting", "ready"}


def cpu_s(pid):
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_an_operators_restarts_do_not_count(up, world):
    client, watcher = up({"tick": (ticker(), {"max_restarts": 1, "within": "10m"})})
    for _ in range(3):
        assert client.restart("tick")["state"] == "ready"
    assert world.rows(client)["tick"]["restarts"] == 0
    for life in (4, 5):
        row = watcher.until(
            lambda rows, life=life: (rows["tick"]["incarnation"], rows["tick"]["state"]) == (life, "ready")
        )["tick"]
        os.kill(row["pid"], signal.SIGKILL)
    row = watcher.until_state("tick", "failed")
    assert row["reason"] == "killed by SIGKILL, past 1 restarts within 600 s"
    assert client.start("tick")["state"] == "ready"


def test_a_failure_may_restart_its_readers(up, world):
    class Reader(Component):
        tick = Input("tick.out")

        def step(self):
            pass

    client, watcher = up(
        {"tick": (ticker(), {"restart": "never", "on_failed": "restart-readers"}), "r": Reader}
    )
    watcher.until_state("r", "ready")
    os.kill(world.rows(client)["tick"]["pid"], signal.SIGKILL)
    row = watcher.until(lambda rows: (rows["r"]["incarnation"], rows["r"]["state"]) == (2, "ready"))["r"]
    assert row["restarts"] == 0
    assert world.rows(client)["tick"]["state"] == "failed"


def test_what_a_stopped_component_published_stays_readable(up, world):
    client, _ = up({"tick": ticker()})
    world.version(client, "tick.out", 5)
    client.stop("tick")
    last = client.latest("tick.out")
    assert (last.version, int(last.value)) == (client.channel("tick.out").version,) * 2
    assert [int(record.value) for record in client.channel("tick.out").history(5)] == list(
        range(last.version - 4, last.version + 1)
    )
    assert int(world.cli("read", "tick.out", "--system", world.name).split()[-1] or 0) >= 0


def test_an_unkillable_one_is_named_and_has_no_successor_beside_it(world, watch):
    world.write(
        "parts.py",
        """
        import time
        from dolphin_mp import Component, Output
        class Deaf(Component):
            every = "5ms"
            out = Output("i8")
            def step(self):
                self.out.publish(1)
                while True:
                    try:
                        time.sleep(600)
                    except SystemExit:
                        pass
        """,
    )
    world.toml('[components.deaf]\nrun = "parts:Deaf"\nstop_within = "200ms"\nhang_after = "1h"')
    parent = world.python(UNABLE)
    with world.await_launch() as client:
        watcher = watch(client)
        world.version(client, "deaf.out")
        pid = world.rows(client)["deaf"]["pid"]
        client.request("restart", component="deaf", wait=False)
        event = watcher.until_event(component="deaf", reason="unkillable: restart requested")
        assert (event["state"], event["incarnation"], event["pid"]) == ("stopping", 1, pid)
        client.request("start", component="deaf", wait=False)
        assert world.rows(client)["deaf"]["state"] == "stopping"
        os.kill(pid, signal.SIGKILL)  # it wakes up in the kernel at last
        row = watcher.until(
            lambda rows: rows["deaf"]["incarnation"] == 2 and rows["deaf"]["state"] == "ready"
        )
        assert row["deaf"]["pid"] != pid
        world.version(client, "deaf.out", 1)
        client.request("shutdown", wait=False)
        watcher.until_event(component="deaf", reason="unkillable: shutdown")
        os.kill(world.rows(client)["deaf"]["pid"], signal.SIGKILL)
    assert world.finish(parent) == 0


def test_who_could_not_hear_while_all_was_frozen_is_given_time(world, watch):
    """As `docker pause` does it: parent and component stand still past every deadline of the stop."""
    world.write(
        "parts.py",
        """
        import time
        from dolphin_mp import Component, Output
        class Slow(Component):
            every = "5ms"
            out = Output("i8")
            def step(self):
                self.out.publish(1)
                while not self.stopping:
                    time.sleep(0.001)
            def close(self):
                self.out.publish(2)
                time.sleep(0.5)  # longer than it had left
                self.out.publish(3)
        """,
    )
    world.toml('[components.slow]\nrun = "parts:Slow"\nstop_within = "800ms"')
    parent = world.run_system()
    with world.await_launch() as client:
        watcher = watch(client)
        world.version(client, "slow.out")
        pid = world.rows(client)["slow"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        client.request("stop", component="slow", wait=False)
        watcher.until_state("slow", "stopping")
        parent.send_signal(signal.SIGSTOP)
        frozen_until = time.monotonic() + 1.8
        while (left := frozen_until - time.monotonic()) > 0:
            client.channel("slow.out").wait(1 << 40, left)
        os.kill(pid, signal.SIGCONT)
        parent.send_signal(signal.SIGCONT)
        row = watcher.until_state("slow", "stopped")
        assert row["reason"] == "on request"
        assert client.channel("slow.out").version == 3
        client.shutdown()
    assert world.finish(parent) == 0
