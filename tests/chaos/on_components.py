"""Blows on components: signals at any moment, hangs, misdeeds of their own."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import proc
from checks import BACK_WITHIN_S, Effect
from field import DEADLY, TAKEN_WITHIN_S
from world import kill

if TYPE_CHECKING:
    from random import Random

    from field import Field


def killed(on: Field, rng: Random) -> Effect:
    """A signal that kills, at a random moment."""
    victim, number = on.pick(rng), rng.choice(DEADLY)
    on.world.rest(rng.uniform(0, 0.1))
    effect = on.death(
        f"{number.name} to {victim.name}", victim, code=-number, bundles=number != signal.SIGTERM
    )
    kill(on.pid(victim), number)
    return effect


def killed_at_birth(on: Field, rng: Random) -> Effect:
    """One is killed, and so are its successors as soon as they are there."""
    victim, times = on.pick(rng), rng.randrange(1, 4)
    effect = on.death(f"SIGKILL to {victim.name} and {times} newborn", victim)
    process, system = victim.process, on.world.design.name
    titles = (
        f"{process} [dolphin-mp {system}]",
        f"zygote [dolphin-mp {system}]",
        f"spare [dolphin-mp {system}]",
    )
    known = set(proc.children_of(on.world.parent))
    kill(on.pid(victim), signal.SIGKILL)
    limit = time.monotonic() + 4.0
    while times and time.monotonic() < limit:
        for pid in set(proc.children_of(on.world.parent)) - known:
            delay_s = rng.choice([0.0, rng.uniform(0, 0.004), rng.uniform(0, 0.03)])
            time.sleep(delay_s)
            one = proc.look(pid)
            if one is not None and one.title.startswith(titles) and pid != on.world.zygote:
                kill(pid, rng.choice([signal.SIGKILL, signal.SIGABRT]))
                times -= 1
            known.add(pid)
        time.sleep(0.0005)
    return effect


def killed_in_setup(on: Field, rng: Random) -> Effect:
    """The slow one dies while it sets up."""
    victim = on.pick(rng, slow=True)
    effect = on.death(f"SIGKILL to {victim.name}, then in its setup", victim)
    first = on.pid(victim)
    kill(first, signal.SIGKILL)

    def second() -> int:
        row = on.world.rows()[victim.name]
        return row["pid"] if row["state"] == "starting" and row["pid"] not in {None, first} else 0

    if on.world.wait(second, 10.0) and (pid := second()):
        on.world.rest(rng.uniform(0, 0.3))
        if kill(pid, rng.choice(DEADLY[:3])):
            effect.bundles.append(pid)
            effect.gone[victim.name] = pid
    return effect


def many_killed(on: Field, rng: Random) -> Effect:
    """Several at once, the zygote with them by half."""
    processes = sorted({part.process for part in on.world.design.parts.values() if not part.moody})
    chosen = rng.sample(processes, rng.randrange(3, len(processes) + 1))
    victims = [on.world.design.members(process)[0] for process in chosen]
    effect = on.death(f"SIGKILL to {', '.join(chosen)} at once", *victims)
    pids = [on.pid(victim) for victim in victims]
    if rng.random() < 0.5:
        effect.text += " and the zygote"
        pids.insert(rng.randrange(len(pids) + 1), on.world.zygote)
    for pid in pids:
        kill(pid, signal.SIGKILL)
    return effect


def stopped(on: Field, rng: Random) -> Effect:
    """SIGSTOP: found hung, killed, restarted."""
    victim = on.pick(rng)
    effect = on.death(f"SIGSTOP to {victim.name}", victim)
    kill(on.pid(victim), signal.SIGSTOP)
    return effect


def misdeed(on: Field, rng: Random) -> Effect:
    """A component does itself what ends it: hangs, deadlocks, raises, exits, crashes."""
    deeds = ["hang-in-c", "deadlock", "fail", "exit 0", "exit 1", "exit 75", "exit 78"]
    victim, deed = on.pick(rng), rng.choice([*deeds, *(f"crash {number:d}" for number in DEADLY[:4])])
    word, _, number = deed.partition(" ")
    if word == "exit" and "process" in victim.keys:
        deed, word = "fail", "fail"
    code = int(number) if word == "exit" else 1
    effect = on.death(f"{victim.name} told to {deed}", victim, code=code, bundles=code != 0)
    if not on.ordered(victim, deed):
        return effect
    return effect


def stubborn(on: Field, rng: Random) -> Effect:
    """A component that heeds neither the asking nor SIGTERM is gone within `stop_within` all the same."""
    victim = on.alone(rng)
    effect = on.death(f"stop of {victim.name}, which does not listen", victim, bundles=False)
    on.ordered(victim, "stubborn")
    began = time.monotonic()
    on.client.stop(victim.name, timeout_s=BACK_WITHIN_S)
    on.ledger.extreme("stop_of_a_stubborn_s", time.monotonic() - began)
    row = on.world.rows()[victim.name]
    on.ledger.check("stopped is gone", row["pid"] is None, f"{victim.name} after its stop: {row}")
    on.client.start(victim.name, timeout_s=BACK_WITHIN_S)
    return effect


def failing_setup(on: Field, rng: Random) -> Effect:
    """One dies, and its successor can't set up."""
    victim, deed = on.pick(rng), rng.choice(["fail", "exit 75", "hang-in-c", "crash 11", "crash 9"])
    effect = on.death(f"SIGKILL to {victim.name}, {deed} in its next setup", victim)
    on.world.order(victim.name, deed, setup=True)
    kill(on.pid(victim), signal.SIGKILL)
    order = on.world.home / "orders" / f"{victim.name}.setup"
    if not on.world.wait(lambda: not order.exists(), TAKEN_WITHIN_S):
        failed = on.world.rows()[victim.name]["state"] == "failed"
        on.ledger.check("obeys", failed and victim.may_fail, f"{victim.name} did not come to its setup")
    order.unlink(missing_ok=True)
    return effect


