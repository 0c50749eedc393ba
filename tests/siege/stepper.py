"""Runs an operation of a channel instruction by instruction and looks at the segment after each change.

    python tests/siege/stepper.py publish

The operation runs in a child under ptrace(2). Wherever it stands still, readers must get the last committed
records whole and at once, and a copy of the segment, as a crash at that point would leave it, must be one
that a successor can attach, claim and continue. Then the child is killed for real at each of these points
and at each system call, one run after another: whoever sleeps in a wait must wake, and the successor goes on.
Prints what was done as JSON; exit 77: ptrace is not allowed here.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import random
import select
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dolphin_mp.ipc import Channel, ReplacedError, _core, wait_any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHM = Path("/dev/shm")
TRACEME, CONT, SINGLESTEP, SYSCALL, SETOPTIONS = 0, 7, 9, 24, 0x4200
EXITKILL = 0x100000
AT_ONCE_S = 1.0
AFTER_WAKE = (
    16  # so many instructions lie between the last change and the system call that wakes, and some more
)
TOO_MANY_STEPS = 1_000_000  # a loop of load-linked and store-conditional never ends under single steps
REFUSED = 77

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long
libc.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


def ptrace(request: int, pid: int, data: int = 0) -> None:
    if libc.ptrace(request, pid, None, data) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"ptrace: {os.strerror(code)}")


class Tracee:
    """A forked child that runs `prepare`, then `operate` under our eyes, then stands still."""

    def __init__(self, prepare: Callable[[], Any], operate: Callable[[Any], Any]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            _be_traced(prepare, operate)
        self.steps = 0
        self.dead = False
        self._wait()
        ptrace(SETOPTIONS, self.pid, EXITKILL)

    def _wait(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        assert os.WIFSTOPPED(status), f"the child ended by itself, status {status}"
        return os.WSTOPSIG(status)

    def ends_within(self, seconds: float) -> bool:
        """Let it run; tells whether it came to the end of the operation in that time."""
        ptrace(CONT, self.pid)
        with contextlib.suppress(TimeoutError), time_limit(seconds):
            return self._wait() == signal.SIGSTOP
        return False

    def steps_or_sleeps(self) -> bool:
        """Do one instruction; False if it is a system call that sleeps."""
        ptrace(SINGLESTEP, self.pid)
        with contextlib.suppress(TimeoutError), time_limit(0.2):
            assert self._wait() == signal.SIGTRAP, "the wait ended by itself"
            return True
        return False

    def go_on(self, request: int) -> bool:
        """Let it go to the next instruction or system call; False at the end of the operation."""
        self.steps += 1
        assert self.steps < TOO_MANY_STEPS, "it does not end under single steps"
        ptrace(request, self.pid)
        return self._wait() != signal.SIGSTOP

    def skip(self, stops: int) -> None:
        """Let it go to the system call of that number."""
        for _ in range(stops):
            assert self.go_on(SYSCALL)

    def await_stop(self) -> None:
        """Wait until the instruction that slept is done."""
        with time_limit(5):
            self._wait()

    def kill(self) -> None:
        if not self.dead:
            self.dead = True
            with contextlib.suppress(ProcessLookupError, ChildProcessError):  # it failed, and told so
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)


def _be_traced(prepare: Callable[[], Any], operate: Callable[[Any], Any]) -> None:
    code = 1
    try:
        prepared = prepare()
        ptrace(TRACEME, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        operate(prepared)
        code = 0
        os.kill(os.getpid(), signal.SIGSTOP)
    except BaseException:  # noqa: BLE001 - told by the exit code
        traceback.print_exc()
    finally:
        os._exit(code)


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in what takes longer."""

    def stop(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Sleeper:
    """A process that sleeps in a wait on the channel and says when it woke."""

    def __init__(self, name: str) -> None:
        self._said, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                channel = Channel.attach(name)
                channel.may_spin = False
                version = channel.version
                while wait_any([(channel, version)], 0.001):
                    pass
                os.write(theirs, b"r")
                channel.wait(version, 60)
                os.write(theirs, b"w")
            finally:
                os._exit(0)
        os.close(theirs)
        assert os.read(self._said, 1) == b"r"
        deadline = time.monotonic() + 10
        while "futex" not in Path(f"/proc/{self.pid}/wchan").read_text():
            assert time.monotonic() < deadline, "the sleeper does not sleep"

    def has_woken(self, timeout_s: float) -> bool:
        return bool(select.select([self._said], [], [], timeout_s)[0])

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._said)


