"""The components of a chaos system: they publish what can be checked, check what they read, and misbehave.

CHAOS_HOME names their folder: ``orders/NAME`` is obeyed in a step, ``orders/NAME.setup`` in setup(),
``orders/NAME.loop`` in every setup() as long as it is there; ``births``, ``kin`` and ``faults`` hold a line
for each process, each grandchild and each broken promise.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from setproctitle import setproctitle

from dolphin_mp import Component, Input, Output

HOME = Path(os.environ.get("CHAOS_HOME", "."))
WORDS = 24
KEEP = 256


def record_of(words: int) -> np.dtype:
    """Give the dtype of records with so many words of payload."""
    heads = [(name, "u8") for name in ("version", "pid", "seen", "crc")]
    return np.dtype([*heads, ("payload", "u8", (words,))])


def make(version: int, pid: int, seen: int, words: int = WORDS) -> np.ndarray:
    """Give the record of a version."""
    record = np.zeros((), record_of(words))
    record["version"], record["pid"], record["seen"] = version, pid, seen
    record["payload"] = np.arange(words, dtype="u8") * 7919 + version
    record["crc"] = checksum(record)
    return record


def checksum(record: np.ndarray) -> int:
    """Give the checksum of all but the checksum."""
    head = b"".join(int(record[name]).to_bytes(8, "little") for name in ("version", "pid", "seen"))
    return zlib.crc32(np.ascontiguousarray(record["payload"]), zlib.crc32(head)) | 1 << 40


class Tally:
    """Follows one channel: each record whole, versions without a gap that was not told, epochs never back."""

    def __init__(self) -> None:
        self.version = self.epoch = self.read = self.lost = 0

    def begin(self, records) -> None:
        """Begin behind what is there already."""
        for record in records:
            self.version, self.epoch = record.version, record.epoch

    def take(self, records, lost: int) -> str:
        """Count what came after the last; gives what is wrong with it, or nothing."""
        fault = ""
        self.lost += lost
        for record in records:
            value = record.value
            if int(value["crc"]) != checksum(value) or int(value["version"]) != record.version:
                fault = f"version {record.version} is not whole: {value!r}"
            gap = record.version - self.version - 1
            lost -= gap
            if gap < 0 or lost < 0:
                fault = f"version {record.version} after {self.version}, and {lost + gap} told as lost"
            if record.epoch < self.epoch:
                fault = f"epoch {record.epoch} of version {record.version} after {self.epoch}"
            self.version, self.epoch = record.version, record.epoch
            self.read += 1
        if lost > 0:  # the newest were overwritten while they were read
            self.version += lost
        return fault


def note(file: str, *words: object) -> None:
    """Append a line, in one write."""
    fd = os.open(HOME / file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.write(fd, (" ".join(map(str, words)) + "\n").encode())
    os.close(fd)


class Common(Component):
    """What all have in common."""

    out = Output(lambda options: record_of(options.words), keep=KEEP)
    every = "50ms"
    follows: tuple[str, ...] = ()

    @dataclass
    class Options:
        """How long setup() takes, how likely a step is to fail, how large a record is; a mark to change."""

        setup_s: float = 0.0
        crash: float = 0.0
        words: int = WORDS
        mark: int = 0

    def setup(self) -> None:
        self._lock = os.open(HOME / f"locks/{self.name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:  # a second opinion on "never two of one component"; not inherited by a fork
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            note("faults", f"{self.name} (pid {os.getpid()}) begins while another of it lives")
        note("births", self.name, os.getpid(), self.options.mark)
        self.tallies = {}
        for name in self.follows:
            self.tallies[name] = Tally()
            self.tallies[name].begin(getattr(self, name).new().records)
        self.obey(f"{self.name}.setup")
        with contextlib.suppress(FileNotFoundError):
            DEEDS[(HOME / f"orders/{self.name}.loop").read_text()]()
        limit = time.monotonic() + self.options.setup_s
        while not self.stopping and time.monotonic() < limit:
            time.sleep(0.02)

    def look(self) -> None:
        """Check what the inputs have brought."""
        for name, tally in self.tallies.items():
            found = getattr(self, name).new()
            fault = tally.take(found.records, found.lost)
            if fault:
                note("faults", f"{self.name} read {name}: {fault}")

    def speak(self) -> None:
        """Publish a record that says which it is."""
        seen = sum(tally.read for tally in self.tallies.values())
        self.out.publish(make(self.out.version + 1, os.getpid(), seen, self.options.words))

    def obey(self, order: str) -> None:
        """Take an order, if there is one, and do as it says."""
        path = HOME / "orders" / order
        with contextlib.suppress(FileNotFoundError):
            word, *words = path.read_text().split()
            path.unlink()
            if word == "stubborn":
                self.be_stubborn()
            else:
                DEEDS[word](*words)

    def be_stubborn(self) -> None:
        """Beat, so as not to be called hung, and hear of no stop."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            self.beat()
            time.sleep(0.05)


