"""Blows on file systems: the state folder's is full, or /dev/shm is; both the run's own."""

from __future__ import annotations

import json
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from checks import BACK_WITHIN_S, Effect
from design import random_guest
from on_parent import relaunch
from world import kill

from dolphin_mp.logs.files import files_folder

if TYPE_CHECKING:
    from random import Random

    from design import Part
    from field import Field


def disk_full(on: Field, rng: Random) -> Effect:
    """Neither logs nor bundles can be written: nobody waits for that, and deaths are followed by restarts."""
    assert on.world.state is not None
    victim, talker = on.pick(rng), on.alone(rng)
    effect = on.death(f"a full disk, SIGKILL to {victim.name}", victim, bundles=False)
    with on.world.state.full():
        kill(on.pid(victim), signal.SIGKILL)
        on.ordered(talker, "flood 5000")
        if rng.random() < 0.3:
            effect |= _orphaned(on)
        on.world.rest(rng.uniform(0.2, 2.0))
        on.checks.status_command()
    _writes_again(on, talker)
    return effect


def _writes_again(on: Field, talker: Part) -> None:
    """What is said when there is room again is written down."""
    word = secrets.token_hex(8)
    folder = Path(files_folder(on.world.design.name))

    def is_written() -> bool:
        return any(word in path.read_text(errors="replace") for path in folder.glob(f"{talker.name}.*.jsonl"))

    if on.ordered(talker, f"say {word}"):
        written = on.world.wait(is_written, BACK_WITHIN_S)
        on.ledger.check(
            "logs go on", written, f"{talker.name} is not written down though there is room again"
        )


def shm_full(on: Field, rng: Random) -> Effect:
    """No room for a channel: a reload that needs one is refused and changes nothing; restarts need none."""
    assert on.world.shm is not None
    victim = on.pick(rng)
    effect = on.death(f"a full /dev/shm, SIGKILL to {victim.name}", victim)
    parts = on.world.design.parts
    with on.world.shm.full():
        kill(on.pid(victim), signal.SIGKILL)
        parts["guestless"] = random_guest(rng, "guestless")
        on.world.write_configuration()
        done = on.world.cli("reload", "--json")
        refused = done.returncode == 1 and "no room" in done.stdout + done.stderr
        on.ledger.check("no room is refused", refused, f"exit {done.returncode}: {done.stdout}{done.stderr}")
        del parts["guestless"]
        on.world.write_configuration()
        if rng.random() < 0.3:
            effect |= _orphaned(on)
        back = on.world.wait(
            lambda: on.world.rows()[victim.name]["state"] in {"ready", "failed", "done"}, BACK_WITHIN_S
        )
        on.ledger.check("back without room", back, f"{victim.name} is {on.world.rows()[victim.name]}")
    done = on.world.cli("reload", "--json")
    quiet = done.returncode == 0 and not json.loads(done.stdout)["added"]
    on.ledger.check("room again", quiet, f"exit {done.returncode}: {done.stdout}{done.stderr}")
    return effect


def _orphaned(on: Field) -> Effect:
    """The parent dies, and the next launch finds no room either."""
    while on.frozen:
        kill(on.frozen.pop(), signal.SIGCONT)
    kill(on.world.parent, signal.SIGKILL)
    on.world.wait(lambda: not on.world.status()["supervised"], 5.0)
    on.world.end_kin()
    return Effect("SIGKILL to the parent") | relaunch(on)
