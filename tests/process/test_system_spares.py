"""Spares: a dead component's successor is a process that was parked before."""

import os
import re
import signal
from pathlib import Path

import pytest

from dolphin_mp import Component, Output, System
from dolphin_mp.parent.spares import SPARES
from dolphin_mp.paths import board_name

SOON = {"backoff": {"reset_after": "0s"}}  # each restart comes at once


def teller():
    class Teller(Component):
        every = "1h"
        facts = Output("i8")

        def setup(self):
            self.facts.publish(os.getpid())

        def step(self):
            pass

    return Teller


def parked(world):
    """Give the pids of this system's spares."""
    return {pid for pid in world.strangers() if world.title(pid) == f"spare [dolphin-mp {world.name}]"}


def kinds(pid):
    """Give what a component's descriptors lead to, less its own names and what its pulse opens."""
    links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    return sorted(re.sub(r"/[^/]*$|\d+", "", link) for link in links if not link.startswith("/proc/"))


@pytest.fixture
def filled(up, world):
    """Give a function that launches components and gives (client, watcher, spares), all of them parked."""

    def filled(components):
        client, watcher = up(components)
        client.restart("a")  # takes one, and thus has one parked anew, of which the watcher hears
        watcher.until_event(event="spares")
        while len(found := parked(world)) < SPARES:
            watcher.until_event(event="spares")
        return client, watcher, found

    return filled


def kill(world, client, watcher, name="a", also=()):
    """Kill a component, and others before it; gives its successor's row, once that is ready."""
    row = world.rows(client)[name]
    for pid in (*also, row["pid"]):
        os.kill(pid, signal.SIGKILL)
    return watcher.until(
        lambda rows: rows[name]["restarts"] > row["restarts"] and rows[name]["state"] == "ready"
    )[name]


def test_a_successor_is_a_spare_and_another_is_parked(filled, world):
    client, watcher, spares = filled({"a": (teller(), SOON)})
    for _ in range(2 * SPARES):
        row = kill(world, client, watcher)
        assert row["pid"] in spares
        assert world.title(row["pid"]) == f"a [dolphin-mp {world.name}]"
        assert int(client.latest("a.facts").value) == row["pid"]
        watcher.until_event(event="spares")
        spares = parked(world)
        assert len(spares) == SPARES


MANY_DEATHS = 40  # of one in a few nobody hears before the kernel says so


def test_a_successor_prepares_while_its_predecessor_dies(filled, world):
    client, watcher, _ = filled({"a": (teller(), SOON)})
    for _ in range(MANY_DEATHS):
        watcher.events.clear()
        row = kill(world, client, watcher)
        watcher.until_event(event="spares")
        if row["pid"] in [event["pid"] for event in watcher.events if event["event"] == "heir"]:
            return
    pytest.fail(f"none of {MANY_DEATHS} successors had prepared before")


def test_an_heir_that_is_stopped_is_continued(filled, world):
    client, watcher, _ = filled({"a": (teller(), SOON), "b": executor()})
    before = world.rows(client)["b"]
    os.kill(before["pid"], signal.SIGUSR1)  # it becomes another program, and its line ends
    while Path(f"/proc/{before['pid']}/comm").read_text() != "sleep\n":
        watcher.client.request("ping")  # which the parent answers after it has heard what was before
    watcher.client.request("ping")
    for pid in parked(world):
        os.kill(pid, signal.SIGSTOP)
    os.kill(before["pid"], signal.SIGKILL)
    heir = watcher.until_event(event="heir", process="b")["pid"]
    after = watcher.until(lambda rows: rows["b"]["restarts"] == 1 and rows["b"]["state"] == "ready")["b"]
    assert after["pid"] == heir


def executor():
    """Give a component that becomes another program when it is told to."""

    class Executor(Component):
        every = "1h"

        def setup(self):
            signal.signal(signal.SIGUSR1, lambda *_: os.execv("/bin/sleep", ["sleep", "60"]))

        def step(self):
            pass

    return Executor


def test_a_dead_spare_is_no_successor(filled, world):
    client, watcher, spares = filled({"a": (teller(), SOON)})
    victim, *others = sorted(spares)
    assert kill(world, client, watcher, also=[victim])["pid"] in others
    watcher.until_event(event="spares")
    assert len(parked(world)) == SPARES


def test_without_any_a_successor_is_forked(filled, world):
    client, watcher, spares = filled({"a": (teller(), SOON)})
    row = kill(world, client, watcher, also=spares)
    assert row["pid"] not in spares
    watcher.until_event(event="spares")
    assert len(parked(world)) == SPARES