def content(version: int, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Give the record that every writer writes as that version."""
    return np.arange(version, version + shape[0] * 3, 3, "u8") * version


def publish(channel: Channel) -> int:
    version = channel.publish(content(channel.version + 1, channel.shape).astype(channel.dtype))
    return int(version)


def check_records(channel: Channel) -> int:
    """Check that the newest and all kept records are whole, and read at once; gives the newest version."""
    began = time.monotonic()
    version, keep = channel.version, channel.keep
    records = channel.since(max(0, version - keep)).records
    assert [record.version for record in records] == list(range(max(1, version - keep + 1), version + 1))
    for record in records:
        assert (record.value == content(record.version, channel.shape)).all(), (
            f"version {record.version} is torn"
        )
    newest = channel.latest()
    assert (newest.version if newest else 0) == version
    if version:
        with channel.view() as view:
            assert view.version == version
            assert (view == content(version, channel.shape)).all()
    assert time.monotonic() - began < AT_ONCE_S, "a read waited"
    return version


class Scene:
    """A channel as it is before the operation, with a reader here; `operation` says what the child does."""

    def __init__(self, operation: Operation, *, sleeps: bool = False) -> None:
        self.name = f"t-{os.getpid()}-step"
        self.operation = operation
        self.owner = Channel.create(self.name, "u8", (operation.words,), keep=3)
        self.owner.claim()
        for _ in range(5):
            publish(self.owner)
        self.owner.release()
        self.reader = Channel.attach(self.name)
        self._fd = os.open(SHM / self.name, os.O_RDONLY)
        self._size = os.fstat(self._fd).st_size
        now = np.frombuffer(_core.Memory(self._fd, self._size, False), "u1")
        header = self.reader._segment.header
        slots = now[header.header_size : header.header_size + header.slot_count * header.slot_stride]
        self._now = now
        # of large records only the slots' words are compared, else most of the time goes into comparing
        self._watched = [
            now[:4096],
            slots.reshape(header.slot_count, -1)[:, : 64 if operation.is_large else None],
        ]
        if operation.writer_is_here:
            self.owner.claim()
        if operation.orphan:
            self.owner.close(unlink=False)
        self.tracee = Tracee(lambda: operation.prepare(self.name), operation.operate)
        self.sleeper = Sleeper(self.name) if sleeps else None
        self._before = [part.copy() for part in self._watched]

    def has_changed(self) -> bool:
        """Tell whether the segment changed since it was asked last."""
        if all(map(np.array_equal, self._watched, self._before)):
            return False
        self._before = [part.copy() for part in self._watched]
        return True

    def look(self) -> None:
        """Check what readers get, and what a successor would find if the child were dead here."""
        with contextlib.suppress(ReplacedError):
            check_records(self.reader)
        copy = f"{self.name}-copy"
        fd = os.open(SHM / copy, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            os.write(fd, self._now)
            with Channel.attach(copy) as successor:
                continue_with(successor)
        finally:
            os.close(fd)
            (SHM / copy).unlink()

    def end(self) -> None:
        """Leave nothing behind."""
        self.tracee.kill()
        if self.sleeper:
            self.sleeper.kill()
        os.close(self._fd)
        self.reader.close()
        self.owner.close()
        for path in SHM.glob(f"{self.name}*"):
            path.unlink()


def continue_with(successor: Channel) -> None:
    """Claim what a dead writer left, and go on; a segment that was given up is not claimed."""
    version, epoch = check_records(successor), successor.epoch
    if successor.retired:
        return
    assert successor.claim() == epoch + 1
    assert publish(successor) == version + 1
    assert check_records(successor) == version + 1


class Operation:
    """What the child does: as a base, it publishes."""

    words = 6
    is_large = False
    quiet = 5_000  # so many instructions without a change: nothing more comes before the next system call
    writes = True  # the child is the writer from the beginning
    writer_is_here = False  # and stays it
    orphan = False  # the channel's owner is dead

    def prepare(self, name: str) -> Any:
        """Do what comes before, in the child."""
        channel = Channel.attach(name)
        if self.writes:
            channel.claim()
            publish(channel)
        self.next = content(channel.version + 1, channel.shape)
        return channel

    def operate(self, prepared: Any) -> None:
        """Do what is looked at, in the child."""
        prepared.publish(self.next)

    def bury(self, scene: Scene) -> None:
        """After the child's real death: who sleeps wakes, and a successor goes on."""
        assert scene.sleeper is not None
        if self.writes:
            assert scene.sleeper.has_woken(5), "the writer's death woke nobody"
        assert not scene.reader.writer_alive
        continue_with(scene.reader)
        assert scene.sleeper.has_woken(5), "a successor's record woke nobody"


class PublishLarge(Operation):
    words = 8200  # beyond what is copied with the GIL
    is_large = True
    quiet = 100_000


class Write(Operation):
    quiet = 15_000

    def operate(self, prepared: Any) -> None:
        with prepared.writing() as array:
            array[:] = self.next


class Claim(Operation):
    writes = False

    def operate(self, prepared: Any) -> None:
        prepared.claim()


class Release(Operation):
    def operate(self, prepared: Any) -> None:
        prepared.release()


class Close(Operation):
    def operate(self, prepared: Any) -> None:
        prepared.close()


class Wait(Operation):
    """The child waits; the writer is here."""

    writes = False
    writer_is_here = True
    handles = 1

    def prepare(self, name: str) -> Any:
        channels = [Channel.attach(name) for _ in range(self.handles)]
        for channel in channels:
            channel.may_spin = False
            channel.wait(channel.version, 0.001)  # the thread that watches the writer is started before
        return channels

    def operate(self, prepared: Any) -> None:
        version = prepared[0].version
        if self.handles == 1:
            assert prepared[0].wait(version, 60) == version + 1
        else:
            assert wait_any([(channel, version) for channel in prepared], 60)
            assert prepared[0].version == version + 1


class WaitMany(Wait):
    handles = 3


class TakeUp(Operation):
    """The child makes the channel that its owner left."""

    writes = False
    orphan = True
    dtype = "u8"

    def prepare(self, name: str) -> Any:
        return name

    def operate(self, prepared: Any) -> None:
        Channel.create(prepared, self.dtype, (6,), keep=3).publish  # noqa: B018

    def bury(self, scene: Scene) -> None:
        with Channel.create(scene.name, self.dtype, (6,), keep=3) as successor:
            with contextlib.suppress(ReplacedError):
                assert self.dtype == "u8" or scene.reader.latest() is None, "the reader was told nothing"
            continue_with(successor)
            assert scene.sleeper is not None
            assert scene.sleeper.has_woken(5), "nobody was woken"
        assert not (SHM / scene.name).exists()


class Replace(TakeUp):
    """The child makes a channel of another dtype in its place."""

    dtype = ">u8"


class Retire(TakeUp):
    """The child owns the channel and closes it."""

    def prepare(self, name: str) -> Any:
        return Channel.create(name, self.dtype, (6,), keep=3)

    def operate(self, prepared: Any) -> None:
        prepared.close()

    def bury(self, scene: Scene) -> None:
        with Channel.create(scene.name, self.dtype, (6,), keep=3) as successor:
            continue_with(successor)
        assert not (SHM / scene.name).exists()


class Create(TakeUp):
    """There is nothing yet."""

    def prepare(self, name: str) -> Any:
        return f"{name}-new"

    def bury(self, scene: Scene) -> None:
        name = f"{scene.name}-new"
        left = {path.name for path in SHM.glob(f"{name}*")}
        assert left <= {name}
        if left:
            with Channel.attach(name) as found:
                assert found.latest() is None
        with Channel.create(name, self.dtype, (6,), keep=3) as successor:
            assert successor.claim() == 1
            assert publish(successor) == 1
        assert not (SHM / name).exists()


WAITS = {"wait": Wait, "wait-many": WaitMany}
OPERATIONS = {
    "publish": Operation,
    "publish-large": PublishLarge,
    "writing": Write,
    "claim": Claim,
    "release": Release,
    "close": Close,
    "take-up": TakeUp,
    "replace": Replace,
    "retire": Retire,
    "create": Create,
}


def find_intervals(operation: Operation) -> tuple[int, list[int]]:
    """Give how many stops at system calls there are, and behind which of them the segment changes."""
    scene = Scene(operation)
    stops, changed = 0, []
    try:
        goes_on = True
        while goes_on:
            goes_on = scene.tracee.go_on(SYSCALL)
            if scene.has_changed():
                changed.append(stops)
                scene.look()
            stops += 1
    finally:
        scene.end()
    return stops - 1, changed


def walk(operation: Operation, interval: int) -> list[int]:
    """Step from one system call on and look after each change; gives the steps at which something changed."""
    scene = Scene(operation)
    changes: list[int] = []
    try:
        scene.tracee.skip(interval)
        scene.has_changed()
        steps = quiet = 0
        while scene.tracee.go_on(SINGLESTEP) and not (changes and quiet > operation.quiet):
            steps, quiet = steps + 1, quiet + 1
            if scene.has_changed():
                quiet = 0
                changes.append(steps)
                scene.look()
            elif operation.is_large and steps % 1000 == 0:
                scene.look()
    finally:
        scene.end()
    return changes


def kill_at(operation: Operation, interval: int, steps: int) -> None:
    """Kill the child for real, so many instructions behind a system call."""
    scene = Scene(operation, sleeps=True)
    try:
        scene.tracee.skip(interval)
        for _ in range(steps):
            scene.tracee.go_on(SINGLESTEP)
        scene.tracee.kill()
        operation.bury(scene)
    finally:
        scene.end()


def begin_wait(operation: Operation) -> Scene:
    """Give a scene in which the child is about to wait, the writer is here, and no waiting bit is set."""
    scene = Scene(operation)
    publish(scene.owner)  # clears the bit that the preparation left
    scene.has_changed()
    return scene


def steps_until_asleep(operation: Operation) -> tuple[int, int]:
    """Give after how many instructions the waiting bit is set, and after how many the child sleeps."""
    scene = begin_wait(operation)
    try:
        while not scene.has_changed():
            assert scene.tracee.go_on(SINGLESTEP), "the wait ended by itself"
        bit = asleep = scene.tracee.steps
        while scene.tracee.steps_or_sleeps():
            asleep += 1
    finally:
        scene.end()
    return bit, asleep


def disturb(operation: Operation, most: int, seed: int) -> dict[str, int]:
    """Publish behind one instruction after another of a wait: it must end each time."""
    bit, asleep = steps_until_asleep(operation)
    places = [*range(max(0, bit - 400), asleep + 2)]
    chosen = [asleep, asleep + 1, *random.Random(seed).sample(places, min(most - 2, len(places)))]
    for steps in chosen:
        scene = begin_wait(operation)
        try:
            for _ in range(min(steps, bit)):
                scene.tracee.go_on(SINGLESTEP)
            slept = not all(scene.tracee.steps_or_sleeps() for _ in range(bit, steps))
            version = publish(scene.owner)
            if slept:
                scene.tracee.await_stop()
            assert scene.tracee.ends_within(5), (
                f"a publish behind instruction {steps} of {asleep} woke nobody"
            )
            assert scene.reader.latest().version == version
        finally:
            scene.end()
    return {"publishes": len(chosen), "bit": bit, "asleep": asleep}


def besiege(operation: Operation, seed: int, most: int) -> dict[str, int]:
    """Look everywhere and kill at up to `most` places; gives what was done."""
    choose = random.Random(seed)
    stops, intervals = find_intervals(operation)
    places = {(stop, 0) for stop in range(stops + 1)}
    looked = 0
    for interval in intervals:
        changes = walk(operation, interval)
        looked += len(changes)
        places |= {(interval, steps) for steps in changes}
        last = changes[-1] if changes else 0
        places |= {(interval, last + steps) for steps in range(1, AFTER_WAKE)}
    chosen = sorted(places) if len(places) <= most else choose.sample(sorted(places), most)
    for interval, steps in chosen:
        try:
            kill_at(operation, interval, steps)
        except AssertionError as error:
            error.add_note(f"killed {steps} instructions behind stop {interval} at a system call")
            raise
    return {"system_calls": stops // 2, "changes": looked, "places": len(places), "kills": len(chosen)}


def main() -> int:
    """Besiege one operation and print what was done as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("operation", choices=[*OPERATIONS, *WAITS])
    parser.add_argument("--kills", type=int, default=1 << 30, help="at most so many, chosen at random")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {random.Random().choice(sorted(os.sched_getaffinity(0)))})
    try:
        if arguments.operation in WAITS:
            said = disturb(WAITS[arguments.operation](), arguments.kills, arguments.seed)
        else:
            said = besiege(OPERATIONS[arguments.operation](), arguments.seed, arguments.kills)
        print(json.dumps(said))
    except PermissionError as error:
        print(error, file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
