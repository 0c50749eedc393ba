"""Blows on zygote, spares, log collector and pipes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from checks import BACK_WITHIN_S, Effect
from world import kill

from dolphin_mp.paths import runtime_folder

if TYPE_CHECKING:
    from random import Random

    from field import Field

ROOMS = 8 << 20


def zygote_killed(on: Field, rng: Random) -> Effect:
    """The zygote dies, with a component before or behind it."""
    victim = on.pick(rng)
    order = rng.choice(["alone", "before", "behind"])
    if order == "alone":
        kill(on.world.zygote, signal.SIGKILL)
        return Effect("SIGKILL to the zygote")
    effect = on.death(f"SIGKILL to the zygote {order} {victim.name}", victim)
    pids = [on.world.zygote, on.pid(victim)]
    for pid in pids if order == "before" else reversed(pids):
        kill(pid, signal.SIGKILL)
        time.sleep(rng.choice([0, 0, rng.uniform(0, 0.02)]))
    return effect


def zygote_stopped(on: Field, rng: Random) -> Effect:
    """The zygote can't work for a while, and somebody dies meanwhile."""
    victim = on.pick(rng)
    effect = on.death(f"SIGKILL to {victim.name} while the zygote is stopped", victim)
    with on.world.stopped(on.world.zygote):
        kill(on.pid(victim), signal.SIGKILL)
        on.world.rest(rng.uniform(0.1, 1.5))
    return effect


def spare_killed(on: Field, rng: Random) -> Effect:
    """Those that are parked die, and a component behind them."""
    spares, victim = on.world.spares, on.pick(rng)
    effect = on.death(f"SIGKILL to {len(spares)} spares and to {victim.name}", victim)
    for pid in [*spares[: rng.randrange(len(spares) + 1)], on.pid(victim)]:
        number = signal.SIGKILL if pid not in spares else rng.choice([signal.SIGKILL, signal.SIGSTOP])
        kill(pid, number)
        if number == signal.SIGSTOP:
            on.frozen.append(pid)
    return effect


def collector_killed(on: Field, rng: Random) -> Effect:
    """The log collector dies; another takes up its work."""
    before = on.world.collector
    kill(before, signal.SIGKILL)
    back = on.world.wait(lambda: on.world.collector not in {0, before}, BACK_WITHIN_S)
    on.ledger.check("collector", back, f"no collector after {before} was killed")
    return Effect("SIGKILL to the log collector")


def collector_stopped(on: Field, rng: Random) -> Effect:
    """The log collector stands still, and one component talks and talks: that holds up nobody."""
    victim = on.alone(rng)
    with on.world.stopped(on.world.collector):
        on.ordered(victim, "flood 20000")
        version = on.observer.versions()[victim.name]
        came = on.observer.wait_record(victim.name, version + 3, BACK_WITHIN_S)
        on.ledger.check("goes on", came, f"{victim.name} stands still, as the collector does")
    return Effect(f"a flood of {victim.name} while the collector is stopped")


def flood(on: Field, rng: Random) -> Effect:
    """A component writes 4 MB, or rubbish comes out of its log pipe."""
    victim = on.alone(rng)
    if rng.random() < 0.5:
        on.ordered(victim, "flood 20000")
        return Effect(f"a flood of {victim.name}")
    path = Path(runtime_folder(on.world.design.name)) / "logs" / f"{victim.process}.out"
    fill(path, rng.choice([b"\xff\x00{[", b"{}\n", b'{"time":1}\n', b"x" * 5000 + b"\n"]), 1 << 18)
    return Effect(f"rubbish in the log pipe of {victim.name}")


def notify_full(on: Field, rng: Random) -> Effect:
    """The FIFO of words is full of rubbish while the parent stands still and somebody dies."""
    victim = on.pick(rng)
    effect = on.death(f"SIGKILL to {victim.name} while notify is full", victim)
    path = Path(runtime_folder(on.world.design.name)) / "notify"
    lie = {
        "component": victim.name,
        "incarnation": 1 << 40,
        "fact": rng.choice(["ready", "done"]),
        "reason": "",
    }
    with on.world.stopped(on.world.parent):
        fill(path, rng.choice([b"\xff\x00", b"{}\n", json.dumps(lie).encode() + b"\n"]), ROOMS)
        kill(on.pid(victim), signal.SIGKILL)
    return effect


def fill(path: Path, piece: bytes, most: int) -> None:
    """Write into a FIFO until it is full."""
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    block = piece * max(1, 4096 // len(piece))
    with contextlib.suppress(BlockingIOError):
        for _ in range(most // len(block)):
            os.write(fd, block)
    os.close(fd)
