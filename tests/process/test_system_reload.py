"""A running system becomes what its configuration says now, and nothing else of it is disturbed."""

import json
import os
import signal
import sys

import pytest

from dolphin_mp.client import ClientError
from dolphin_mp.ipc import ReplacedError, SegmentMissingError

PARTS = """
import os
from dataclasses import dataclass
from dolphin_mp import Component, Input, Output

class Source(Component):
    every = "20ms"

    @dataclass
    class Options:
        step: int = 1
        dtype: str = "i8"

    out = Output(lambda options: options.dtype, keep=64)

    def setup(self):
        self.count = 0

    def step(self):
        self.count += self.options.step
        self.out.publish(self.count)

class Sum(Component):
    of = Input("source.out")
    total = Output("f8", keep=64)

    def step(self):
        self.total.publish(float(self.of.latest().value))

class Other(Component):
    every = "20ms"
    out = Output("i8", keep=64)

    def step(self):
        self.out.publish(os.getpid())
"""

PLAIN = """
[components.source]
run = "parts:Source"
[components.sum]
run = "parts:Sum"
[components.other]
run = "parts:Other"
"""


@pytest.fixture
def home(world, watch):
    """Give a launched system of a file: (world, client, watcher)."""
    world.write("parts.py", PARTS)
    world.toml(PLAIN)
    parent = world.run_system()
    with world.await_launch() as client:
        watcher = watch(client)
        watcher.until(lambda rows: len(rows) == 3 and all(row["state"] == "ready" for row in rows.values()))
        yield world, client, watcher
        if parent.poll() is None and client.status()["supervised"]:
            client.shutdown()
        world.finish(parent)


def pids(client):
    return {row["name"]: row["pid"] for row in client.status()["components"]}


def test_what_did_not_change_keeps_its_process(home):
    world, client, _ = home
    before = pids(client)
    result = client.reload()
    assert result["kept"] == ["source", "sum", "other"]
    assert not any(result[what] for what in ("added", "removed", "restarted", "retuned"))
    assert pids(client) == before
    world.toml(PLAIN + 'backoff = { first = "7s" }\n')
    result = client.reload()
    assert result["retuned"] == {"other": ["backoff"]}
    assert pids(client) == before


def test_components_come_and_go(home):
    world, client, _ = home
    before = pids(client)
    channel = client.channel("other.out")
    world.toml(PLAIN.replace("components.other", "components.new"))
    result = client.reload()
    assert (result["added"], result["removed"]) == (["new"], ["other"])
    assert [(row["state"], row["reason"]) for row in result["components"]] == [("ready", "")]
    after = pids(client)
    assert set(after) == {"source", "sum", "new"}
    assert (after["source"], after["sum"]) == (before["source"], before["sum"])
    world.wait_gone(before["other"])
    assert world.version(client, "new.out") > 0
    assert channel.retired
    with pytest.raises(SegmentMissingError):
        client.channel("other.out")
    with pytest.raises(ClientError, match="no component 'other'"):
        client.restart("other")
    assert client.restart("new")["state"] == "ready"
    world.toml(PLAIN)
    assert client.reload()["added"] == ["other"]
    assert world.version(client, "other.out") > 0


def test_a_changed_option_restarts_its_component_alone(home):
    world, client, _ = home
    before = pids(client)
    world.toml(PLAIN.replace('run = "parts:Source"', 'run = "parts:Source"\noptions = { step = -1 }'))
    result = client.reload()
    assert result["restarted"] == {"source": ["option step changed"]}
    after = pids(client)
    assert after["source"] != before["source"]
    assert (after["sum"], after["other"]) == (before["sum"], before["other"])
    row = world.rows(client)["source"]
    assert (row["state"], row["restarts"]) == ("ready", 0)
    newest = client.channel("source.out").version
    assert world.record(client, "source.out", more_than=newest).value < 0