def test_one_killed_while_it_becomes_the_successor_is_followed_by_another(filled, world):
    client, watcher, spares = filled({"a": (teller(), SOON)})
    for pid in spares:
        os.kill(pid, signal.SIGSTOP)
    before = world.rows(client)["a"]
    os.kill(before["pid"], signal.SIGKILL)
    watcher.until_event(event="state", state="starting", incarnation=before["incarnation"] + 1)
    for pid in spares:
        os.kill(pid, signal.SIGKILL)
    watcher.until(
        lambda rows: rows["a"]["restarts"] == before["restarts"] + 2 and rows["a"]["state"] == "ready"
    )
    assert world.rows(client)["a"]["pid"] not in spares


def test_spares_outlive_the_zygote_that_made_them(filled, world):
    client, watcher, spares = filled({"a": (teller(), SOON)})
    zygote = next(pid for pid in world.strangers() if world.title(pid).startswith("zygote ["))
    assert kill(world, client, watcher, also=[zygote])["pid"] in spares
    watcher.until_event(event="spares")  # which the next zygote has made
    assert len(parked(world)) == SPARES


def test_they_hold_their_system_and_nothing_of_each_other_nor_of_their_rehearsal(filled, world):
    client, watcher, spares = filled({"a": (teller(), SOON), "b": teller()})
    for pid in spares:
        links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
        assert len(links) <= 7, links  # three streams, two of them perhaps opened anew, and these two:
        assert {Path(link).name for link in links if world.name in link} == {"notify", board_name(world.name)}
        assert len([link for link in links if link.startswith("socket:")]) == 1, links
        assert not any("anon_inode" in link for link in links), links
        assert world.stat(pid)[1] == client.status()["pid"]
        assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 2  # the other one holds its line
    assert not list(world.runtime.glob("spare*"))
    pid = kill(world, client, watcher)["pid"]
    assert kinds(pid) == kinds(world.rows(client)["b"]["pid"])  # which was forked, not parked


def deaf(folder):
    """Give a component whose process ends as a file says that it should, for a cause that none foresees."""

    class Deaf(Component):
        every = "5ms"

        def step(self):
            way = Path(folder, "way")
            if way.exists():
                text = way.read_text()
                way.unlink()
                raise SystemExit(int(text))

    return Deaf


@pytest.mark.parametrize("code", [0, 78])
def test_one_that_prepared_in_vain_leaves_nothing(filled, world, code):
    client, watcher, spares = filled(
        {"a": (teller(), SOON), "b": (deaf(str(world.folder)), {"restart": "on-failure"})}
    )
    before = world.rows(client)["b"]
    way = Path(world.folder, "way")
    way.with_suffix(".new").write_text(str(code))
    way.with_suffix(".new").rename(way)
    watcher.until(lambda rows: rows["b"]["state"] == ("failed" if code else "done"))
    watcher.until_event(event="spares")  # in the place of the one that was let go
    assert len(parked(world)) == SPARES
    for pid in spares - parked(world):
        world.wait_gone(pid)
    assert not list((world.runtime / "crash").glob(f"b.{before['incarnation'] + 1}"))
    assert client.start("b")["state"] == "ready"


def test_they_end_with_the_parent(world):
    with System(world.name, {"a": teller()}, orphan="stop").launch(detach=True) as client:
        parent = client.status()["pid"]
        client.restart("a")
        spares = parked(world)
        os.kill(parent, signal.SIGKILL)
        for pid in spares | parked(world):
            world.wait_gone(pid)
    world.cli("shutdown", "--system", world.name)


def test_a_component_that_is_not_preloaded_is_first_imported_in_its_own_process(world, watch):
    world.write(
        "apart.py",
        """
        import os
        IMPORTED_BY = os.getpid()
        from dolphin_mp import Component, Output
        class Apart(Component):
            every = "1h"
            by = Output("i8")
            def setup(self):
                self.by.publish(IMPORTED_BY)
            def step(self):
                pass
        """,
    )
    world.write("shared.py", Path("apart.py").read_text().replace("Apart", "Shared"))
    world.toml(
        """
        [components.apart]
        run = "apart:Apart"
        preload = false
        [components.shared]
        run = "shared:Shared"
        """
    )
    process = world.run_system()
    with world.await_launch() as client:
        watcher = watch(client)
        watcher.until(lambda rows: {row["state"] for row in rows.values()} == {"ready"})
        for _ in range(2):
            rows = world.rows(client)
            assert int(client.latest("apart.by").value) == rows["apart"]["pid"]
            assert int(client.latest("shared.by").value) != rows["shared"]["pid"]
            client.restart("apart")
        client.shutdown()
    assert world.finish(process) == 0


def test_a_folder_that_is_moved_away_holds_up_no_restart(filled, world):
    client, watcher, spares = filled({"a": (teller(), SOON)})
    moved = world.folder.with_name("moved")
    world.folder.rename(moved)
    try:
        assert kill(world, client, watcher)["pid"] in spares
        watcher.until_event(event="spares")  # one of them new
        assert kill(world, client, watcher, also=parked(world))["state"] == "ready"
    finally:
        moved.rename(world.folder)
