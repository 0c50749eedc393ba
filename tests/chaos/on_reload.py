"""Blows by way of the configuration: reloads, whole or cut short by the parent's death."""

from __future__ import annotations

import copy
import json
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import proc
from checks import BACK_WITHIN_S, Effect
from design import random_guest
from on_parent import relaunch
from world import kill

if TYPE_CHECKING:
    from random import Random

    from design import Part
    from field import Field

MOST_GUESTS = 3
GONE_S = 15.0
FAULTS = [
    "this is no TOML",
    '[components.fast]\nrun = "parts:Spring"\n',  # a key twice
    '[components.stray]\nrun = "parts:Nowhere"\n',
    '[components.stray]\nrun = "parts:Spring"\ncolour = 1\n',
    '[components.stray]\nrun = "parts:Reader"\ninputs = { a = "nobody.out" }\n',
    '[components.stray]\nrun = "crashing:Part"\n',
]


@dataclass
class Change:
    """What a changed configuration does: who comes, goes, restarts; of whom the channel is another then."""

    text: str
    added: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    restarted: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)

    @property
    def all(self) -> frozenset[str]:
        return frozenset(self.added | self.removed | self.restarted)

    @property
    def renewed(self) -> set[str]:
        """Whose row or channel is another."""
        return self.added | self.removed | self.replaced


def change_at_random(on: Field, rng: Random) -> Change:
    """Change the design in one way or several."""
    kinds = [_option, _every, _policy, _guest, _guest, _words]
    change = Change("")
    for kind in rng.sample(kinds, rng.choice([1, 1, 2, 3])):
        more = kind(on, rng)
        change = Change(
            f"{change.text}, {more.text}".lstrip(", "),
            change.added | more.added,
            change.removed | more.removed,
            change.restarted | more.restarted,
            change.replaced | more.replaced,
        )
    come_and_gone = change.added & change.removed
    change.restarted -= change.added | change.removed
    return Change(
        change.text,
        change.added - come_and_gone,
        change.removed - come_and_gone,
        change.restarted,
        change.replaced - come_and_gone,
    )


def _pick(on: Field, rng: Random, *, pool: bool = False) -> Part:
    parts = on.world.design.parts.values()
    return rng.choice([part for part in parts if not part.moody and (pool or part.instance < 0)])


def _set_option(part: Part, key: str, value: int) -> None:
    part.keys["options"] = {**part.keys.get("options", {}), key: value}


def _option(on: Field, rng: Random) -> Change:
    part = _pick(on, rng)
    _set_option(part, "mark", rng.randrange(1 << 30))
    return Change(f"an option of {part.name}", restarted=on.world.design.sharers({part.name}))


def _every(on: Field, rng: Random) -> Change:
    parts = [part for part in on.world.design.parts.values() if part.kind in {"Spring", "Clock"}]
    part = rng.choice([part for part in parts if not part.moody and "schedule" not in part.keys])
    before, after = part.keys.get("every"), f"{rng.choice([10, 25, 60, 90])}ms"
    part.keys["every"] = after
    names = on.world.design.sharers({part.name}) if before != after else set()
    return Change(f"every of {part.name}", restarted=names)


def _policy(on: Field, rng: Random) -> Change:
    part, stop_within = _pick(on, rng), f"{rng.randrange(3000, 5000)}ms"
    for name in on.world.design.sharers({part.name}):  # who share a process can't say different things
        on.world.design.parts[name].keys["stop_within"] = stop_within
    return Change(f"stop_within of {part.name}")


def _guest(on: Field, rng: Random) -> Change:
    parts = on.world.design.parts
    guests = [name for name in parts if name.startswith("guest")]
    if guests and (len(guests) == MOST_GUESTS or rng.random() < 0.5):
        name = rng.choice(guests)
        del parts[name]
        return Change(f"{name} goes", removed={name})
    name = f"guest{rng.randrange(1000)}"
    if name in parts:
        return Change("nothing")
    parts[name] = random_guest(rng, name)
    return Change(f"{name} comes", added={name})


def _words(on: Field, rng: Random) -> Change:
    """Another dtype: the channel is replaced, and its readers restart."""
    design, part = on.world.design, _pick(on, rng)
    before = part.keys.get("options", {}).get("words", 24)
    _set_option(part, "words", before % 40 + rng.randrange(1, 9))
    touched = design.sharers({part.name} | design.readers({part.name}))
    return Change(f"the dtype of {part.name}.out", restarted=touched, replaced={part.name})


# the blows ------------------------------------------------------------------------------------------------


def reloaded(on: Field, rng: Random) -> Effect:
    """What changed restarts, what did not keeps its process; a changed dtype replaces the channel."""
    before = set(on.world.design.parts)
    rows = on.world.rows()
    trouble = _Trouble(on, rng)
    change = change_at_random(on, rng)
    effect = _effect(on, change, rows) | trouble.effect
    on.observer.expect_change(change.renewed)
    trouble.begin()
    result = _reload(on, rng)
    trouble.end(result)
    said = {key: set(result[key]) for key in ("added", "removed", "restarted")}
    meant = {"added": change.added, "removed": change.removed, "restarted": change.restarted}
    on.ledger.check("reload does what it says", said == meant, f"{change.text}: {said}, not {meant}")
    replaced = {channel.partition(".")[0] for channel in result["channels"]["replaced"]}
    text = f"{change.text}: replaced {replaced}, not {change.replaced & before}"
    on.ledger.check("channels replaced", replaced == change.replaced & before, text)
    gone = change.removed & set(on.world.rows())
    on.ledger.check("removed is gone", not gone, f"{gone} has a row still")
    _follow(on, change)
    return effect


