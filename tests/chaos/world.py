"""A system in a world of its own: private folders, its processes, orders to its components, its end."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import proc
from mounts import Small

from dolphin_mp import Client
from dolphin_mp.ipc.folder import FOLDER
from dolphin_mp.paths import runtime_folder, segment_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from design import Design

ROOT = Path(__file__).resolve().parents[2]
COMMAND_LIMIT_S = 60.0
TICK_S = 0.02


class World:
    """One system's surroundings.

    Attributes: design; base (of all its folders); home (configuration, orders, notes); parent, zygote,
    collector (pids); helpers (processes of ours); state, shm (file systems of its own, if it may have any).
    """

    def __init__(self, design: Design, *, has_mounts: bool = False) -> None:
        self.design = design
        self.base = Path(tempfile.gettempdir()) / f"dm-chaos-{secrets.token_hex(4)}"
        self.home = self.base / "home"
        for folder in ("run", "state", "home/orders", "home/locks"):
            (self.base / folder).mkdir(mode=0o700, parents=True)
        self.state = Small(self.base / "state") if has_mounts else None
        self.shm = Small(Path(FOLDER)) if has_mounts else None
        os.environ.update(
            XDG_RUNTIME_DIR=str(self.base / "run"),
            XDG_STATE_HOME=str(self.base / "state"),
            CHAOS_HOME=str(self.home),
            PYTHONPATH=str(ROOT),
            PYTHONDONTWRITEBYTECODE="1",
        )
        shutil.copy(Path(__file__).with_name("parts.py"), self.home)
        self.write_configuration()
        self.helpers: dict[int, subprocess.Popen[str]] = {}
        self.client: Client | None = None
        self.parent = 0
        self.between: list[Callable[[], None]] = []

    def write_configuration(self, text: str | None = None) -> str:
        """Write the file that the system is launched from; the design's, if it is not said; gives it."""
        text = self.design.toml() if text is None else text
        (self.home / "dolphin.toml").write_text(text)
        return text

    # commands -----------------------------------------------------------------------------------------------

    def start(self, *command: str, **settings: Any) -> subprocess.Popen[str]:
        """Start a process of ours; it is ended with the world."""
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
        helper = subprocess.Popen(
            [sys.executable, *command], cwd=self.home, text=True, stdin=subprocess.DEVNULL, **settings
        )
        self.helpers[helper.pid] = helper
        return helper

    def cli(self, *args: str, limit_s: float = COMMAND_LIMIT_S) -> subprocess.CompletedProcess[str]:
        """Run a command of dolphin-mp to its end; raises TimeoutExpired."""
        helper = self.start("-m", "dolphin_mp.cli", *args)
        try:
            out, err = helper.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            helper.kill()
            helper.communicate()
            raise
        finally:
            del self.helpers[helper.pid]
        return subprocess.CompletedProcess(args, helper.returncode, out, err)

    def launch(self) -> subprocess.CompletedProcess[str]:
        """Launch the system, detached; then hold on to it if that went well."""
        done = self.cli("launch", "dolphin.toml", "--detach", "--json")
        if is_json(done.stdout) and "states" in json.loads(done.stdout):
            done.returncode = 0  # it said that something is in trouble, as it may be
            self.hold()
        return done

    def hold(self) -> None:
        """Attach to the system that runs."""
        self.let_go()
        self.client = Client(self.design.name)
        self.parent = int(self.client.status()["pid"] or 0)

    def let_go(self) -> None:
        if self.client is not None:
            self.client.close()
            self.client = None

    # looking ------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Give the status from shared memory."""
        assert self.client is not None
        return self.client.status()

    def rows(self) -> dict[str, dict[str, Any]]:
        """Give the components' status by name."""
        return {row["name"]: row for row in self.status()["components"]}

    def titled(self, word: str) -> list[int]:
        """Give the pids of the parent's children whose title begins with a word."""
        found = (proc.look(pid) for pid in proc.children_of(self.parent))
        return [
            one.pid for one in found if one is not None and one.state != "Z" and one.title.startswith(word)
        ]

    @property
    def zygote(self) -> int:
        """The pid of the process that forks all others, 0 without one."""
        zygotes = self.titled("zygote [")
        return min(zygotes, default=0)

    @property
    def collector(self) -> int:
        """The pid of the process that writes down what is said, 0 without one; an earlier parent's, too."""
        title = f"logs [dolphin-mp {self.design.name}]"
        found = proc.descendants(os.getpid()).values()
        return min((one.pid for one in found if one.title == title and one.state != "Z"), default=0)

    @property
    def spares(self) -> list[int]:
        """The pids of processes that are parked."""
        return self.titled("spare [")

    def notes(self, file: str) -> list[list[str]]:
        """Give the lines of a file that components write, in words."""
        with contextlib.suppress(FileNotFoundError):
            return [line.split() for line in (self.home / file).read_text().splitlines()]
        return []

    # acting -------------------------------------------------------------------------------------------------

    def order(self, name: str, deed: str, *, setup: bool = False) -> None:
        """Tell a component to do something at its next step, or in its next setup()."""
        path = self.home / "orders" / (f"{name}.setup" if setup else name)
        path.with_suffix(".new").write_text(deed)
        path.with_suffix(".new").rename(path)

    def wait(self, is_so: Callable[[], Any], limit_s: float) -> bool:
        """Look again and again until it is so; tells whether it was."""
        limit = time.monotonic() + limit_s
        while not is_so():
            if time.monotonic() > limit:
                return False
            self.rest(TICK_S)
        return True

    def rest(self, seconds: float) -> None:
        """Let time go by, and reap what an ended parent left to us."""
        limit = time.monotonic() + seconds
        while True:
            proc.reap(set(self.helpers))
            left = limit - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.05))

    @contextlib.contextmanager
    def stopped(self, pid: int) -> Iterator[None]:
        """Stop a process for a while."""
        kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            kill(pid, signal.SIGCONT)

    # the end ------------------------------------------------------------------------------------------------

    def segments(self) -> list[str]:
        """Give the names of the system's segments."""
        prefix = segment_prefix(self.design.name)
        return sorted(entry.name for entry in os.scandir(FOLDER) if entry.name.startswith(prefix))

    def sockets(self) -> list[str]:
        """Give what is in the runtime folder."""
        folder = Path(runtime_folder(self.design.name))
        return [str(path) for path in folder.rglob("*")] if folder.exists() else []

    def kin(self) -> list[int]:
        """Give the pids of the components' children that live."""
        found = (proc.look(int(words[0])) for words in self.notes("kin"))
        return [
            one.pid
            for one in found
            if one is not None and one.state != "Z" and one.title.endswith("sleep 3600")
        ]

    def end_kin(self) -> None:
        """End the components' children."""
        for pid in self.kin():
            kill(pid, signal.SIGKILL)

    def end(self) -> list[str]:
        """End whatever is left of the world, its files too; gives what that was."""
        self.let_go()
        for helper in list(self.helpers.values()):
            helper.kill()
            helper.communicate()
        self.helpers.clear()
        left = []
        for _ in range(20):
            proc.reap(set())
            found = [one for one in proc.descendants(os.getpid()).values() if one.state != "Z"]
            if not found:
                break
            left += [f"process {one.pid} ({one.title})" for one in found]
            for one in found:
                kill(one.pid, signal.SIGKILL)
            self.rest(0.1)
        for name in self.segments():
            left.append(f"segment {name}")
            Path(FOLDER, name).unlink(missing_ok=True)
        for small in (self.state, self.shm):
            if small is not None:
                small.end()
        shutil.rmtree(self.base, ignore_errors=True)
        return left


def kill(pid: int, number: int) -> bool:
    """Send a signal to one process; tells whether it was there."""
    if pid <= 1:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def is_json(text: str) -> bool:
    """Tell whether a text is a JSON object."""
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