def crash_loop(on: Field, rng: Random) -> Effect:
    """One fails at each start for a while; that costs its neighbours nothing, and the parent little."""
    victim, deed = on.pick(rng), rng.choice(["fail", "abort"])
    effect = on.death(f"{victim.name} told to {deed} at each start", victim, bundles=False)
    path, seconds = on.world.home / "orders" / f"{victim.name}.loop", rng.uniform(1.5, 5.0)
    before, load = on.world.rows()[victim.name]["incarnation"], proc.cpu_s(on.world.parent)
    path.write_text(deed)
    kill(on.pid(victim), signal.SIGKILL)
    began = time.monotonic()
    on.world.rest(seconds)
    load = (proc.cpu_s(on.world.parent) - load) / (time.monotonic() - began)
    on.ledger.counts["crashes in loops"] += on.world.rows()[victim.name]["incarnation"] - before
    on.ledger.extreme("parent_cpu_in_a_crash_loop", load)
    path.unlink()
    return effect


def writer_killed(on: Field, rng: Random) -> Effect:
    """The process that writes a crash bundle dies over it."""
    victim = on.pick(rng)
    effect = on.death(f"SIGKILL to {victim.name} and to who writes its bundle", victim, bundles=False)
    kill(on.pid(victim), signal.SIGKILL)
    limit = time.monotonic() + 2.0
    while time.monotonic() < limit:
        for pid in proc.children_of(on.world.parent):
            one = proc.look(pid)
            if one is not None and "crashes.writer" in one.title:
                time.sleep(rng.uniform(0, 0.1))
                kill(pid, signal.SIGKILL)
                return effect
        time.sleep(0.001)
    return effect


def gluttony(on: Field, rng: Random) -> Effect:
    """A component takes more memory than it may."""
    victim = on.world.design.parts["greedy"]
    effect = on.death("greedy told to eat 300 MiB", victim)
    on.ordered(victim, "eat 300")
    return effect


def kin(on: Field, rng: Random) -> Effect:
    """A component with a child of its own dies; a child in its group dies with it."""
    victim, session = on.alone(rng), rng.choice(["own", "fork", "group"])
    before = set(on.world.kin())
    on.ordered(victim, f"beget {session}")
    on.world.wait(lambda: set(on.world.kin()) - before, 5.0)
    born = set(on.world.kin()) - before
    effect = on.death(f"SIGKILL to {victim.name} with a child in {session}", victim)
    kill(on.pid(victim), signal.SIGKILL)
    if session == "group":
        gone = on.world.wait(lambda: not born & set(on.world.kin()), 10.0)
        on.ledger.check("no orphan", gone, f"children {born} of {victim.name} live on")
    return effect
