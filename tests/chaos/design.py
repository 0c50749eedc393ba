"""A random system: which components there are, who reads whom, with which policies. The seed decides."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

HANG_AFTER_S = 2.0
BACKOFF = {"first": "100ms", "factor": 2, "max": "1s", "jitter": 0.2, "reset_after": "2s"}
MEMORY_MAX_MIB = 160


@dataclass
class Part:
    """One component.

    Attributes: kind (its class); keys (of its configuration); reads (names); slow (its setup takes long);
    moody (it fails at random); steady (its steps need no input).
    """

    name: str
    kind: str
    keys: dict[str, Any] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    slow: bool = False
    moody: bool = False

    @property
    def instance(self) -> int:
        """Which of a pool it is; -1 outside of one."""
        return int(self.name.partition("@")[2] or -1)

    @property
    def process(self) -> str:
        return str(self.keys.get("process", self.name))

    @property
    def restart(self) -> str:
        return str(self.keys.get("restart", "always"))

    @property
    def steady(self) -> bool:
        return self.kind in {"Spring", "Clock", "Socket"} and "schedule" not in self.keys

    @property
    def may_fail(self) -> bool:
        return self.restart == "never" or "max_restarts" in self.keys


@dataclass
class Design:
    """A system.

    Attributes: name; parts by name, producers first.
    """

    name: str
    parts: dict[str, Part]

    def members(self, process: str) -> list[Part]:
        return [part for part in self.parts.values() if part.process == process]

    def sharers(self, names: set[str]) -> set[str]:
        """Give whose process is that of one of these, themselves included."""
        processes = {self.parts[name].process for name in names}
        return {part.name for part in self.parts.values() if part.process in processes}

    def readers(self, names: set[str]) -> set[str]:
        """Give who reads one of these."""
        return {part.name for part in self.parts.values() if names & set(part.reads)}

    def toml(self) -> str:
        """Give its configuration."""
        lines = ["[system]", f'name = "{self.name}"']
        for part in self.parts.values():
            if part.instance > 0:
                continue
            lines += ["", f"[components.{part.name.partition('@')[0]}]", f'run = "parts:{part.kind}"']
            lines += [f"{key} = {_value(value)}" for key, value in part.keys.items()]
            if part.instance == 0:
                lines.append(f'inputs = {{ job = "{part.reads[0]}.out" }}')
            elif part.reads:
                channels = {key: f"{name}.out" for key, name in zip("ab", part.reads, strict=False)}
                lines.append(f"inputs = {_value(channels)}")
        return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


COMMON = {"hang_after": f"{HANG_AFTER_S:g}s", "stop_within": "4s", "ready_within": "8s"}


def random_guest(rng: Random, name: str) -> Part:
    """Give a component that may come and go."""
    kind, reads = rng.choice([("Spring", ()), ("Reader", ("fast",)), ("Clock", ("plain",))])
    return Part(name, kind, {**COMMON, "backoff": _backoff(rng)}, reads)


def random_design(rng: Random, name: str) -> Design:
    """Give a system of eight to ten components; each has something of its own, the rest is chance."""
    parts: dict[str, Part] = {}

    def add(name: str, kind: str, *reads: str, slow: bool = False, moody: bool = False, **keys: Any) -> None:
        parts[name] = Part(name, kind, {**COMMON, "backoff": _backoff(rng), **keys}, reads, slow, moody)

    add("fast", "Spring", every=f"{rng.choice([5, 10, 20])}ms")
    add("plain", "Socket" if rng.random() < 0.3 else "Spring")
    add("chain", rng.choice(["Reader", "Clock"]), "fast", **_policy(rng))
    add("needy", "Needy", "plain", **_policy(rng))
    add(
        "slow",
        "Clock",
        rng.choice(["fast", "plain"]),
        slow=True,
        options={"setup_s": round(rng.uniform(0.3, 1.2), 2)},
    )
    add("moody", "Spring", moody=True, every="100ms", options={"crash": 0.01})
    add("greedy", "Spring", every="100ms", memory_max=f"{MEMORY_MAX_MIB}MiB")
    add("timed", "Spring", schedule={"period": "1s", "aligned": rng.random() < 0.5})
    policy, backoff = _policy(rng), _backoff(rng)
    for number in range(2):
        add(f"pool@{number}", "Dealt", "plain", instances=2, **policy | {"backoff": backoff})
    for number in range(rng.randrange(2)):
        add(
            f"more{number}",
            "Joiner",
            *rng.sample([name for name in parts if "@" not in name], 2),
            **_policy(rng),
        )
    if rng.random() < 0.7:
        shared = {"process": "house", "backoff": _backoff(rng)}
        add("left", "Spring", every="100ms", **shared)
        add("right", "Spring", every="50ms", **shared)
    return Design(name, parts)


def _backoff(rng: Random) -> dict[str, Any]:
    exotic = {"first": "0s", "factor": 1, "max": "200ms", "jitter": 1.0, "reset_after": "0s"}
    return rng.choice([BACKOFF, BACKOFF, exotic])


def _policy(rng: Random) -> dict[str, Any]:
    return rng.choice(
        [
            {},
            {"restart": "on-failure"},
            {"restart": "never"},
            {"max_restarts": rng.randrange(1, 4), "within": "10s"},
            {"max_restarts": 1, "within": "10s", "on_failed": "restart-readers"},
        ]
    )
