"""Channels between processes that read, write, wait, stop and die."""

import importlib.util
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dolphin_mp.ipc import (
    Channel,
    ClaimedError,
    ReplacedError,
    SegmentExistsError,
    _core,
    wait_any,
)

_spec = importlib.util.spec_from_file_location("channel_actor", Path(__file__).with_name("channel_actor.py"))
channel_actor = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(channel_actor)
ActorError, is_readable = channel_actor.ActorError, channel_actor.is_readable
is_asleep = channel_actor.is_asleep

ROOT = Path(__file__).resolve().parents[2]
SHM = Path("/dev/shm")
AT_ONCE_S = 2.0  # far below the waits that must end, far above what a loaded machine needs
_numbers = itertools.count()


@pytest.fixture(scope="module")
def nursery():
    nursery = channel_actor.Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def actor(nursery):
    """Gives new actors; they end with the test."""
    yield nursery.actor
    nursery.clear()


@pytest.fixture
def name():
    name = f"t-{os.getpid()}-p{next(_numbers)}"
    yield name
    for path in SHM.glob(f"{name}*"):
        path.unlink()


def until(fact):
    deadline = time.monotonic() + 20
    while not fact():
        assert time.monotonic() < deadline, "it never came true"
        os.sched_yield()


def attached(actor, name, *, claim=False):
    one = actor()
    one("c = Channel.attach(name)", name=name)
    if claim:
        one("c.claim()")
    return one


def waiting(one, channel, code="c.wait(c.version, 60)"):
    """Have an actor wait, and see it asleep."""
    one("c.may_spin = False")
    one.start(code)
    until(lambda: (is_asleep(one.pid) and someone_waits(channel)) or one.has_answered())
    assert not one.has_answered(), one.result()


def someone_waits(channel):
    return bool(memoryview(channel._data)[_core.OFFSET_WAKE] & 1)


# readers against a writer ----------------------------------------------------------------------------------

RECORD = [("n", "u8"), ("fill", "u8", (61,)), ("check", "u8")]
PUBLISH = """
import numpy as np
record = np.zeros((), RECORD)
def publish(n):
    record["n"] = n
    record["fill"] = n * 3
    record["check"] = n * 5
    return c.publish(record)
"""
CHECK = """
def check(record):
    n = int(record.value["n"])
    assert record.version == n, (record.version, n)
    assert (record.value["fill"] == n * 3).all() and record.value["check"] == n * 5, n
    return n
"""


@pytest.mark.parametrize("keep", [1, 2, 8])
def test_slow_readers_of_a_fast_writer_get_whole_records_and_an_exact_count_of_the_others(actor, name, keep):
    last = 150_000
    with Channel.create(name, np.dtype(RECORD), keep=keep):
        writer = attached(actor, name, claim=True)
        writer(PUBLISH, RECORD=RECORD)
        readers = [attached(actor, name) for _ in range(2)]
        for reader in readers:
            reader(CHECK)
            reader.start(
                """
given = lost = seen = 0
while seen < last:
    c.wait(seen, 20)
    records, missed = c.new()
    for record in records:
        n = check(record)
        assert n > seen
        seen = n
    given += len(records)
    lost += missed
    seen = given + lost  # the cursor: what is not given is lost
answer = given, lost
""",
                last=last,
            )
        writer("for n in range(1, last + 1): publish(n)", last=last)
        for reader in readers:
            given, lost = reader.result()
            assert given + lost == last
            assert given > 0


def test_readers_of_the_newest_never_see_a_torn_or_an_older_one(actor, name):
    last = 150_000
    with Channel.create(name, np.dtype(RECORD), keep=2):
        writer = attached(actor, name, claim=True)
        writer(PUBLISH, RECORD=RECORD)
        reader = attached(actor, name)
        reader(CHECK)
        reader.start(
            """
seen = 0
into = np.zeros((), c.dtype)
while seen < last:
    record = c.latest()
    if record is not None:
        n = check(record)
        assert n >= seen
        seen = n
        version = c.latest_into(into)
        assert version == into["n"] >= seen and into["check"] == version * 5
        assert (into["fill"] == version * 3).all()
answer = seen
""",
            last=last,
        )
        writer("for n in range(1, last + 1): publish(n)", last=last)
        assert reader.result() == last


