"""A system: from TOML, from Python, or the built-in one; checked as a whole into a plan."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dolphin_mp.faults import ConfigurationError, Faults

if TYPE_CHECKING:
    from dolphin_mp.client import Client
    from dolphin_mp.component import Component
    from dolphin_mp.plan import Plan

    Entry = type[Component] | str | tuple[type[Component] | str, Mapping[str, Any]]

CONFIG_NAME = "dolphin.toml"


class System:
    """Components, their wiring and their policies; `plan` says whether they fit.

    Args:
        name: of the system.
        components: by name a class (or "module:Class"), or that and a table of settings with the keys of
            ``[components.NAME]``; `options` may be an instance of the class's ``Options``.
        orphan: what components do when their parent dies by SIGKILL: "run" on, or "stop".
    """

    def __init__(
        self, name: str, components: Mapping[str, Entry], *, orphan: Literal["run", "stop"] = "stop"
    ) -> None:
        self.name = name
        self.source = f"system {name}"
        self.folder = ""
        self.notes: tuple[str, ...] = ()
        self._orphan = orphan
        self._classes: dict[str, object] = {}
        tables = {key: self._split(key, entry) for key, entry in components.items()}
        self._data: Mapping[str, Any] = {"components": tables}

    @classmethod
    def from_toml(cls, path: Path | str) -> System:
        """Read a system's file; its tables are checked by `plan`.

        Without a name in ``[system]`` a dolphin.toml takes its folder's, another file its own, in lower case.

        Raises:
            ConfigurationError: the file is missing or no TOML.
        """
        from dolphin_mp.checking.tables import read_toml

        path = Path(path)
        data = read_toml(path)
        folder = path.resolve().parent
        table = data.get("system")
        name = table.get("name") if isinstance(table, dict) else None
        default = (folder.name if path.name == CONFIG_NAME else path.stem).lower()
        system = cls(name if isinstance(name, str) else default, {}, orphan="run")
        system.source, system.folder, system._data = str(path), str(folder), data
        return system

    @classmethod
    def builtin_demo(cls) -> System:
        """Give the system named demo: an order book on the built-in market simulator, and what reads it."""
        components: dict[str, Entry] = {
            "ob": ("dolphin_mp.workers.ob:OrderBook", {"options": {"feed": "sim"}}),
            "spread": "dolphin_mp.workers.spread:Spread",
        }
        system = cls("demo", components, orphan="run")
        system.notes = ("the market is simulated: no network is used, and no price is real",)
        return system

    def plan(self) -> Plan:
        """Check everything and give the plan.

        Raises:
            ConfigurationError: with all faults, a line each.
        """
        from dataclasses import replace

        from dolphin_mp.checking.check import check_system
        from dolphin_mp.checking.tables import check_tables
        from dolphin_mp.importing import import_path

        faults = Faults(self.source)
        settings = check_tables(self._data, faults, name=self.name, orphan=self._orphan)
        sys_path = self._import_path()
        with import_path(sys_path):
            plan = check_system(settings, self._classes, faults, folder=self.folder, sys_path=sys_path)
        return replace(plan, notes=(*self.notes, *plan.notes))

    def launch(self, **settings: Any) -> Client:
        """Start the system and give a client; leaving ``with`` on it shuts the system down.

        Takes what `dolphin_mp.client.launch_system` takes.
        """
        from dolphin_mp.client import launch_system

        return launch_system(self, **settings)

    def _split(self, name: str, entry: Entry) -> Any:
        """Give a component's table, and keep its class apart."""
        run, table = entry if isinstance(entry, tuple) and len(entry) == 2 else (entry, {})
        if not isinstance(run, str):
            self._classes[name] = run
            run = ""
        return {**table, "run": run} if isinstance(table, Mapping) else table

    def _import_path(self) -> list[str]:
        if self.folder:
            return [self.folder]
        # What this process can import, its components must find too; "" is the current folder.
        return list(dict.fromkeys(str(Path(entry or ".").resolve()) for entry in sys.path))


def find_system(config: Path | None) -> System:
    """Give the system to launch: of the file or folder named, else of ./dolphin.toml, else the demo.

    Raises:
        ConfigurationError: what is named is missing or no TOML.
    """
    if config is None:
        return System.from_toml(CONFIG_NAME) if Path(CONFIG_NAME).is_file() else System.builtin_demo()
    if config.is_dir():
        config = config / CONFIG_NAME
    if not config.exists():
        raise ConfigurationError([f"{config}: no such file; `dolphin-mp init` writes a dolphin.toml"])
    return System.from_toml(config)