class Part(Common):
    """Steps."""

    def step(self) -> None:
        self.obey(self.name)
        if random.random() < self.options.crash:
            raise RuntimeError("as it happens")
        self.look()
        self.speak()

    def on_stale(self) -> None:
        self.obey(self.name)


class Spring(Part):
    """Reads nothing."""


class Reader(Part):
    """Steps on its input's records."""

    every = None
    follows = ("a",)
    a = Input("?.out")


class Needy(Reader):
    """Must have a fresh record."""

    a = Input("?.out", stale_after="1s", required=True)


class Clock(Reader):
    """Steps by the clock, whatever its input does."""

    every = "50ms"
    a = Input("?.out", stale_after="500ms")


class Joiner(Part):
    """Steps on the records of two."""

    every = None
    follows = ("a", "b")
    a = Input("?.out")
    b = Input("?.out", stale_after="2s")


class Dealt(Part):
    """An instance of a pool: each record of the input goes to one of them."""

    every = None
    job = Input("?.out", share=True)

    def look(self) -> None:
        record = self.job.dealt
        value = record.value
        if int(value["crc"]) != checksum(value) or int(value["version"]) != record.version:
            note("faults", f"{self.name} was dealt what is not whole: {value!r}")
        note("dealt", record.version, int(record.redealt), self.name)


class Socket(Common):
    """Lives on an event loop."""

    every = None

    async def run(self) -> None:
        while not self.stopping:
            self.obey(self.name)
            self.speak()
            await asyncio.sleep(0.05)


# ------------------------------------------------------------------ misdeeds


def hang_in_c() -> None:
    """Hold the GIL and sleep."""
    ctypes.PyDLL(None).sleep(3600)


def deadlock() -> None:
    """Wait for a lock that nobody lets go."""
    lock = threading.Lock()
    with lock:
        lock.acquire()


def flood(count: str) -> None:
    """Say much."""
    for number in range(int(count)):
        sys.stdout.write(f"{number} {'x' * 200}\n")
    sys.stdout.flush()


def say(word: str) -> None:
    """Say one word."""
    print(word, flush=True)


def eat(megabytes: str) -> None:
    """Take memory and keep it."""
    KEPT.append(np.ones(int(megabytes) << 17))


def beget(session: str) -> None:
    """Have a child that does not end by itself: a fork, or in a session of its own, or in this group."""
    if session == "fork":
        pid = os.fork()
        if pid == 0:
            os.setsid()
            setproctitle("sleep 3600")
            while True:
                time.sleep(3600)
        note("kin", pid, os.getpid(), session)
        return
    child = subprocess.Popen(
        ["/bin/sleep", "3600"], start_new_session=session == "own", stdin=subprocess.DEVNULL
    )
    child.returncode = 0  # nobody waits for it
    note("kin", child.pid, os.getpid(), session)


def abort() -> None:
    """Crash."""
    os.abort()


def fail() -> None:
    """Raise."""
    raise RuntimeError("as ordered")


def crash(number: str) -> None:
    """Be killed by a signal in the midst of a step."""
    os.kill(os.getpid(), int(number))
    signal.pause()


KEPT: list[np.ndarray] = []
DEEDS = {
    "hang-in-c": hang_in_c,
    "deadlock": deadlock,
    "flood": flood,
    "eat": eat,
    "say": say,
    "beget": beget,
    "abort": abort,
    "fail": fail,
    "crash": crash,
    "exit": lambda code: sys.exit(int(code)),
}
