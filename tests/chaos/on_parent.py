"""Blows on the parent: idle, in the midst of something, in its launch, in its end."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING

import proc
from checks import BACK_WITHIN_S, Effect
from field import ENDED
from world import kill

from dolphin_mp import Client
from dolphin_mp.client import NotRunningError

if TYPE_CHECKING:
    from random import Random

    from field import Field


def parent_stopped(on: Field, rng: Random) -> Effect:
    """The parent stands still for a second; what dies meanwhile comes back, and nobody is called hung."""
    victims = [on.pick(rng) for _ in range(rng.randrange(3))]
    effect = on.death(f"SIGSTOP to the parent, SIGKILL to {[v.name for v in victims]}", *victims)
    with on.world.stopped(on.world.parent):
        for victim in victims:
            kill(on.pid(victim), signal.SIGKILL)
        on.checks.status_command()
        on.world.rest(rng.uniform(0.2, 1.0))
    return effect


def launch_killed(on: Field, rng: Random) -> Effect:
    """The parent dies, and so does the next one, in the midst of its launch; the third launch goes well."""
    effect = Effect("SIGKILL to the parent, and to the next in its launch")
    while on.frozen:
        kill(on.frozen.pop(), signal.SIGCONT)
    kill(on.world.parent, signal.SIGKILL)
    on.world.end_kin()
    on.world.wait(lambda: not on.world.status()["supervised"], 5.0)
    if not on.adopts and on.world.cli("shutdown").returncode != 0:
        on.ledger.check("orphans ended", False, "shutdown of orphans failed")
    launcher = on.world.start("-m", "dolphin_mp.cli", "launch", "dolphin.toml", "--detach", "--json")
    on.world.rest(rng.uniform(0.2, 1.2))
    for child in proc.children_of(launcher.pid):
        kill(child, signal.SIGKILL)
    launcher.communicate(timeout=BACK_WITHIN_S)
    del on.world.helpers[launcher.pid]
    with contextlib.suppress(NotRunningError):
        if (parent := Client(on.world.design.name).status()["pid"]) is not None:
            kill(parent, signal.SIGKILL)
    on.world.wait(lambda: not _is_supervised(on), 5.0)
    return effect | relaunch(on)


def _is_supervised(on: Field) -> bool:
    with contextlib.suppress(NotRunningError), Client(on.world.design.name) as client:
        return bool(client.status()["supervised"])
    return False


def shutdown_killed(on: Field, rng: Random) -> Effect:
    """The parent dies in the midst of its shutdown; the next launch goes well."""
    while on.frozen:
        kill(on.frozen.pop(), signal.SIGCONT)
    on.world.end_kin()
    kill(on.world.parent, signal.SIGTERM)
    on.world.rest(rng.uniform(0, 0.4))
    kill(on.world.parent, signal.SIGKILL)
    on.world.wait(lambda: not _is_supervised(on), 5.0)
    return Effect("SIGKILL to the parent in its shutdown") | relaunch(on)


def parent_killed(on: Field, rng: Random) -> Effect:
    """The parent dies, perhaps in the midst of something; components go on, the next launch has them."""
    victim, midst = on.pick(rng), rng.choice(["idle", "restart", "stop", "death", "orphan dies"])
    effect = on.death(f"SIGKILL to the parent ({midst}, {victim.name})", victim, bundles=False, gone=False)
    if midst in {"restart", "stop"}:
        on.client.request(midst, component=victim.name, wait=False)
        effect.allowed = {name: ENDED | {"stopped"} for name in effect.allowed}
    elif midst == "death":
        kill(on.pid(victim), signal.SIGKILL)
    elif midst == "idle":
        effect = Effect(effect.text)
    while on.frozen:  # a stopped spare can't see that its parent is gone
        kill(on.frozen.pop(), signal.SIGCONT)
    on.world.rest(rng.choice([0, rng.uniform(0, 0.05)]))
    kill(on.world.parent, signal.SIGKILL)
    on.world.wait(lambda: not on.world.status()["supervised"], 5.0)
    on.world.end_kin()  # who is in a session of its own is known to the parent that died alone
    if midst == "orphan dies":
        kill(on.pid(victim), signal.SIGKILL)
    _without_parent(on, effect)
    return effect | relaunch(on)


def _without_parent(on: Field, effect: Effect) -> None:
    """Components publish on, status says how things are, and nobody removes what they stand on."""
    on.checks.status_command()
    status = on.world.status()
    on.ledger.check("unsupervised", not status["supervised"] and status["pid"] is None, f"{status}")
    for name, part in on.world.design.parts.items():
        if part.steady and name not in effect.touched and not part.moody:
            version = on.observer.versions()[name]
            came = on.observer.wait_record(name, version + 2, BACK_WITHIN_S)
            on.ledger.check("goes on without parent", came, f"{name} stands still without a parent")
    refused = on.world.cli("clean")
    on.ledger.check("clean refuses", refused.returncode != 0 or on.world.segments(), refused.stderr[-300:])


def relaunch(on: Field, changed: frozenset[str] = frozenset()) -> Effect:
    """Launch again: what lives and did not change is adopted."""
    pids = {name: pid for name, pid in on.living().items() if name not in changed}
    began = time.monotonic()
    done = on.world.launch()
    on.ledger.extreme("relaunch_s", time.monotonic() - began)
    if done.returncode == 0 and pids:
        on.ledger.counts["adoptions"] += 1
        on.adopts = True
        rows = on.world.rows()
        parts = on.world.design.parts
        lost = [name for name, pid in pids.items() if rows[name]["pid"] != pid and not parts[name].moody]
        on.ledger.check("adopted", not lost, f"not adopted but replaced: {lost}")
        on.ledger.counts["adopted components"] += len(pids)
        on.follow(set(changed))
        return Effect("launched again", touched=set(parts) - set(pids))
    if done.returncode != 0:
        refused = pids and "live on" in done.stderr
        on.ledger.check(
            "launch refused", refused, f"exit {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}"
        )
        ended = on.world.cli("shutdown")
        on.ledger.check("orphans ended", ended.returncode == 0, ended.stderr[-500:])
        on.world.wait(lambda: not on.world.segments(), 5.0)
        done = on.world.launch()
        on.ledger.check("launch", done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:])
    on.rebuild()
    return Effect("launched anew", touched=set(on.world.design.parts))
