"""A component's word is lost, and its parent learns what it said all the same."""

import contextlib
import json
import os
import signal

from dolphin_mp import Component, Output


class Counter(Component):
    every = "50ms"
    out = Output("i8")

    def step(self):
        self.out.publish(self.out.version + 1)


def fill(path, piece):
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(fd, piece)
    os.close(fd)


def test_one_that_is_ready_while_the_fifo_is_full_is_known_to_be(up, world):
    client, watcher = up({"c": (Counter, {"ready_within": "4s"})})
    watcher.until_state("c", "ready")
    row = world.rows(client)["c"]
    parent = client.status()["pid"]
    lie = {"component": "c", "incarnation": 1, "fact": "ready", "reason": "x" * 1000}
    os.kill(row["pid"], signal.SIGSTOP)
    os.kill(parent, signal.SIGSTOP)
    fill(world.runtime / "notify", json.dumps(lie).encode() + b"\n" + b"\xff" * 500)
    os.kill(row["pid"], signal.SIGKILL)
    os.kill(parent, signal.SIGCONT)
    watcher.until(lambda rows: rows["c"]["state"] == "ready" and rows["c"]["incarnation"] > 1)
    assert world.rows(client)["c"]["incarnation"] == 2
