"""Components with schedules as real processes; the shortest period there is, one second."""

import json
import time
from pathlib import Path

from dolphin_mp import Component, Output
from dolphin_mp.paths import schedule_file


class Nightly(Component):
    """Says which of its runs this is, and which incarnation's."""

    out = Output("i8")

    def step(self):
        self.out.publish(self.out.version + 1)


def test_it_runs_by_the_wall_clock_and_its_result_stays_readable_with_its_age(up, world):
    client, _ = up({"n": (Nightly, {"schedule": {"period": "1s"}})})
    world.version(client, "n.out", 1)
    client.stop("n")
    record = client.latest("n.out")
    done_ns = json.loads(Path(schedule_file(world.name, "n")).read_text())["ended_ns"]
    assert done_ns % 10**9 == 0  # on the grid of whole seconds, and not before
    assert done_ns <= time.time_ns() - record.age_s * 1e9 + 1e6
    assert client.latest("n.out").version == record.version
    assert client.latest("n.out").age_s >= record.age_s


def test_one_from_the_start_runs_at_once_and_not_again_after_a_restart(up, world):
    client, watcher = up({"n": (Nightly, {"schedule": {"period": "1h", "aligned": False}})})
    world.version(client, "n.out", 0)
    watcher.until_state("n", "ready")
    client.restart("n")
    watcher.until(lambda rows: rows["n"]["state"] == "ready" and rows["n"]["incarnation"] == 2)
    client.stop("n")
    assert client.latest("n.out").version == 1


def test_what_was_missed_while_the_system_was_down_runs_once(up, world):
    now_ns = time.time_ns()
    # one whose next run is not now
    minutes = next(m for m in (60, 61, 62) if m * 60 - now_ns // 10**9 % (m * 60) > 120)
    hour_ns = minutes * 60 * 10**9
    path = schedule_file(world.name, "n")
    before = {"begun_ns": now_ns - 5 * hour_ns, "ended_ns": now_ns - 5 * hour_ns}
    with_parents(path).write_text(json.dumps({"rule": f"every {minutes * 60} s", **before}))
    client, _ = up(
        {
            "n": (Nightly, {"schedule": {"period": f"{minutes}m", "missed": "run-once"}}),
            "skips": (Nightly, {"schedule": {"period": f"{minutes}m"}}),
        }
    )
    world.version(client, "n.out", 0)
    client.stop("n")
    assert client.latest("n.out").version == 1
    assert client.latest("skips.out") is None
    done = json.loads(with_parents(path).read_text())
    assert done["ended_ns"] == now_ns // hour_ns * hour_ns


def with_parents(path):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return Path(path)


def test_a_run_over_its_deadline_is_killed_told_and_followed_by_another_process(up, world):
    class Endless(Component):
        out = Output("i8")

        def step(self):
            self.out.publish(self.out.version + 1)
            while True:
                self.beat()  # a sign of life is no excuse
                time.sleep(0.01)

    table = {"schedule": {"period": "1h", "aligned": False, "deadline": "300ms"}, "backoff": {"first": "1h"}}
    client, watcher = up({"e": (Endless, table), "n": (Nightly, {"every": "50ms"})})
    neighbour = world.rows(client)["n"]["pid"]
    assert "of 0.3 s" in watcher.until_told("e", "over its deadline")
    watcher.until(lambda rows: rows["e"]["restarts"] >= 1)
    assert world.rows(client)["n"]["pid"] == neighbour
