"""What must hold after each blow."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import proc
from files import Files

if TYPE_CHECKING:
    from ledger import Ledger
    from observer import Observer
    from world import World

BACK_WITHIN_S = 25.0  # hang_after, stop_within, back-off and setup() together, on a machine that is busy
GAP_S = 5.0
STATUS_WITHIN_S = 1.0
BUNDLE_WITHIN_S = 15.0
MORE_DESCRIPTORS, MORE_THREADS, MORE_KIB = 40, 4, 40 << 10
UP = frozenset({"ready"})


@dataclass
class Effect:
    """What a blow may do.

    Attributes: text; touched (components that may get another process); allowed (states of some, else ready);
    gone (pids that must not be those of their components any more); bundles (pids of which a crash bundle
    must come).
    """

    text: str
    touched: set[str] = field(default_factory=set)
    allowed: dict[str, frozenset[str]] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)
    bundles: list[int] = field(default_factory=list)

    def __or__(self, other: Effect) -> Effect:
        return Effect(
            f"{self.text}; {other.text}",
            self.touched | other.touched,
            self.allowed | other.allowed,
            self.gone | other.gone,
            self.bundles + other.bundles,
        )


class Checks:
    """Checks a world after blows; what does not hold goes to the ledger."""

    def __init__(self, world: World, observer: Observer, ledger: Ledger) -> None:
        self.world, self.observer, self.ledger = world, observer, ledger
        self.parts = world.design.parts
        self._told = len(world.notes("faults"))
        self._first: dict[str, int] = {}
        self._first_epochs: dict[str, int] = {}
        self._births: Counter[str] = Counter()
        self.begin_anew(set(self.parts))
        self.files = Files(world.design.name, ledger)
        self.baseline: dict[str, int] = {}
        self._baseline_of = 0

    def begin_anew(self, names: set[str]) -> None:
        """Count processes and claims of these from now on: their rows or channels are new."""
        births = Counter(name for name, *_ in self.world.notes("births"))
        epochs, rows = self.observer.epochs(), self.world.rows()
        for name in names:
            self._births[name] = births[name]
            self._first[name] = rows[name]["incarnation"]
            self._first_epochs[name] = epochs[name]

    # before a blow ------------------------------------------------------------------------------------------

    def before(self) -> dict[str, int | None]:
        """Give the pids before a blow; what moved until now is forgotten."""
        self.observer.gaps()
        self._versions = self.observer.versions()
        return {name: row["pid"] for name, row in self.world.rows().items()}

    # after one ----------------------------------------------------------------------------------------------

    def after(self, before: dict[str, int | None], effect: Effect) -> float:
        """Check everything; gives how long it took until all was well."""
        began = time.monotonic()
        well = self.world.wait(lambda: self._is_well(before, effect), BACK_WITHIN_S)
        took_s = time.monotonic() - began
        self.ledger.check(
            "back", well, f"not all well {took_s:.1f} s after {effect.text}: {self.trouble(before, effect)}"
        )
        self._goes_on(before, effect)
        self._what_components_told()
        self._processes()
        self._board()
        self._epochs()
        self._runs_what_is_configured()
        self._parent_load()
        for pid in effect.bundles:
            found = self.world.wait(lambda pid=pid: pid in self.files.bundles(), BUNDLE_WITHIN_S)
            self.ledger.check("bundle", found, f"no crash bundle of pid {pid} after {effect.text}")
        self.files.look_at_bundles()
        return took_s

    def _is_well(self, before: dict[str, int | None], effect: Effect) -> bool:
        return not self.trouble(before, effect)

    def trouble(self, before: dict[str, int | None], effect: Effect) -> str:
        """Say who is not where it ought to be; nothing if all are."""
        rows = self._rows_in_time()
        found = []
        touched = effect.touched | self._readers_of_failed(rows)
        for name, part in self.parts.items():
            row = rows[name]
            if part.moody:
                continue
            if row["state"] not in effect.allowed.get(name, UP):
                found.append(f"{name} is {row['state']} ({row['reason']})")
            elif row["state"] == "ready" and row["pid"] == effect.gone.get(name, 0):
                found.append(f"{name} has pid {row['pid']} still")
            elif name not in touched and row["pid"] != before[name]:
                found.append(f"{name} had pid {before[name]}, has {row['pid']}: {row['reason']}")
        return ", ".join(found)

    def _readers_of_failed(self, rows: dict[str, dict[str, Any]]) -> set[str]:
        failed = {
            name
            for name, part in self.parts.items()
            if rows[name]["state"] == "failed" and part.keys.get("on_failed") == "restart-readers"
        }
        return self.world.design.readers(failed)

    def _rows_in_time(self) -> dict[str, dict[str, Any]]:
        began = time.monotonic()
        rows = self.world.rows()
        took_s = time.monotonic() - began
        self.ledger.extreme("status_s", took_s)
        self.ledger.check("status in time", took_s < STATUS_WITHIN_S, f"status took {took_s:.2f} s")
        return rows

    def _goes_on(self, before: dict[str, int | None], effect: Effect) -> None:
        """Those that need nobody publish on, and those that were not touched never paused."""
        gaps = self.observer.gaps()
        rows = self.world.rows()
        for name, part in self.parts.items():
            if not part.steady or (rows[name]["state"] != "ready" and not part.moody):
                continue
            version = self.observer.versions()[name]
            came = self.observer.wait_record(name, version, BACK_WITHIN_S)
            self.ledger.check("goes on", came, f"{name} stays at version {version} after {effect.text}")
            if name not in effect.touched and not part.moody and rows[name]["pid"] == before[name]:
                self.ledger.extreme("gap_of_a_neighbour_s", gaps[name])
                self.ledger.check(
                    "cadence",
                    gaps[name] < GAP_S,
                    f"{name} paused {gaps[name]:.1f} s though only {effect.text}",
                )

    def _what_components_told(self) -> None:
        told = self.world.notes("faults")
        for words in told[self._told :]:
            self.ledger.check("never two, all whole", False, " ".join(words))
        self._dealt_once()
        self.ledger.check("never two, all whole", True)
        self._told = len(told)

    def _dealt_once(self) -> None:
        """What goes to a pool goes to one of it, unless it is marked as dealt again."""
        dealt = self.world.notes("dealt")
        first = Counter(version for version, redealt, _ in dealt if redealt == "0")
        twice = [version for version, times in first.items() if times > 1]
        self.ledger.check("dealt once", not twice, f"versions {twice[:5]} went to several of a pool")
        self.ledger.counts["records dealt"] = len(dealt)

    # processes ----------------------------------------------------------------------------------------------

    def _processes(self) -> None:
        """Nobody twice, no zombie, nobody whom nobody knows; each look is repeated before it counts."""
        found: set[str] = set()
        for number in range(40):
            again = self._oddities()
            found = again if number == 0 else found & again
            if not found:
                break
            self.world.rest(0.1)
        self.ledger.check("processes", not found, "; ".join(sorted(found)))

    def _oddities(self) -> set[str]:
        ours = proc.descendants(os.getpid())
        system = self.world.design.name
        known = {part.process for part in self.parts.values()} | {"zygote", "logs", "spare"}
        titles: dict[str, list[int]] = {}
        odd = set()
        kin = set(self.world.kin())
        for one in ours.values():
            word, _, rest = one.title.partition(" [dolphin-mp ")
            if one.state == "Z":
                if one.ppid != os.getpid():
                    odd.add(f"zombie {one.pid} of {one.ppid}")
            elif rest == f"{system}]" and word in known:
                titles.setdefault(word, []).append(one.pid)
            elif one.pid not in self.world.helpers and one.pid not in kin and one.pid != self.world.parent:
                odd.add(f"stranger {one.pid} ({one.title}), child of {one.ppid}")
        for word, pids in titles.items():
            if len(pids) > 1 and word != "spare":
                odd.add(f"{word} runs as {len(pids)} processes")
        return odd

    def _board(self) -> None:
        """A row that is alive names a process that has its title."""

        def disagreements() -> list[str]:
            found = []
            for name, row in self.world.rows().items():
                one = proc.look(row["pid"]) if row["pid"] else None
                title = f"{self.parts[name].process} [dolphin-mp {self.world.design.name}]"
                if row["pid"] and (one is None or one.title != title):
                    found.append(f"{name}: row says pid {row['pid']}, /proc {one}")
                if row["state"] == "ready" and not row["pid"]:
                    found.append(f"{name} is ready without a process")
            return found

        agrees = self.world.wait(lambda: not disagreements(), 3.0)
        self.ledger.check("board and /proc", agrees, "; ".join(disagreements()))

    def _epochs(self) -> None:
        """Each process claims once at most; each that came to setup() has claimed."""
        births = Counter(name for name, *_ in self.world.notes("births"))
        births.subtract(self._births)
        epochs = self.observer.epochs()
        for name, row in self.world.rows().items():
            claims = epochs[name] - self._first_epochs[name]
            most = row["incarnation"] - self._first[name] + 1  # the first may not have claimed at first
            text = f"{name}: {births[name]} births, {claims} claims, {most} processes"
            self.ledger.check("epochs", births[name] <= claims <= most, text)

    def _runs_what_is_configured(self) -> None:
        """Each process was born with the option that the file says now."""
        born = {(name, pid): mark for name, pid, mark in self.world.notes("births")}
        for name, row in self.world.rows().items():
            mark = str(self.parts[name].keys.get("options", {}).get("mark", 0))
            found = born.get((name, str(row["pid"]))) if row["state"] == "ready" else mark
            self.ledger.check("configured", found == mark, f"{name} has mark {found}, not {mark}")

    def _parent_load(self) -> None:
        """The parent's descriptors, threads and memory stay near what they were."""
        parent = self.world.parent
        if self._baseline_of != parent:
            self._baseline_of, self.baseline = parent, proc.load_of(parent)
        more = {"descriptors": MORE_DESCRIPTORS, "threads": MORE_THREADS, "rss_kib": MORE_KIB}
        load = proc.load_of(parent)
        for what, most in more.items():
            self.ledger.extreme(f"parent_{what}", load[what])
            text = f"{what} of the parent: {self.baseline[what]} at first, now {load[what]}"
            self.ledger.check("the parent stays small", load[what] <= self.baseline[what] + most, text)

    def status_command(self) -> None:
        """The command answers, too, and soon; a bare start of Python in the same moment is the measure."""
        began = time.monotonic()
        done = self.world.cli("status", "--json")
        took_s = time.monotonic() - began
        began = time.monotonic()
        self.world.start("-c", "0").wait(30)
        bare_s = time.monotonic() - began
        self.ledger.extreme("status_command_s", took_s)
        good = done.returncode in {0, 1} and json.loads(done.stdout)["system"] == self.world.design.name
        self.ledger.check("status command", good, f"exit {done.returncode}: {done.stderr[-300:]}")
        text = f"`status` took {took_s:.2f} s, a bare Python {bare_s:.2f} s"
        self.ledger.check("status in time", took_s < max(STATUS_WITHIN_S, 20 * bare_s), text)

    # mending ------------------------------------------------------------------------------------------------

    def revive(self) -> None:
        """Start what has come to its end, so that the next blow finds all at work."""
        client = self.world.client
        assert client is not None
        for name, row in self.world.rows().items():
            if row["state"] in {"failed", "done", "stopped"}:
                answer = client.start(name, timeout_s=BACK_WITHIN_S)
                good = answer["state"] == "ready" or self.parts[name].moody
                self.ledger.check("start", good, f"start of {name} gave {answer}")

    def is_gone(self, limit_s: float) -> None:
        """Nothing of the system is left: no process, segment, socket."""
        world = self.world

        def left() -> list[str]:
            alive = [one for one in proc.descendants(os.getpid()).values() if one.state != "Z"]
            return [
                *(
                    f"process {one.pid} ({one.title}), {one.state}, child of {one.ppid}"
                    for one in alive
                    if one.pid not in world.helpers
                ),
                *(f"segment {name}" for name in world.segments()),
                *(f"file {name}" for name in world.sockets()),
            ]

        gone = world.wait(lambda: not left(), limit_s)
        self.ledger.check("nothing left", gone, f"left: {', '.join(left())}")
