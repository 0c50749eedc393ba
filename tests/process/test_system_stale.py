"""A component whose producer died knows it at once, and steps again when there is something to step on.

No record here ages: whatever is called stale is so because nobody writes it any more.
"""

import os
import signal
import time

import pytest

from dolphin_mp import Component, Done, Input, Output

LONG = {"backoff": {"first": "10m", "max": "10m"}}


def ticker(last=0):
    """Publish its version; with a last one, that ends it."""

    class Tick(Component):
        every = "5ms"
        out = Output("i8", keep=64)

        def step(self):
            self.out.publish(self.out.version + 1)
            if self.out.version == last:
                raise Done

    return Tick


def reader(every_=None, on_=None, stale_after_="1h", takes_s=0.0):
    """Tell up to which record it has stepped, and where it was told of a death."""

    class Reader(Component):
        every = every_
        on = on_
        tick = Input("tick.out", stale_after=stale_after_, required=True)
        slow = Input("slow.out")
        steps = Output([("version", "i8"), ("epoch", "i8")], keep=64)
        stale = Output("i8", keep=64)

        def step(self):
            now = self.tick.latest()
            time.sleep(takes_s)
            self.steps.publish(version=now.version, epoch=now.epoch)

        def on_stale(self):
            self.stale.publish(self.tick.version)

    return Reader


def launch(up, producer, consumer):
    class Slow(Component):
        every = "1h"
        out = Output("i8")

        def step(self):
            self.out.publish(1)

    return up({"tick": producer, "slow": Slow, "reader": consumer})


def bring_down(world, client, watcher):
    """Kill the producer until it rests for long; gives its last version."""
    for life in (1, 2):
        watcher.until(
            lambda rows, life=life: (rows["tick"]["incarnation"], rows["tick"]["state"]) == (life, "ready")
        )
        world.version(client, "tick.out", client.channel("tick.out").version)
        os.kill(world.rows(client)["tick"]["pid"], signal.SIGKILL)
    watcher.until_state("tick", "backoff")
    return client.channel("tick.out").version


@pytest.mark.parametrize("when", [{}, {"on_": ("slow",)}, {"every_": "1h"}])
def test_the_death_of_a_required_producer_is_told_at_once(up, world, when):
    """Whether the reader steps on its records, on another's or by the clock."""
    client, watcher = launch(up, (ticker(), {"restart": "never"}), reader(**when))
    stale = client.channel("reader.stale")
    world.version(client, "tick.out")
    rows = watcher.until(lambda rows: {row["state"] for row in rows.values()} == {"ready"})
    os.kill(rows["tick"]["pid"], signal.SIGKILL)
    watcher.until_state("tick", "failed")
    last = client.channel("tick.out").version
    while int(stale.latest().value if stale.version else 0) < last:
        world.wait_version(stale, stale.version)
    row = world.rows(client)["reader"]
    assert (row["state"], row["restarts"]) == ("ready", 0)


def test_it_is_told_once_and_steps_again_when_there_is_something_new(up, world):
    client, watcher = launch(up, (ticker(), LONG), reader())
    last = bring_down(world, client, watcher)
    stale, steps = client.channel("reader.stale"), client.channel("reader.steps")
    while int(stale.latest().value if stale.version else 0) < last:
        world.wait_version(stale, stale.version)
    told = stale.version
    client.start("tick")
    while int(steps.latest().value["epoch"]) < 3:
        world.wait_version(steps, steps.version)
    world.wait_version(steps, steps.version + 20)
    assert told in {1, 2}  # the first death may have been mended before it woke
    assert stale.version in {told, told + 1}  # and a start may find no record yet
    client.stop("tick")  # an orderly end is one too
    while int(stale.latest().value) < client.channel("tick.out").version:
        world.wait_version(stale, stale.version)


def test_what_a_producer_left_is_stepped_on_before_its_end_is_told(up, world):
    client, _ = launch(up, ticker(last=20), reader(takes_s=0.4))  # it ends during a step
    assert int(world.record(client, "reader.stale").value) in {0, 20}
    while int(client.latest("reader.stale").value) < 20:
        world.version(client, "reader.stale", client.channel("reader.stale").version)
    assert int(client.latest("reader.steps").value["version"]) == 20


def test_where_nothing_ages_a_record_outlives_its_writer(up, world):
    client, watcher = launch(up, ticker(last=1), reader(every_="5ms", stale_after_=None))
    watcher.until_state("tick", "done")
    stale = client.channel("reader.stale").version
    world.version(client, "reader.steps", client.channel("reader.steps").version + 10)
    assert client.channel("reader.stale").version == stale
