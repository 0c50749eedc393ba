"""Where blows fall, and what every one of them needs."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from checks import UP, Effect

from dolphin_mp import Client
from dolphin_mp.client import NotRunningError

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from checks import Checks
    from design import Part
    from ledger import Ledger
    from observer import Observer
    from world import World

DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGTERM)
TAKEN_WITHIN_S = 10.0
ENDED = frozenset({"ready", "done", "failed"})
ROOMS = 8 << 20


@dataclass
class Field:
    """Where blows fall."""

    world: World
    observer: Observer
    checks: Checks
    ledger: Ledger
    rebuild: Callable[[], None]
    held: list[Any] = field(default_factory=list)
    frozen: list[int] = field(default_factory=list)
    adopts: bool = False

    @property
    def client(self) -> Client:
        assert self.world.client is not None
        return self.world.client

    def follow(self, changed: set[str]) -> None:
        """Look at the components as they are now; some have another row, or another channel, than before."""
        if changed:
            self.observer.follow(list(self.world.design.parts))
            self.checks.begin_anew(changed & set(self.world.design.parts))

    def living(self) -> dict[str, int]:
        """Give the pids of the components that live, whoever supervises them."""
        with contextlib.suppress(NotRunningError), Client(self.world.design.name) as client:
            return {row["name"]: row["pid"] for row in client.status()["components"] if row["pid"]}
        return {}

    def pick(self, rng: Random, **facts: Any) -> Part:
        """Choose a component of these facts; not one that fails by itself anyway."""
        parts = [
            part
            for part in self.world.design.parts.values()
            if not part.moody and all(getattr(part, key) == value for key, value in facts.items())
        ]
        return rng.choice(parts)

    def alone(self, rng: Random) -> Part:
        """Choose one that has its process for itself and steps whatever the others do."""
        parts = [
            p
            for p in self.world.design.parts.values()
            if not p.moody and "process" not in p.keys and p.steady
        ]
        return rng.choice(parts)

    def pid(self, part: Part) -> int:
        return self.world.rows()[part.name]["pid"] or 0

    def death(
        self, text: str, *victims: Part, code: int = -9, bundles: bool = True, gone: bool = True
    ) -> Effect:
        """Say what may follow the death of these components' processes; to be called before they die."""
        rows = self.world.rows()
        effect = Effect(text)
        for victim in victims:
            for member in self.world.design.members(victim.process):
                pid = rows[member.name]["pid"] or 0
                effect.touched.add(member.name)
                effect.allowed[member.name] = after_exit(member, code)
                if gone:
                    effect.gone[member.name] = pid
                if bundles and pid and pid not in effect.bundles:
                    effect.bundles.append(pid)
        return effect

    def ordered(self, part: Part, deed: str) -> bool:
        """Have a component do something; tells whether it took the order in time."""
        self.world.order(part.name, deed)
        path = self.world.home / "orders" / part.name
        taken = self.world.wait(lambda: not path.exists(), TAKEN_WITHIN_S)
        path.unlink(missing_ok=True)
        return self.ledger.check("obeys", taken, f"{part.name} did not come to its next step")


def after_exit(part: Part, code: int) -> frozenset[str]:
    """Say in which states a component may be once its process has ended so."""
    if code == 78:
        return frozenset({"failed"})
    if code in {0, -signal.SIGTERM} and part.restart != "always":
        return frozenset({"done"}) if code == 0 else ENDED
    return UP | {"failed"} if part.may_fail else UP
