"""Keeps killing, stopping, hanging and filling things in a random system, and checks it after each blow.

    scripts/chaos --for 60s --seed 7

The seed decides the system and which blow falls on whom in which order; the moments are the machine's.
Everything lives in a folder of its own below the temporary one and is gone afterwards. Exit code 1 tells of a
promise that did not hold; the report says which, and after which blows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import mounts
import proc
from blows import BLOWS, NEED_MOUNTS
from checks import Checks, Effect
from design import random_design
from field import Field
from ledger import Ledger
from observer import Observer
from world import World, kill

from dolphin_mp import Client
from dolphin_mp.client import ClientError
from dolphin_mp.duration import parse_duration

GONE_WITHIN_S = 20.0
LOOK_AT_LOGS_EVERY = 10
ENOUGH = 5  # violations: what follows mostly follows from them


class Run:
    """One run, from the launch of a random system to its end."""

    def __init__(self, seed: int, only: list[str], *, talks: bool) -> None:
        self.ledger = Ledger(seed)
        self.talks = talks
        has_mounts = mounts.go_private()
        self.kinds = {
            kind: weight
            for kind, (_, weight) in BLOWS.items()
            if (not only or kind in only) and (has_mounts or kind not in NEED_MOUNTS)
        }
        design = random_design(random.Random(seed), f"c{secrets.token_hex(3)}")
        self.world = World(design, has_mounts=has_mounts)
        self.field: Field | None = None

    def begin(self) -> None:
        """Launch."""
        done = self.world.launch()
        if done.returncode != 0:
            raise RuntimeError(f"the system can't be launched: {done.stderr}\n{self.world.design.toml()}")
        self._observe()
        self.field = Field(self.world, self.observer, self.checks, self.ledger, self._rebuild)
        self.checks.after(self.checks.before(), Effect("the launch"))

    def _observe(self) -> None:
        self.observer = Observer(self.world.design.name, list(self.world.design.parts), self._fault)
        self.checks = Checks(self.world, self.observer, self.ledger)
        self.observer.start()

    def _fault(self, kind: str, text: str) -> None:
        self.ledger.check(kind, False, text)

    def _end_observer(self) -> None:
        read, lost = self.observer.end()
        self.ledger.checks["records"] += read
        self.ledger.counts["records told as lost"] += lost

    def _rebuild(self) -> None:
        """Look at a system that was launched anew, on new ground."""
        self._end_observer()
        (self.world.home / "dealt").unlink(missing_ok=True)
        self._observe()
        assert self.field is not None
        self.field.observer, self.field.checks = self.observer, self.checks

    def strike(self, number: int) -> None:
        """Deal one blow and look at what follows."""
        assert self.field is not None
        rng = random.Random(f"{self.ledger.seed}:{number}")
        kind = rng.choices(list(self.kinds), list(self.kinds.values()))[0]
        before = self.checks.before()
        self.ledger.blow(kind, "")
        entry = self.ledger.story[-1]
        try:
            effect = BLOWS[kind][0](self.field, rng)
            entry["what"] = effect.text
            entry["back_s"] = round(self.checks.after(before, effect), 3)
            self.ledger.took(kind, entry["back_s"])
            self.checks.revive()
        except (ClientError, OSError, AssertionError, subprocess.TimeoutExpired) as error:
            self.ledger.check("no error", False, f"{kind}: {error!r}\n{traceback.format_exc()}")
        if self.talks:
            print(
                f"{entry['n']:5} {entry['at_s']:8.1f} s  {kind}: {entry['what']}", file=sys.stderr, flush=True
            )
        if number % LOOK_AT_LOGS_EVERY == 0:
            self.checks.files.logs()

    def end(self) -> None:
        """Shut down one way or another; nothing may be left."""
        rng = random.Random(f"{self.ledger.seed}:end")
        way = rng.choice(["command", "client", "SIGTERM", "in the midst of deaths"])
        self.ledger.blow("shutdown", way)
        if way == "command":
            done = self.world.cli("shutdown")
            self.ledger.check("shutdown", done.returncode == 0, done.stderr[-500:])
        elif way == "client":
            with Client(self.world.design.name) as client:
                client.shutdown()
        else:
            kill(self.world.parent, signal.SIGTERM)
            if way != "SIGTERM":
                for row in self.world.rows().values():
                    kill(row["pid"] or 0, rng.choice([signal.SIGKILL, signal.SIGCONT]))
        self._end_observer()
        self.world.let_go()
        self.checks.is_gone(GONE_WITHIN_S)
        self.checks.files.logs()


def chaos(seed: int, for_s: float, blows: int, only: list[str], *, talks: bool) -> Ledger:
    """Run; gives what was done and found."""
    run = Run(seed, only, talks=talks)
    ledger = run.ledger
    try:
        run.begin()
        number = 0
        while ledger.at_s < for_s and number < blows and len(ledger.violations) < ENOUGH:
            number += 1
            run.strike(number)
        run.end()
    except Exception:  # noqa: BLE001 - the report is to come in any case
        ledger.check("the run itself", False, traceback.format_exc())
    finally:
        if ledger.violations:
            keep_evidence(run, ledger)
        left = run.world.end()
        ledger.check("nothing left at all", ledger.violations or not left, ", ".join(left))
    return ledger


def keep_evidence(run: Run, ledger: Ledger) -> None:
    """Print what the parent said and what the system was: the folders go."""
    print(run.world.design.toml(), file=sys.stderr)
    for path in (run.world.base / "state").rglob("output.log"):
        print(path.read_text(errors="replace")[-8000:], file=sys.stderr)


def main() -> int:
    """Run as the arguments say and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--for", dest="for_s", type=parse_duration, default=60.0, metavar="TIME")
    parser.add_argument("--blows", type=int, default=1 << 30, help="at most so many")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 20))
    parser.add_argument("--only", action="append", default=[], metavar="BLOW", choices=sorted(BLOWS))
    parser.add_argument("--json", action="store_true", help="the report as data")
    parser.add_argument("--markdown", action="store_true", help="the report as docs/reliability.md has it")
    parser.add_argument("--quiet", action="store_true", help="no line for each blow")
    arguments = parser.parse_args()
    os.nice(5)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of what ends the world
    proc.become_subreaper()
    ledger = chaos(
        arguments.seed, arguments.for_s, arguments.blows, arguments.only, talks=not arguments.quiet
    )
    if arguments.json:
        print(json.dumps(ledger.data()))
    elif arguments.markdown and not ledger.violations:
        print(ledger.markdown())
    else:
        print(ledger.text())
    return 1 if ledger.violations else 0


if __name__ == "__main__":
    sys.exit(main())
