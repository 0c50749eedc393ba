"""What is known of a schedule's runs across restarts and downtime: a small file in the state folder.

Neither the board nor the channels will do: both are gone after an orderly stop. The file is replaced, never
changed, so that no death leaves half of one; it is not forced to the disk, so that after a loss of power it
may be an older one.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from logging import Logger


class Runs(NamedTuple):
    """The dues, ns of UTC, of the last run that was begun and of the last that was ended."""

    begun_ns: int | None = None
    ended_ns: int | None = None


class RunBook:
    """Keeps one component's runs.

    Args:
        path: of the file.
        rule: the schedule's text; what was written under another one says nothing about this one.
        log: hears once if the file can't be written; the schedule goes on.
    """

    def __init__(self, path: str, rule: str, log: Logger) -> None:
        self._path = path
        self._rule = rule
        self._log = log
        self._is_writable = True
        self.runs = self._read()

    def begin(self, due_ns: int) -> None:
        """Note that a run begins."""
        self._write(self.runs._replace(begun_ns=due_ns))

    def end(self, due_ns: int) -> None:
        """Note that the runs up to this due are done with."""
        self._write(Runs(due_ns, due_ns))

    def _read(self) -> Runs:
        try:
            with open(self._path, encoding="utf-8") as file:  # noqa: PTH123 - a child imports no pathlib for it
                data = json.load(file)
            runs = Runs(data["begun_ns"], data["ended_ns"])
            known = data["rule"] == self._rule and all(type(ns) in {int, type(None)} for ns in runs)
        except FileNotFoundError:
            return Runs()
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._log.warning("%s says nothing of earlier runs: %s", self._path, type(error).__name__)
            return Runs()
        return runs if known else Runs()

    def _write(self, runs: Runs) -> None:
        self.runs = runs
        if not self._is_writable:
            return
        folder, name = os.path.split(self._path)
        fresh = f"{folder}/.{name}.new"
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103
            with open(fresh, "w", encoding="utf-8") as file:  # noqa: PTH123
                json.dump({"rule": self._rule, **runs._asdict()}, file)
            os.replace(fresh, self._path)  # noqa: PTH105
        except OSError as error:
            self._is_writable = False
            self._log.warning("runs missed in downtime will not be known: %s: %s", folder, error.strerror)
