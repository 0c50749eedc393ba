"""What a run has done and found: blows, checks, violations; as text and as data."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

STORY = 12  # how many of the last blows a violation tells


@dataclass
class Ledger:
    """Counts and the story so far; may be used by several threads.

    Attributes: seed; blows, checks (numbers by kind); violations; story (each blow with its time); back_s
    (how long it took until all was well, by kind of blow); extremes (the largest of each thing measured);
    counts (of whatever else).
    """

    seed: int
    began: float = field(default_factory=time.monotonic)
    blows: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    violations: list[dict[str, Any]] = field(default_factory=list)
    story: list[dict[str, Any]] = field(default_factory=list)
    back_s: dict[str, list[float]] = field(default_factory=dict)
    extremes: dict[str, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def at_s(self) -> float:
        return round(time.monotonic() - self.began, 3)

    def blow(self, kind: str, text: str) -> None:
        """Note a blow."""
        self.blows[kind] += 1
        self.story.append({"n": len(self.story) + 1, "at_s": self.at_s, "blow": kind, "what": text})

    def check(self, kind: str, is_so: object, text: str = "") -> bool:
        """Count a check, and a violation if it is not so; gives whether it was."""
        with self._lock:
            self.checks[kind] += 1
            if not is_so:
                found = {"at_s": self.at_s, "check": kind, "what": text, "story": self.story[-STORY:]}
                self.violations.append(found)
        return bool(is_so)

    def took(self, kind: str, seconds: float) -> None:
        """Note how long it took until all was well after a blow."""
        self.back_s.setdefault(kind, []).append(seconds)

    def extreme(self, what: str, value: float) -> None:
        """Note a measured value if it is the largest so far."""
        self.extremes[what] = max(self.extremes.get(what, 0.0), round(value, 3))

    def data(self) -> dict[str, Any]:
        """Give everything as data for programs."""
        back = {
            kind: {"median_s": round(sorted(all_s)[len(all_s) // 2], 3), "longest_s": round(max(all_s), 3)}
            for kind, all_s in sorted(self.back_s.items())
        }
        return {
            "seed": self.seed,
            "seconds": self.at_s,
            "blows": dict(sorted(self.blows.items())),
            "checks": dict(sorted(self.checks.items())),
            "back": back,
            "extremes": dict(sorted(self.extremes.items())),
            "counts": dict(sorted(self.counts.items())),
            "violations": self.violations,
            "story": self.story,
        }

    def markdown(self) -> str:
        """Give what docs/reliability.md says of a run: the table of blows, and the numbers below it."""
        data = self.data()
        counts, extremes = data["counts"], data["extremes"]
        lines = [
            f"{sum(self.blows.values()):,} blows in {self.at_s:,.0f} s with `--seed {self.seed}`.",
            "",
            "| blow | times | all well again after, median | longest |",
            "| --- | --- | --- | --- |",
        ]
        for kind, number in data["blows"].items():
            back = data["back"].get(kind)
            times = f"{back['median_s']:.2f} s | {back['longest_s']:.2f} s" if back else "|"
            lines.append(f"| {kind} | {number:,} | {times} |")
        lines += [
            "",
            f"{sum(self.checks.values()):,} checks, {self.checks['records']:,} of them records read whole,",
            f"in order and without a gap that was not told. Violations: {len(self.violations)}.",
            "",
            "| counted, or the largest measured | |",
            "| --- | --- |",
            *(f"| {what.replace('_', ' ')} | {value:,} |" for what, value in {**counts, **extremes}.items()),
        ]
        return "\n".join(lines)

    def text(self) -> str:
        """Give everything for people."""
        data = self.data()
        lines = [f"{sum(self.blows.values())} blows in {self.at_s:.0f} s with --seed {self.seed}", ""]
        for kind, number in data["blows"].items():
            back = data["back"].get(kind)
            rest = (
                f"  all well after {back['median_s']:.2f} s, at most {back['longest_s']:.2f} s"
                if back
                else ""
            )
            lines.append(f"  {kind:24} {number:5}{rest}")
        lines += ["", f"{sum(self.checks.values())} checks"]
        lines += [f"  {kind:24} {number:5}" for kind, number in data["checks"].items()]
        lines += [
            "",
            *(f"  {what:24} {value:g}" for what, value in {**data["counts"], **data["extremes"]}.items()),
        ]
        lines += ["", f"{len(self.violations)} violations"]
        for found in self.violations:
            lines += ["", f"  {found['at_s']:.1f} s  {found['check']}: {found['what']}"]
            lines += [
                f"    {one['n']:4} {one['at_s']:8.1f} s  {one['blow']}: {one['what']}"
                for one in found["story"]
            ]
        return "\n".join(lines)