def test_a_changed_dtype_replaces_the_channel_under_its_readers(home):
    world, client, _ = home
    before = pids(client)
    world.version(client, "sum.total")
    channel = client.channel("source.out")
    world.toml(PLAIN.replace('run = "parts:Source"', 'run = "parts:Source"\noptions = { dtype = "f4" }'))
    result = client.reload()
    assert result["channels"] == {"made": [], "replaced": {"source.out": "dtype"}, "given_up": []}
    assert result["restarted"]["sum"] == ["reads source.out, whose dtype changes"]
    assert {row["component"]: row["state"] for row in result["components"]} == {
        "source": "ready",
        "sum": "ready",
    }
    after = pids(client)
    assert after["other"] == before["other"]
    assert after["sum"] != before["sum"]
    with pytest.raises(ReplacedError):
        channel.latest()
    assert str(world.record(client, "source.out").value.dtype) == "float32"
    newest = client.channel("sum.total").version
    assert world.version(client, "sum.total", more_than=newest)
    assert all(row["restarts"] == 0 for row in world.rows(client).values())


def test_changed_code_is_a_change_and_is_what_runs_then(home):
    world, client, _ = home
    world.write("apart.py", PARTS)
    world.toml(PLAIN.replace("parts:Sum", "apart:Sum"))
    assert client.reload()["restarted"] == {"sum": ["runs apart:Sum instead of parts:Sum"]}
    before = pids(client)
    world.write("parts.py", PARTS.replace("os.getpid()", "4711"))
    result = client.reload()
    assert result["restarted"] == {"source": ["its code changed"], "other": ["its code changed"]}
    newest = client.channel("other.out").version
    assert int(world.record(client, "other.out", more_than=newest).value) == 4711
    os.kill(pids(client)["other"], signal.SIGKILL)
    newest = client.channel("other.out").version
    assert int(world.record(client, "other.out", more_than=newest + 64).value) == 4711
    assert pids(client)["sum"] == before["sum"]


FAULTS = [
    ('run = "parts:Other"', 'run = "parts:Othre"\nevrey = "1s"', "bad_configuration", ["evrey", "Othre"]),
    ("[components.source]", "[components.sauce]", "bad_configuration", ["source"]),
    ("parts:Other", "crash:Other", "failed", ["ended the process", "SIGSEGV"]),
    ("parts:Other", "large:Other", "failed", ["no room in /dev/shm"]),
]


def test_a_faulty_file_and_a_dry_run_change_nothing(home):
    world, client, _ = home
    before, segments = pids(client), world.segments()
    world.write("crash.py", "import os\nos.kill(os.getpid(), 11)\n")
    large = 'Output("i8", shape=1 << 24, keep=1 << 18)'
    world.write("large.py", PARTS.replace('Output("i8", keep=64)', large))
    for old, new, code, parts in FAULTS:
        world.toml(PLAIN.replace(old, new))
        with pytest.raises(ClientError) as caught:
            client.reload()
        text = "\n".join([str(caught.value), *caught.value.faults])
        assert caught.value.code == code, text
        assert all(part in text for part in parts), text
    world.toml(PLAIN.replace("components.other", "components.new"))
    result = client.reload(dry_run=True)
    assert (result["added"], result["removed"], result["dry_run"]) == (["new"], ["other"], True)
    assert pids(client) == before
    assert world.segments() == segments
    world.toml(PLAIN)
    assert client.reload()["kept"] == ["source", "sum", "other"]


def test_a_shutdown_during_a_reload_wins_and_a_second_one_is_refused(home):
    world, client, watcher = home
    world.write(
        "slow.py",
        PARTS.replace(
            "    def step(self):\n        self.out",
            "    def close(self):\n        import time\n        time.sleep(60)\n\n"
            "    def step(self):\n        self.out",
        ),
    )
    world.toml(PLAIN.replace("parts:Other", "slow:Other") + 'stop_within = "30s"\n')
    client.reload()
    watcher.until_event(event="reload")
    world.toml(PLAIN.replace("components.other", "components.new"))
    first = world.start([sys.executable, "-m", "dolphin_mp.cli", "reload"])
    watcher.until_event(event="state", component="other", state="stopping")
    with pytest.raises(ClientError, match="under way") as caught:
        client.reload()
    assert caught.value.code == "busy"
    parent = client.status()["pid"]
    os.kill(parent, signal.SIGTERM)
    watcher.until_event(event="shutdown", forced=False)
    os.kill(parent, signal.SIGTERM)
    world.wait_gone(parent)
    assert world.finish(first) == 1
    assert "shut down" in first.err.read_text()


