"""What a system leaves in files: crash bundles, logs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dolphin_mp.crashes.shelf import MOST_BUNDLES, crashes_folder, names, read_facts
from dolphin_mp.logs.files import files_folder
from dolphin_mp.logs.record import decode

if TYPE_CHECKING:
    from ledger import Ledger


class Files:
    """Bundles and logs of one system, looked at again and again."""

    def __init__(self, system: str, ledger: Ledger) -> None:
        self._system = system
        self._ledger = ledger
        self._bundled: dict[str, int] = {}
        self._logged: dict[str, int] = {}

    def bundles(self) -> set[int]:
        """Give the pids of whom a bundle tells or told."""
        folder = crashes_folder(self._system)
        for name in names(folder):
            if name not in self._bundled and (facts := read_facts(folder / name)) is not None:
                self._bundled[name] = facts["pid"]
        self._ledger.counts["bundles"] = len(self._bundled)
        return set(self._bundled.values())

    def look_at_bundles(self) -> None:
        """There are never many."""
        number = len(names(crashes_folder(self._system)))
        self._ledger.check("bundles bounded", number <= MOST_BUNDLES + 2, f"{number} bundles")

    def logs(self) -> None:
        """Each line of the logs since the last look is a record."""
        folder = Path(files_folder(self._system))
        bad, lines = "", 0
        for path in sorted(folder.glob("*.jsonl")):
            try:
                with path.open("rb") as file:
                    file.seek(self._logged.get(path.name, 0))
                    text = file.read()
            except FileNotFoundError:  # rotated away
                continue
            whole = text[: text.rfind(b"\n") + 1]
            self._logged[path.name] = self._logged.get(path.name, 0) + len(whole)
            for line in whole.splitlines():
                lines += 1
                if decode(line) is None:
                    bad = f"{path.name}: {line[:200]!r}"
        self._ledger.counts["log records read"] += lines
        self._ledger.check("logs", not bad, bad)