class _Trouble:
    """What befalls the system while it is reloaded: nothing, a death, a zygote that dies or stands still."""

    def __init__(self, on: Field, rng: Random) -> None:
        self._on = on
        self._kind = rng.choice(["", "", "death", "zygote dies", "zygote stops"])
        self._zygote, self._pid = on.world.zygote, 0
        self.effect = Effect(self._kind)
        if self._kind == "death":
            victim = on.pick(rng)
            self._pid = on.pid(victim)
            self.effect = on.death(f"SIGKILL to {victim.name}", victim, bundles=False)

    def begin(self) -> None:
        kill(self._pid, signal.SIGKILL)
        if self._kind.startswith("zygote"):
            kill(self._zygote, signal.SIGKILL if self._kind == "zygote dies" else signal.SIGSTOP)

    def end(self, result: dict[str, Any]) -> None:
        """A zygote that was replaced is gone, also one that stands still."""
        if self._kind != "zygote stops":
            return
        if any(result[key] for key in ("added", "removed", "restarted", "retuned")):
            gone = self._on.world.wait(
                lambda: self._zygote not in proc.children_of(self._on.world.parent), GONE_S
            )
            self._on.ledger.check("zygote replaced", gone, f"zygote {self._zygote} is still there")
        else:
            kill(self._zygote, signal.SIGCONT)


def _reload(on: Field, rng: Random) -> dict[str, Any]:
    """Reload by command or client, once the file is written; a dry run before it changes nothing."""
    on.world.write_configuration()
    if rng.random() < 0.3:
        on.client.reload(dry_run=True)
    if rng.random() < 0.5:
        return on.client.reload()
    done = on.world.cli("reload", "--json")
    on.ledger.check("reload", done.returncode == 0, f"exit {done.returncode}: {done.stdout}{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _effect(on: Field, change: Change, rows: dict[str, Any]) -> Effect:
    effect = Effect(f"reload: {change.text}", set(change.all))
    effect.gone = {name: rows[name]["pid"] or 0 for name in change.restarted}
    return effect


def _follow(on: Field, change: Change) -> None:
    if "plain" in change.replaced:  # its versions begin anew
        (on.world.home / "dealt").unlink(missing_ok=True)
    on.follow(change.renewed)


def reload_of_a_fault(on: Field, rng: Random) -> Effect:
    """A faulty file is refused and changes nothing, and neither does the same file again."""
    good = on.world.write_configuration()
    (on.world.home / "crashing.py").write_text("import os\nos.abort()\n")
    fault = rng.choice(FAULTS)
    on.world.write_configuration(f"{good}\n{fault}")
    done = on.world.cli("reload", "--json")
    on.ledger.check(
        "refused", done.returncode in {1, 2}, f"exit {done.returncode} with {fault!r}: {done.stdout}"
    )
    on.world.write_configuration()
    result = on.client.reload()
    quiet = not (result["added"] or result["removed"] or result["restarted"])
    on.ledger.check("the same is no change", quiet, f"{result}")
    return Effect(f"reload of a faulty file: {fault.splitlines()[-1]}")


def _wait_for_first_stop(on: Field, names: set[str]) -> None:
    """Wait, for 3 s at most, until one of these is about to restart: it takes no longer than milliseconds."""
    limit = time.monotonic() + 3.0
    while names and time.monotonic() < limit:
        rows = on.world.rows()
        if any(rows[name]["state"] != "ready" for name in names):
            return
        time.sleep(0.0005)


def reload_cut_short(on: Field, rng: Random) -> Effect:
    """The parent dies in the midst of a reload; the next launch goes by the new file."""
    rows, design = on.world.rows(), on.world.design
    old = copy.deepcopy(design.parts)
    change = change_at_random(on, rng)
    effect = _effect(on, change, rows)
    on.observer.expect_change(change.renewed)
    on.world.write_configuration()
    while on.frozen:
        kill(on.frozen.pop(), signal.SIGCONT)
    command = on.world.start("-m", "dolphin_mp.cli", "reload")
    if rng.random() < 0.4:
        on.world.rest(rng.uniform(0.1, 1.5))
    else:
        _wait_for_first_stop(on, change.restarted)
        time.sleep(rng.choice([0.0, rng.uniform(0, 0.003), rng.uniform(0, 0.03)]))
    kill(on.world.parent, signal.SIGKILL)
    command.communicate(timeout=BACK_WITHIN_S)
    del on.world.helpers[command.pid]
    on.world.wait(lambda: not on.world.status()["supervised"], 5.0)
    on.world.end_kin()
    effect.text += ", and SIGKILL to the parent in its midst"
    for name in old.keys() & design.parts.keys():
        steady = design.parts[name].steady and name not in change.all
        if steady and not design.parts[name].moody:
            version = on.observer.versions()[name]
            came = on.observer.wait_record(name, version + 2, BACK_WITHIN_S)
            on.ledger.check("goes on without parent", came, f"{name} stands still after {effect.text}")
    effect |= relaunch(on, change.all)
    _follow(on, change)
    return effect
