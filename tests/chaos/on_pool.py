"""A pool is scaled while records are dealt to it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from checks import BACK_WITHIN_S, Effect
from on_parent import relaunch
from world import kill

from dolphin_mp.client import ClientError

if TYPE_CHECKING:
    from random import Random

    from field import Field

POOL = "pool"


def scaled(on: Field, rng: Random) -> Effect:
    """A pool grows and shrinks while records are dealt to it: none is left out, none handled twice."""
    parts = on.world.design.parts
    names = {f"{POOL}@{number}" for number in range(6)}
    on.observer.expect_change(names)
    first, lost = on.client.channel("plain.out").version + 1, _lost(on)
    sizes = [rng.randrange(1, 6) for _ in range(rng.randrange(1, 4))]
    sturdy = not parts[f"{POOL}@0"].may_fail
    for size in sizes:
        _scale(on, rng, size)
        if sturdy and rng.random() < 0.4:
            row = on.world.rows()[f"{POOL}@{rng.randrange(size)}"]
            kill(row["pid"] or 0, signal.SIGKILL)
        on.world.rest(rng.uniform(0, 0.5))
    cut_short = rng.random() < 0.25
    effect = Effect(f"scale {POOL} to {sizes}{' and SIGKILL to the parent' * cut_short}", set(names))
    if cut_short:
        while on.frozen:
            kill(on.frozen.pop(), signal.SIGCONT)
        on.client.request("scale", pool=POOL, instances=rng.randrange(1, 6), wait=False)
        on.world.rest(rng.uniform(0, 0.3))
        kill(on.world.parent, signal.SIGKILL)
        on.world.wait(lambda: not on.world.status()["supervised"], 5.0)
        on.world.end_kin()
        effect |= relaunch(on, frozenset(names))
    else:
        _scale(on, rng, 2)
    on.follow(names)
    if _lost(on) <= lost and sturdy:
        _none_left_out(on, first, effect)
    return effect


def _scale(on: Field, rng: Random, size: int) -> None:
    if rng.random() < 0.3:
        done = on.world.cli("scale", POOL, str(size))
        on.ledger.check("scale", done.returncode == 0, f"exit {done.returncode}: {done.stderr}")
    else:
        try:
            on.client.scale(POOL, size, timeout_s=BACK_WITHIN_S)
        except ClientError as error:
            on.ledger.check("scale", False, f"to {size}: {error}")
            return
    there = {name for name in on.world.rows() if name.startswith(f"{POOL}@")}
    meant = {f"{POOL}@{number}" for number in range(size)}
    on.ledger.check("scale does what it says", there == meant, f"{size} were asked for, there are {there}")


def _lost(on: Field) -> int:
    return sum(row["lost"] for name, row in on.world.rows().items() if name.startswith(f"{POOL}@"))


def _none_left_out(on: Field, first: int, effect: Effect) -> None:
    """Each record since then was dealt to somebody."""
    last = on.client.channel("plain.out").version
    wanted = set(range(first, last + 1))

    def missing() -> list[int]:
        return sorted(wanted - {int(version) for version, *_ in on.world.notes("dealt")})

    came = on.world.wait(lambda: not missing(), BACK_WITHIN_S)
    on.ledger.check(
        "none left out", came, f"{missing()[:5]} of {first} to {last} were dealt to nobody: {effect.text}"
    )
    on.ledger.counts["records dealt while it was scaled"] += len(wanted)