def test_the_command_shows_what_it_did(home):
    world, _, _ = home
    world.toml(PLAIN.replace("components.other", "components.new") + 'restart = "never"\n')
    assert world.cli("reload", "--dry-run") == "- other\n+ new\n= source\n= sum\n"
    data = json.loads(world.cli("reload", "dolphin.toml", "--json"))
    assert (data["ok"], data["added"], data["dry_run"]) == (True, ["new"], False)
    world.toml(PLAIN + "colour = 1\n[components.fault]\n")
    refused = world.start([sys.executable, "-m", "dolphin_mp.cli", "reload"])
    assert world.finish(refused) == 2
    checked = world.start(
        [sys.executable, "-m", "dolphin_mp.cli", "check", str(world.folder / "dolphin.toml")]
    )
    assert world.finish(checked) == 2
    assert refused.err.read_text() == checked.err.read_text()


def test_a_hangup_reloads_a_detached_system(world, watch):
    world.write("parts.py", PARTS)
    world.toml(PLAIN)
    world.cli("launch", "--detach")
    with world.await_launch() as client:
        watcher = watch(client)
        world.toml(PLAIN.replace("components.other", "components.new"))
        os.kill(client.status()["pid"], signal.SIGHUP)
        event = watcher.until_event(event="reload")
        assert (event["ok"], event["added"], event["removed"]) == (True, ["new"], ["other"])
        world.toml("[components.fault]\n")
        os.kill(client.status()["pid"], signal.SIGHUP)
        assert watcher.until_event(event="reload")["ok"] is False
        assert set(pids(client)) == {"source", "sum", "new"}
        client.shutdown()


def titled(world, word):
    return [pid for pid in world.strangers() if world.title(pid).startswith(word)]


def zygote_of(world, client, watcher):
    """Give the zygote's pid, once no process on its way to be a spare is called so too."""
    client.restart("other")  # takes a spare, and thus has another parked, of which the watcher hears
    watcher.until_event(event="spares")
    (zygote,) = titled(world, "zygote [")
    return zygote


@pytest.mark.slow
def test_a_start_asked_of_a_zygote_that_stands_still_is_answered_though_a_reload_replaces_it(home):
    world, client, watcher = home
    zygote = zygote_of(world, client, watcher)
    os.kill(zygote, signal.SIGSTOP)
    for spare in titled(world, "spare ["):
        os.kill(spare, signal.SIGKILL)
        world.wait_gone(spare)
    before = pids(client)
    os.kill(before["other"], signal.SIGKILL)
    watcher.until(lambda rows: rows["other"]["state"] == "starting" and not rows["other"]["pid"])
    world.toml(PLAIN + '[components.new]\nrun = "parts:Other"\n')
    assert client.reload()["added"] == ["new"]
    watcher.until(lambda rows: rows["other"]["state"] == "ready" and rows["other"]["pid"] != before["other"])
    world.wait_gone(zygote)
    assert pids(client)["source"] == before["source"]


@pytest.mark.slow
def test_a_stopped_zygote_that_is_replaced_is_gone_though_nobody_waits_for_it(home):
    world, client, watcher = home
    zygote = zygote_of(world, client, watcher)
    os.kill(zygote, signal.SIGSTOP)
    world.toml(PLAIN + '[components.new]\nrun = "parts:Other"\n')
    client.reload()
    world.wait_gone(zygote)


def test_a_system_from_python_has_no_file_to_read_again(up):
    from dolphin_mp import Component, Output

    class Tick(Component):
        every = "10ms"
        out = Output("i8")

        def step(self):
            self.out.publish(1)

    client, _ = up({"tick": Tick})
    with pytest.raises(ClientError, match="not launched from a file") as caught:
        client.reload()
    assert caught.value.code == "no_configuration"
