"""Kills writers at random moments while readers check every record they get.

    python tests/siege/hunter.py --kills 10000 --seed 1

Each record carries its version, its writer and a checksum. After each kill, with the writer surely dead:

- no version that a writer was told of is lost, and at most one more was committed;
- the last `keep` records are whole, and are what every reader saw under their versions, now and before;
- the next writer goes on with the next version and the next epoch.

Readers check each record as they get it, count what they lost, and never wait longer than a moment, though
the writer may die between a record and the wake-up.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import mmap
import os
import random
import select
import signal
import sys
import time
import traceback
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dolphin_mp.ipc import Channel, ChannelError, OverrunError

if TYPE_CHECKING:
    from collections.abc import Callable

LEDGER = 1 << 14
PATIENCE_S = 5.0
READERS = 2


@dataclass(frozen=True)
class Prey:
    """What is hunted: how large the records are, how many are kept, how they are written."""

    words: int
    keep: int
    in_place: bool = False
    sleepy: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """The record: what it says of itself, and the payload from which all of it can be told."""
        return np.dtype(
            [("version", "u8"), ("writer", "u8"), ("crc", "u8"), ("payload", "u8", (self.words,))]
        )


PREYS = (
    Prey(words=125, keep=4),
    Prey(words=1, keep=1, sleepy=True),
    Prey(words=12_500, keep=2),
    Prey(words=125, keep=3, in_place=True),
)


def fill(record: np.ndarray[Any, Any], version: int, writer: int) -> int:
    """Make the record of a version by a writer; gives its checksum."""
    record["version"], record["writer"] = version, writer
    record["payload"] = np.arange(record["payload"].size, dtype="u8") * (writer << 20) + version
    record["crc"] = checksum(record)
    return int(record["crc"])


def checksum(record: np.ndarray[Any, Any]) -> int:
    """Give the checksum of all but the checksum."""
    head = int(record["version"]).to_bytes(8, "little") + int(record["writer"]).to_bytes(8, "little")
    return zlib.crc32(np.ascontiguousarray(record["payload"]), zlib.crc32(head)) | 1 << 40


def shared(count: int) -> np.ndarray[Any, Any]:
    """Give words that forked processes share."""
    return np.frombuffer(mmap.mmap(-1, count * 8), "u8")


def fork(work: Callable[[], None]) -> tuple[int, int]:
    """Run work in a child; gives its pid and pidfd. What it raises is written to stderr and its exit is 1."""
    pid = os.fork()
    if pid:
        return pid, os.pidfd_open(pid)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - the hunter hears of it by the exit code
        traceback.print_exc()
    finally:
        os._exit(code)


def bury(pid: int, pidfd: int) -> int:
    """Wait for a child's end; gives its status."""
    if not select.select([pidfd], [], [], PATIENCE_S)[0]:
        raise AssertionError("a killed process did not die")
    os.close(pidfd)
    return os.waitpid(pid, 0)[1]


class Reader:
    """A process that reads all it can; its ledger tells which checksum it saw under which version."""

    def __init__(self, name: str, seed: int, *, sleepy: bool) -> None:
        self.ledger = shared(2 * LEDGER).reshape(LEDGER, 2)
        self.counts = shared(4)  # records, lost, waits, stop
        self._name, self._random, self._sleepy = name, random.Random(seed), sleepy
        self.pid, self.pidfd = fork(self._read)

    def note(self, record: np.ndarray[Any, Any]) -> int:
        """Check one record and write it down."""
        version, crc = int(record["version"]), int(record["crc"])
        assert checksum(record) == crc, f"torn: version {version}"
        line = self.ledger[version % LEDGER]
        assert line[0] != version or line[1] == crc, f"version {version} twice with different content"
        line[1] = crc
        line[0] = version
        return version

    def _read(self) -> None:
        with Channel.attach(self._name) as channel:
            channel.may_spin = channel.may_spin and not self._sleepy
            into = np.zeros(channel.shape, channel.dtype)
            cursor = channel.version
            channel.new()
            while not self.counts[3]:
                self._wait(channel, cursor)
                cursor = self._take_new(channel, cursor)
                self._take_newest(channel, into)

    def _wait(self, channel: Channel, cursor: int) -> None:
        began = time.monotonic()
        channel.wait(cursor, PATIENCE_S)
        waited = time.monotonic() - began
        assert self.counts[3] or waited < PATIENCE_S / 2, f"a wait of {waited:.1f} s: a lost wake-up"
        self.counts[2] += 1

    def _take_new(self, channel: Channel, cursor: int) -> int:
        records, lost = channel.new()
        for record in records:
            assert self.note(record.value) == record.version > cursor
        self.counts[0] += len(records)
        self.counts[1] += lost
        return cursor + len(records) + lost

    def _take_newest(self, channel: Channel, into: np.ndarray[Any, Any]) -> None:
        try:
            kind = self._random.randrange(3)
            if kind == 0:
                version = channel.latest_into(into)
                assert version == 0 or self.note(into) == version
            elif kind == 1 and (record := channel.latest()) is not None:
                assert self.note(record.value) == record.version
            elif kind == 2 and channel.version:
                with channel.view() as view:
                    copy = np.array(view)
                assert self.note(copy) == view.version
        except OverrunError:
            pass  # told, and not torn