@pytest.mark.parametrize("size", [1 << 17, 1 << 20])
def test_large_records_are_never_torn_in_copies_and_views(actor, name, size):
    with Channel.create(name, "u8", (size // 8,), keep=1):
        writer, reader = attached(actor, name, claim=True), attached(actor, name)
        writer.start(
            """
array = np.zeros(c.shape, c.dtype)
for n in range(1, 400):
    array[:] = n
    if n % 2:
        c.publish(array)
    else:
        with c.writing() as inside:
            inside[:] = n
"""
        )
        reader(
            """
version = given = overrun = 0
while version < 399:
    version = c.wait(version, 20)
    try:
        record = c.latest()
        assert (record.value == record.version).all(), record.version
        with c.view() as view:
            low, high = int(view.min()), int(view.max())
        assert low == high == view.version
        given += 1
    except ipc.OverrunError:
        overrun += 1
assert given > 0
""",
        )
        writer.result()


# waiting ---------------------------------------------------------------------------------------------------

PONG = """
mine, theirs = Channel.attach(name + "-" + me), Channel.attach(name + "-" + other)
mine.claim()
mine.may_spin = theirs.may_spin = spins
value = np.zeros((), "u8")
theirs.wait(0, 0)
def play(first):
    for n in range(1, rounds + 1):
        if first:
            value[()] = n
            mine.publish(value)
        got = n - 1
        while got < n:
            before = time.monotonic()
            got = theirs.wait(n - 1, 20)
            assert time.monotonic() - before < 15, (n, got, "a lost wake-up")
        if not first:
            value[()] = n
            mine.publish(value)
    return n
"""


@pytest.mark.parametrize(("spins", "rounds"), [(True, 10_000), (False, 5_000)], ids=["spinning", "sleeping"])
def test_no_wake_up_is_lost_in_a_long_rally(actor, name, spins, rounds):
    with Channel.create(f"{name}-a", "u8"), Channel.create(f"{name}-b", "u8"):
        first, second = actor(), actor()
        common = {"name": name, "rounds": rounds, "spins": spins}
        first(PONG, me="a", other="b", **common)
        second(PONG, me="b", other="a", **common)
        second.start("play(False)")
        assert first("play(True)") == rounds
        assert second.result() == rounds


def test_no_wake_up_is_lost_beside_waiters_that_are_killed(actor, name):
    """A killed waiter leaves the waiting bit set: it must cost a wake-up, never lose one."""
    rounds = 3_000
    with Channel.create(f"{name}-a", "u8"), Channel.create(f"{name}-b", "u8"):
        first, second = actor(), actor()
        common = {"name": name, "rounds": rounds, "spins": False}
        first(PONG, me="a", other="b", **common)
        second(PONG, me="b", other="a", **common)
        second.start("play(False)")
        first.start("play(True)")
        while not first.has_answered():
            third = actor()
            third.start(
                "a, b = Channel.attach(name + '-a'), Channel.attach(name + '-b')\n"
                "while True: wait_any([(a, a.version), (b, b.version)], 5)",
                name=name,
            )
            is_readable(third.pidfd, 0.003)
            third.kill()
        assert first.result() == rounds
        assert second.result() == rounds


def test_a_killed_waiter_leaves_nothing_that_the_next_publish_does_not_clear(actor, name):
    with Channel.create(name, "u8") as channel:
        channel.claim()
        waiter = attached(actor, name)
        waiting(waiter, channel)
        wake = memoryview(channel._data)[_core.OFFSET_WAKE : _core.OFFSET_WAKE + 1]
        assert wake[0] & 1
        waiter.kill()
        assert wake[0] & 1
        channel.publish(1)
        assert not wake[0] & 1


@pytest.mark.parametrize("count", [2, 127, 128, 200])
def test_one_wait_on_many_channels_is_ended_by_any_of_them(actor, name, count):
    channels = [Channel.create(f"{name}-{n}", "u8", keep=1) for n in range(count)]
    try:
        for channel in channels:
            channel.claim()
        waiter = actor()
        waiter("cs = [Channel.attach(f'{name}-{n}') for n in range(count)]", name=name, count=count)
        known = [0] * count
        for chosen in {0, 1, min(126, count - 1), count // 2, count - 1}:
            waiter.start("wait_any(list(zip(cs, known)), 30)", known=known)
            if count < 128:
                until(lambda: is_asleep(waiter.pid))
            channels[chosen].publish(7)
            assert waiter.result() == [chosen]
            known[chosen] += 1
        assert waiter("wait_any(list(zip(cs, known)), 0.01)", known=known) == []
        if count >= 128:
            return
        waiter.start("wait_any(list(zip(cs, known)), 30)", known=known)
        until(lambda: is_asleep(waiter.pid))
        channels[-1].release()
        assert waiter.result() == [count - 1]
    finally:
        for channel in channels:
            channel.close()


def test_an_older_kernel_without_futex_waitv_is_looked_at_every_millisecond(actor, name):
    """What a sandbox refuses with EPERM is the same to us; here it is refused for real, by seccomp."""
    with Channel.create(f"{name}-a", "u8") as first, Channel.create(f"{name}-b", "u8") as second:
        first.claim()
        second.claim()
        waiter = actor()
        refused = waiter(FORBID, forbidden=449)
        if not refused:
            pytest.skip("seccomp filters are not allowed here")
        waiter("a, b = Channel.attach(name + '-a'), Channel.attach(name + '-b')", name=name)
        assert waiter("wait_any([(a, 0), (b, 0)], 0.02)") == []
        assert waiter("_core.waits_on_many()") is False
        before = cpu_ticks(waiter.pid)
        assert waiter("wait_any([(a, 0), (b, 0)], 0.5)") == []
        assert cpu_ticks(waiter.pid) - before <= 25, "it naps, it does not spin"
        waiter.start("wait_any([(a, 0), (b, 0)], 30)")
        second.publish(1)
        assert waiter.result() == [1]


FORBID = """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
program = b"".join(struct.pack("HBBI", *line) for line in (
    (0x20, 0, 0, 0),                     # load the system call's number
    (0x15, 0, 1, forbidden),             # is it the forbidden one?
    (0x06, 0, 0, 0x00050000 | 1),        # then EPERM
    (0x06, 0, 0, 0x7FFF0000),            # else allow
))
lines = ctypes.create_string_buffer(program)
filter_ = struct.pack("HxxxxxxP", 4, ctypes.addressof(lines))
libc.prctl(38, 1, 0, 0, 0)               # PR_SET_NO_NEW_PRIVS
answer = libc.prctl(22, 2, ctypes.create_string_buffer(filter_)) == 0
"""


def cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize("end", ["kill", "release", "close", "exit"])
def test_a_writers_end_ends_a_wait_at_once_and_once(actor, name, end):
    with Channel.create(name, "u8") as channel:
        writer = attached(actor, name, claim=True)
        writer("c.publish(1)")
        waiters = [attached(actor, name) for _ in range(2)]
        for waiter in waiters:
            waiter("c.wait(1, 0)")
            waiting(waiter, channel, "c.wait(1, 60)")
        began = time.monotonic()
        if end == "kill":
            writer.kill()
        elif end == "exit":
            writer.start("os._exit(0)")
        else:
            writer.start(f"c.{end}()")
        for waiter in waiters:
            assert waiter.result() == 1
            assert time.monotonic() - began < AT_ONCE_S
            assert not waiter("c.writer_alive")
            assert waiter("c.latest().version") == 1
            waiter.start("c.wait(1, 0.05)")
            assert waiter.result() == 1
            waiting(waiter, channel, "c.wait(1, 60)")


def test_a_writer_that_was_dead_before_the_wait_ends_it_too(actor, name):
    with Channel.create(name, "u8") as channel:
        writer = attached(actor, name, claim=True)
        writer("c.publish(1)")
        waiter = attached(actor, name)
        writer.kill()
        assert waiter("c.wait(1, 60)") == 1
        channel.claim()
        assert waiter("c.wait(1, 60)") == 1
        waiting(waiter, channel, "c.wait(1, 60)")
        channel.publish(2)
        assert waiter.result() == 2


def test_each_of_many_deaths_ends_one_wait(actor, name):
    with Channel.create(name, "u8") as channel:
        waiter = attached(actor, name)
        for version in range(1, 11):
            writer = attached(actor, name, claim=True)
            assert writer("c.publish(1)") == version
            while waiter(f"c.wait({version}, 0)") != version or waiter(f"wait_any([(c, {version})], 0)"):
                pass
            waiting(waiter, channel, f"c.wait({version}, 60)")
            writer.kill()
            assert waiter.result() == version
        assert channel.version == 10


def test_a_writers_start_time_tells_it_from_a_later_process_of_its_pid(actor, name):
    """A dead writer's pid may be a living process by now, or the waiter's: its start time does not fit."""
    with Channel.create(name, "u8") as channel:
        writer, living, waiter = attached(actor, name, claim=True), actor(), attached(actor, name)
        waiter("wait_any([(c, 0)], 0)")
        writer.kill()
        words = memoryview(_core.Memory(channel._segment.fd, 4096, True)).cast("Q")
        words[_core.OFFSET_WRITER_START // 8] -= 1
        for pid, late in ((living.pid, attached(actor, name)), (waiter.pid, waiter)):
            words[_core.OFFSET_WRITER_PID // 8] = pid
            assert late("c.wait(0, 60)") == 0, "the dead writer is noticed"


def test_a_claim_ends_a_wait(actor, name):
    with Channel.create(name, "u8") as channel:
        waiter = attached(actor, name)
        waiting(waiter, channel, "c.wait(0, 60)")
        channel.claim()
        assert waiter.result() == 0


def test_a_doorbell_rung_elsewhere_ends_a_wait_on_one_and_on_many(actor, name):
    with Channel.create(name, "u8") as channel:
        waiter = attached(actor, name)
        bell = _core.Doorbell(_core.Memory(channel._segment.fd, 4096, True), 2048)
        waiter("bell = _core.Doorbell(_core.Memory(c._segment.fd, 4096, True), 2048)")
        waiter("c._set_doorbell(bell)")
        for code in ("c.wait(0, 60)", "wait_any([(c, 0)] * 127, 60)", "bell.wait_until(-1)"):
            waiting(waiter, channel, code)
            bell.ring()
            assert waiter.result() in (0, [], True)
            bell.reset()


@pytest.mark.parametrize("code", ["c.wait(0, 60)", "wait_any([(c, 0), (c, 0)], 60)"])
def test_a_signals_exception_leaves_a_wait_and_the_handle_as_it_was(actor, name, code):
    with Channel.create(name, "u8") as channel:
        waiter = attached(actor, name)
        waiter("def stop(*_): raise InterruptedError('asked to')\nsignal.signal(signal.SIGUSR1, stop)")
        waiter("signal.signal(signal.SIGUSR2, lambda *_: None)")
        for _ in range(3):
            waiting(waiter, channel, code)
            os.kill(waiter.pid, signal.SIGUSR2)
            until(lambda: is_asleep(waiter.pid))
            os.kill(waiter.pid, signal.SIGUSR1)
            with pytest.raises(ActorError, match="asked to"):
                waiter.result()
        channel.claim()
        channel.publish(3)
        assert waiter("c.latest().version") == 1
        waiter("c.close()")


def test_a_handle_in_which_a_thread_waits_is_not_closed_under_it(actor, name):
    with Channel.create(name, "u8") as channel:
        one = attached(actor, name)
        one(
            "bell = _core.Doorbell()\nc._set_doorbell(bell)\nc.may_spin = False\nfound = []\n"
            "t = threading.Thread(target=lambda: found.append(c.wait(0, 60)))\nt.start()"
        )
        thread = one("t.native_id")
        until(lambda: is_asleep(one.pid, thread))
        for code in ("c.close()", "c.claim()"):
            with pytest.raises(ActorError, match="BusyError"):
                one(code)
        channel.claim()  # which ends the wait
        one("t.join(20)")
        assert one("found") == [0]
        one("c.close()")


def test_handles_are_closed_and_opened_under_spinning_waits_without_a_crash(actor, name):
    with Channel.create(name, "u8"):
        one = attached(actor, name, claim=True)
        one(
            """
c.publish(0)
import sys
sys.setswitchinterval(1e-6)
r = None
def spin():
    while not done:
        try:
            handle = r
            if handle is not None:
                handle.wait(handle.version, 0.0001)
        except ipc.ChannelError:
            pass
done = False
threads = [threading.Thread(target=spin) for _ in range(2)]
for t in threads: t.start()
for n in range(400):
    r = Channel.attach(name)
    c.publish(n)
    for _ in range(20):
        try:
            r.close()
            break
        except ipc.BusyError:
            c.publish(n)
done = True
for t in threads: t.join(20)
""",
            name=name,
        )


def test_a_wait_that_can_not_watch_the_writer_says_so(actor, name):
    with Channel.create(name, "u8") as channel:
        writer = attached(actor, name, claim=True)
        waiter = attached(actor, name)
        waiter("wait_any([(c, 0)], 0)")
        waiter(
            "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (32, 64))\nheld = []\n"
            "try:\n while True: held.append(os.open('/dev/null', os.O_RDONLY))\nexcept OSError: pass"
        )
        with pytest.raises(ActorError, match=r"OSError.*Too many open files"):
            waiter("c.wait(0, 60)")
        waiter("for fd in held: os.close(fd)")
        waiting(waiter, channel, "c.wait(0, 60)")
        writer.kill()
        assert waiter.result() == 0


# claims ----------------------------------------------------------------------------------------------------


def test_a_second_writer_is_refused_by_the_holders_pid(actor, name):
    with Channel.create(name, "u8") as channel:
        writer = attached(actor, name, claim=True)
        with pytest.raises(ClaimedError, match=f"pid {writer.pid}") as caught:
            channel.claim()
        assert str(Path(sys.executable)) in caught.value.holder
        writer.kill()
        assert channel.claim() == 2


def test_claims_that_race_are_won_by_one_at_a_time(actor, name):
    with Channel.create(name, "u8", keep=4000) as channel:
        racers = [attached(actor, name) for _ in range(3)]
        for racer in racers:
            racer.start(
                """
wins = []
deadline = time.monotonic() + 20
while len(wins) < 150 and time.monotonic() < deadline:
    try:
        epoch = c.claim()
    except ipc.ClaimedError:
        continue
    before = c.version
    versions = [c.publish(epoch) for _ in range(5)]
    assert versions == list(range(before + 1, before + 6)), (before, versions)
    wins.append(epoch)
    c.release()
answer = wins
"""
            )
        wins = [epoch for racer in racers for epoch in racer.result()]
        assert sorted(wins) == list(range(1, 451))
        records = channel.since(0).records
        assert len(records) == channel.version == 5 * 450
        assert all(record.epoch == int(record.value) for record in records)


def test_after_a_fork_the_child_holds_nothing(actor, name):
    with Channel.create(name, "u8") as channel:
        parent = attached(actor, name, claim=True)
        parent("c.publish(1)\nv = c.view()")
        answer = parent(
            """
import json
readable, writable = os.pipe()
pid = os.fork()
if pid == 0:
    said = {}
    uses = {
        "publish": lambda: c.publish(2), "latest": c.latest, "into": lambda: c.latest_into(np.array(0, "u8")),
        "since": lambda: c.since(0), "new": c.new, "history": lambda: c.history(1), "view": c.view,
        "claim": c.claim, "release": c.release, "writing": lambda: c.writing().__enter__(),
        "wait": lambda: c.wait(0, 0), "any": lambda: wait_any([(c, 0)], 0), "version": lambda: c.version,
        "alive": lambda: c.writer_alive, "valid": lambda: v.valid, "close": c.close,
    }
    for use, call in uses.items():
        try:
            call()
            said[use] = "nothing"
        except Exception as error:
            said[use] = type(error).__name__
    other = Channel.attach(c.name)
    said["value"] = int(other.latest().value)
    try:
        other.claim()
    except ipc.ClaimedError as error:
        said["holder"] = str(error)
    said["leaks"] = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd not in
                     (str(other._segment.fd),) and os.path.exists(f"/proc/self/fd/{fd}")
                     and c.name in os.readlink(f"/proc/self/fd/{fd}")]
    os.write(writable, json.dumps(said).encode())
    os._exit(0)
os.waitpid(pid, 0)
answer = json.loads(os.read(readable, 65536))
"""
        )
        assert answer.pop("close") == "nothing"
        assert answer.pop("value") == 1
        assert f"pid {parent.pid}" in answer.pop("holder")
        assert answer.pop("leaks") == []
        assert set(answer.values()) == {"ForkedError"}, answer
        assert parent("c.publish(2)") == 2
        assert channel.version == 2


@pytest.mark.parametrize("how", ["os.fork()", "ctypes.CDLL(None).fork()"], ids=["python", "c"])
def test_a_writers_death_frees_its_claim_and_its_segment_while_its_forked_child_lives(actor, name, how):
    writer = actor()
    writer("import ctypes\nc = Channel.create(name, 'u8')\nc.claim()\nc.publish(1)\nv = c.view()", name=name)
    child = writer(
        "readable, writable = os.pipe()\n"
        f"pid = {how}\n"
        "if pid == 0:\n"
        "    os.write(writable, b'x')\n"
        "    signal.pause()\n"
        "os.read(readable, 1)\n"
        "answer = pid"
    )
    child_pidfd = os.pidfd_open(child)
    try:
        writer.kill()
        assert not is_readable(child_pidfd, 0), "the child lives"
        with Channel.create(name, "u8") as channel:
            assert not channel.writer_alive
            assert channel.claim() == 2
            assert channel.publish(2) == 2
    finally:
        signal.pidfd_send_signal(child_pidfd, signal.SIGKILL)
        os.close(child_pidfd)


def test_a_forked_child_closes_no_descriptor_that_has_another_use_by_then(actor, name):
    with Channel.create(name, "u8"):
        one = attached(actor, name)
        assert one(
            """
fd = c._segment.fd
os.dup2(os.open("/dev/null", os.O_RDWR), fd)
readable, writable = os.pipe()
if os.fork() == 0:
    os.write(writable, os.readlink(f"/proc/self/fd/{fd}").encode())
    c.close()
    del c
    os.write(writable, os.readlink(f"/proc/self/fd/{fd}").encode())
    os._exit(0)
os.wait()
answer = os.read(readable, 100)
"""
        ) == (b"/dev/null" * 2)


def test_closing_in_the_child_touches_what_was_opened_since_as_little_as_exit_does(actor, name):
    with Channel.create(name, "u8"):
        one = attached(actor, name, claim=True)
        assert (
            one(
                """
fd = c._segment.fd
readable, writable = os.pipe()
if os.fork() == 0:
    assert not os.path.exists(f"/proc/self/fd/{fd}")
    while os.open("/dev/zero", os.O_RDONLY) != fd:
        pass
    c.close()
    answer = os.read(fd, 1)
    del c
    import gc
    gc.collect()
    os.write(writable, os.read(fd, 1) + b"ok")
    os._exit(0)
os.wait()
answer = os.read(readable, 100)
"""
            )
            == b"\0ok"
        )
        assert one("c.publish(1)") == 1


def test_nobody_waits_for_a_stopped_writer(actor, name):
    with Channel.create(name, "u8") as channel:
        writer = attached(actor, name, claim=True)
        writer("c.publish(1)\nw = c.writing()\nw.__enter__()[()] = 99")
        writer.stop()
        began = time.monotonic()
        for _ in range(100):
            assert channel.latest().version == 1
            assert int(channel.view()) == 1
            assert [int(record.value) for record in channel.since(0).records] == [1]
        with pytest.raises(ClaimedError, match=f"pid {writer.pid}"):
            channel.claim()
        assert time.monotonic() - began < AT_ONCE_S
        writer.go_on()
        writer("w.__exit__(None, None, None)")
        assert int(channel.latest().value) == 99


def test_a_stopped_writer_that_lost_its_claim_is_fenced_when_it_goes_on(actor, name):
    with Channel.create(name, "u8") as channel:
        writer = attached(actor, name, claim=True)
        writer("c.publish(1)\nw = c.writing()\nw.__enter__()[()] = 99")
        writer("os.close(c._segment.fd)")
        writer.stop()
        assert channel.claim() == 2
        assert channel.publish(2) == 2
        writer.go_on()
        with pytest.raises(ActorError, match=r"FencedError.*epoch 2 writes it, this handle's was 1"):
            writer("w.__exit__(None, None, None)")
        with pytest.raises(ActorError, match="FencedError"):
            writer("c.publish(3)")
        with pytest.raises(ActorError, match="FencedError"):
            writer("c.writing().__enter__()")
        assert (channel.version, int(channel.latest().value)) == (2, 2)
        assert channel.publish(3) == 3


# owners ----------------------------------------------------------------------------------------------------


def test_what_a_killed_owner_left_is_taken_up_with_its_records_and_its_living_writer(actor, name):
    owner = actor()
    owner("c = Channel.create(name, 'u8')", name=name)
    writer = attached(actor, name, claim=True)
    writer("for n in range(1, 6): c.publish(n)")
    with pytest.raises(SegmentExistsError, match=f"pid {owner.pid}"):
        Channel.create(name, "u8")
    owner.kill()
    with pytest.raises(SegmentExistsError, match=f"pid {writer.pid}.*still writes"):
        Channel.create(name, "f4")
    with Channel.create(name, "u8") as channel:
        assert [int(record.value) for record in channel.since(0).records] == [1, 2, 3, 4, 5]
        assert writer("c.publish(6)") == 6
        assert channel.latest().version == 6
        writer.kill()
        assert channel.claim() == 2
        assert channel.publish(7) == 7
    assert not (SHM / name).exists()


def test_waiters_on_a_replaced_segment_are_woken_and_told(actor, name):
    owner = actor()
    owner("c = Channel.create(name, 'u8')\nc.claim()\nc.publish(1)", name=name)
    waiter = attached(actor, name)
    waiter("wait_any([(c, 1)], 0)")
    owner.kill()
    waiter("c.wait(1, 1)")
    waiter("c.may_spin = False")
    waiter.start("while True: c.wait(1, 60)")
    until(lambda: is_asleep(waiter.pid))
    with Channel.create(name, "f4") as channel:
        with pytest.raises(ActorError, match="ReplacedError"):
            waiter.result()
        waiter("c.close()\nc = Channel.attach(name)")
        assert waiter("str(c.dtype)") == "float32"
        channel.claim()
        channel.publish(np.float32(1))
        assert waiter("c.latest().version") == 1


def test_makers_that_race_for_a_dead_owners_segment_get_one_owner(actor, name):
    for _ in range(5):
        makers = [actor() for _ in range(4)]
        for number, maker in enumerate(makers):
            maker.start(
                "try:\n    c = Channel.create(name, dtype)\n    answer = 'owner'\n"
                "except ipc.SegmentExistsError: answer = 'refused'",
                name=name,
                dtype="u8" if number % 2 else "f4",
            )
        said = [maker.result() for maker in makers]
        assert said.count("owner") == 1, said
        for maker in makers:
            maker.kill()


# a process' end --------------------------------------------------------------------------------------------


def run_python(code, *arguments, before=()):
    command = [*before, sys.executable, "-W", "error", "-X", "dev", "-c", code, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


WITH_CARE = """
import os, sys
import numpy as np
from dolphin_mp.ipc import Channel
with Channel.create(sys.argv[1], "f8", (4,)) as channel:
    channel.claim()
    channel.publish(np.zeros(4))
    with Channel.attach(sys.argv[1]) as reader:
        reader.wait(0)
        view = reader.view()
with open(f"/proc/self/task/{os.getpid()}/children") as file:
    children = file.read()
left = os.path.exists("/dev/shm/" + sys.argv[1])
print(repr(children), "multiprocessing.resource_tracker" in sys.modules, left)
"""


def test_a_clean_end_leaves_no_segment_no_helper_process_and_no_warning(name):
    done = run_python(WITH_CARE, name)
    assert (done.stdout, done.stderr, done.returncode) == ("'' False False\n", "", 0)


@pytest.mark.parametrize("end", ["", "os._exit(3)", "raise SystemExit(0)", "os.kill(os.getpid(), 9)"])
def test_a_readers_end_removes_nothing_and_warns_of_nothing(name, end):
    with Channel.create(name, "u8") as channel:
        channel.claim()
        channel.publish(1)
        code = "import os, sys\nfrom dolphin_mp.ipc import Channel\nc = Channel.attach(sys.argv[1])\n"
        done = run_python(f"{code}c.latest()\nv = c.view()\n{end}", name)
        assert done.stderr == ""
        assert (SHM / name).exists()
        assert channel.latest().version == 1


def test_an_owner_that_forgot_to_close_warns_of_nothing_and_leaves_it_to_the_next(name):
    code = """
import sys, os
from dolphin_mp.ipc import Channel
c = Channel.create(sys.argv[1], "u8")
c.claim()
c.publish(5)
r = Channel.attach(sys.argv[1])
r.wait(1, 0)
"""
    done = run_python(code, name)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    with Channel.create(name, "u8") as channel:
        assert int(channel.latest().value) == 5


FULL = """
import os, sys
import numpy as np
from dolphin_mp.ipc import Channel, SegmentFullError
before = os.listdir("/proc/self/fd")
try:
    Channel.create("big", "u1", (1 << 20,), keep=8)
except SegmentFullError as error:
    print(error)
assert os.listdir("/dev/shm") == [] and os.listdir("/proc/self/fd") == before
channels = []
try:
    while True:
        channels.append(Channel.create(f"small{len(channels)}", "u1", (1 << 17,), keep=1))
except SegmentFullError as error:
    print(error)
for channel in channels:
    channel.claim()
    for n in range(20):
        channel.publish(np.full(1 << 17, n, "u1"))
    channel.close()
assert os.listdir("/dev/shm") == [] and channels
print("whole")
"""


def test_a_full_dev_shm_is_a_clear_error_and_never_a_bus_error():
    mount = 'mount -t tmpfs -o size=4m,mode=1777 tmpfs /dev/shm && exec "$@"'
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    inside = ["unshare", *root, "--mount", "--propagation", "private", "sh", "-c", mount, "sh"]
    try:
        probe = subprocess.run([*inside, "true"], capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare(1) here")
    if probe.returncode:
        pytest.skip(f"no private mount here: {probe.stderr.strip()}")
    done = run_python(FULL, before=inside)
    assert done.returncode == 0, done.stderr
    first, second, last = done.stdout.splitlines()
    assert "no room in /dev/shm for 'big': 10.0 MiB needed, 4.0 MiB free" in first
    assert "no room in /dev/shm for 'small" in second
    assert last == "whole"


# damage ----------------------------------------------------------------------------------------------------

FUZZ = """
import ctypes, random, warnings
warnings.simplefilter("ignore")
ctypes.CDLL(None).prctl(4, 0)
choose = random.Random(seed)
good = open("/dev/shm/" + name, "rb").read()
head = 4096
copy = f"{name}-fuzz{seed}"
said = {}
def use():
    with Channel.attach(copy) as c:
        array = np.zeros(c.shape, c.dtype)
        for call in (c.latest, lambda: c.latest_into(array), lambda: c.since(0), c.new, lambda: c.history(3),
                     lambda: c.view().tobytes(), lambda: c.wait(0, 0), lambda: c.wait(1 << 40, 1e-4), c.claim,
                     lambda: c.publish(array), lambda: c.writing().__enter__(), c.latest):
            try:
                call()
            except ipc.ChannelError as error:
                said[type(error).__name__] = said.get(type(error).__name__, 0) + 1
            except ValueError:
                said["ValueError"] = said.get("ValueError", 0) + 1
for n in range(rounds):
    content = bytearray(good)
    ends = choose.choice(((8, 96), (128, 296), (512, 640), (0, 4096), (4096, 4136)))
    words = range(*ends)
    for _ in range(choose.choice((1, 1, 1, 2, 5, 30))):
        at = choose.choice(words)
        flipped = content[at] ^ (1 << choose.randrange(8))
        content[at] = choose.choice((0, 1, 255, 128, flipped, choose.randrange(256)))
    if choose.random() < 0.3:
        at = choose.choice((8, 12, 16, 32, 40, 48, 52, 56, 60, 128, 256, 264, 272, 280, 288))
        value = choose.choice((0, 1, 2, 63, 64, 4095, 4096, 1 << 31, (1 << 32) - 1))
        content[at:at + 4] = value.to_bytes(4, "little")
    fd = os.open("/dev/shm/" + copy, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
    os.write(fd, content)
    os.close(fd)
    try:
        use()
        said["fine"] = said.get("fine", 0) + 1
    except ipc.SegmentInvalidError:
        said["SegmentInvalidError"] = said.get("SegmentInvalidError", 0) + 1
    except ipc.BusyError:
        said["BusyError"] = said.get("BusyError", 0) + 1
answer = said
"""


@pytest.mark.parametrize("seed", range(2))
def test_a_damaged_header_is_refused_or_used_but_never_crashes_or_hangs(actor, name, seed):
    kind = np.dtype([("a", "f8"), ("b", "S3"), ("c", "M8[ns]", (2,))])
    with Channel.create(name, kind, (3,)) as channel:
        channel.claim()
        for _ in range(5):
            channel.publish(np.zeros(3, kind))
        one = actor()
        said = one(FUZZ, name=name, seed=seed, rounds=1500)
        assert said.get("fine", 0) > 20
        assert said.get("SegmentInvalidError", 0) > 20
        assert said.get("OverrunError", 0) > 5, "a corrupt `committed` is an overrun at worst"


def test_a_name_removed_by_hand_stops_nobody(actor, name):
    with Channel.create(name, "u8") as channel:
        channel.claim()
        (SHM / name).unlink()
        with Channel.create(name, "f4") as other:
            assert channel.publish(2) == 1
            assert channel.latest().version == 1
            assert other.latest() is None
    assert not (SHM / name).exists()


def test_replaced_is_raised_by_a_wait_on_many(actor, name):
    owner = Channel.create(f"{name}-a", "u8")
    with Channel.create(f"{name}-b", "u8") as other, Channel.attach(f"{name}-a") as reader:
        owner.close()
        with Channel.create(f"{name}-a", "u8"), pytest.raises(ReplacedError, match=f"{name}-a"):
            wait_any([(other, 0), (reader, 0)], 5)