class Hunt:
    """One channel, its readers, and writer after writer."""

    def __init__(self, prey: Prey, seed: int) -> None:
        self.prey = prey
        self._random = random.Random(seed)
        self._name = f"t-{os.getpid()}-hunt-{seed}"
        self._channel = Channel.create(self._name, prey.dtype, keep=prey.keep)
        self._told = shared(1)  # the newest version that a writer was told to be published
        self._known: dict[int, int] = {}
        self._epoch = 0
        self.kills = {"before the claim": 0, "as a writer": 0, "between commit and return": 0}
        self._readers = [Reader(self._name, seed + n, sleepy=prey.sleepy) for n in range(READERS)]
        self._records = self._lost = self._waits = 0

    def _write(self, number: int) -> None:
        with Channel.attach(self._name) as channel:
            channel.claim()
            version = channel.version
            assert version >= self._told[0], f"lost: {version}, told was {self._told[0]}"
            record = np.zeros(channel.shape, channel.dtype)
            while True:
                if self.prey.in_place:
                    with channel.writing() as inside:
                        fill(inside, version + 1, number)
                    published = channel.version
                else:
                    fill(record, version + 1, number)
                    published = channel.publish(record)
                assert published == version + 1, f"{published} after {version}"
                self._told[0] = version = published

    def kill_one(self, number: int) -> None:
        """Have one more writer, and kill it at a random moment."""
        before, epoch = int(self._told[0]), self._channel.epoch
        pid, pidfd = fork(lambda: self._write(number))
        if self._random.random() < 0.8:  # mostly as a writer, at times on the way to it
            deadline = time.monotonic() + PATIENCE_S
            while self._told[0] == before and not select.select([pidfd], [], [], 0.0001)[0]:
                assert time.monotonic() < deadline, "a writer does not get to its first record"
        dead = select.select([pidfd], [], [], self._random.random() ** 2 * 0.004)[0]
        if not dead:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        status = bury(pid, pidfd)
        assert os.WIFSIGNALED(status), f"a writer failed by itself: {status}"
        self._check(epoch)

    def _check(self, epoch: int) -> None:
        channel, told = self._channel, int(self._told[0])
        assert not channel.writer_alive
        assert epoch <= channel.epoch <= epoch + 1
        version = channel.version
        assert told <= version <= told + 1, f"{version} committed, {told} told"
        written = channel.epoch > epoch
        self.kills[
            "between commit and return"
            if version > told
            else "as a writer"
            if written
            else "before the claim"
        ] += 1
        self._told[0] = version
        records = channel.since(max(0, version - self.prey.keep)).records
        assert [record.version for record in records] == list(
            range(max(0, version - self.prey.keep) + 1, version + 1)
        )
        for record in records:
            crc = int(record.value["crc"])
            assert record.value["version"] == record.version
            assert checksum(record.value) == crc, f"torn: version {record.version}"
            assert self._known.setdefault(record.version, crc) == crc, f"version {record.version} changed"
            for reader in self._readers:
                line = reader.ledger[record.version % LEDGER]
                seen, content = int(line[0]), int(line[1])
                assert seen != record.version or content == crc, (
                    f"a reader saw another version {record.version}"
                )
        for old in [n for n in self._known if n <= version - 100]:
            del self._known[old]
        self._check_readers()

    def _check_readers(self) -> None:
        for reader in self._readers:
            assert not select.select([reader.pidfd], [], [], 0)[0], "a reader failed"

    def change_reader(self) -> None:
        """Kill a reader too, wherever it is, and start another."""
        index = self._random.randrange(READERS)
        self._collect(self._readers[index], signal.SIGKILL)
        self._readers[index] = Reader(self._name, self._random.random().__hash__(), sleepy=self.prey.sleepy)

    def _collect(self, reader: Reader, number: int) -> None:
        if number:
            signal.pidfd_send_signal(reader.pidfd, number)
        status = bury(reader.pid, reader.pidfd)
        assert status == number, f"a reader's status is {status}"
        self._records += int(reader.counts[0])
        self._lost += int(reader.counts[1])
        self._waits += int(reader.counts[2])

    def end(self) -> dict[str, Any]:
        """Stop the readers, remove the channel, and give what was counted."""
        for reader in self._readers:
            reader.counts[3] = 1
        self._channel.claim()  # which ends their waits
        for reader in self._readers:
            self._collect(reader, 0)
        version, epoch = self._channel.version, self._channel.epoch
        self._channel.close()
        counts = {
            "versions": version,
            "epochs": epoch,
            "read": self._records,
            "lost": self._lost,
            "waits": self._waits,
        }
        return {
            "record_size": self.prey.dtype.itemsize,
            "keep": self.prey.keep,
            "kills": self.kills,
            **counts,
        }

    def abandon(self) -> None:
        """Leave nothing behind after a failure."""
        for reader in self._readers:
            try:
                signal.pidfd_send_signal(reader.pidfd, signal.SIGKILL)
            except (OSError, ValueError):
                continue
        self._channel.close()


def hunt(kills: int, seed: int) -> list[dict[str, Any]]:
    """Spread that many kills over all kinds of prey; gives what each counted."""
    found = []
    for index, prey in enumerate(PREYS):
        one = Hunt(prey, seed * 100 + index)
        try:
            for number in range(1, kills // len(PREYS) + (index < kills % len(PREYS)) + 1):
                one.kill_one(number)
                if number % 40 == 0:
                    one.change_reader()
            found.append(one.end())
        except BaseException:
            one.abandon()
            raise
    return found


def main() -> int:
    """Hunt as the arguments say and print what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 20))
    arguments = parser.parse_args()
    began = time.monotonic()
    try:
        found = hunt(arguments.kills, arguments.seed)
    except (AssertionError, ChannelError):
        traceback.print_exc()
        print(f"failed with --seed {arguments.seed}", file=sys.stderr)
        return 1
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"kills": arguments.kills, "seed": arguments.seed, "seconds": seconds, "preys": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
