"""Processes that hang in every way there is, and others that only idle: who is found out, who is let be."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dolphin_mp.crashes.last_words import path_of, take
from dolphin_mp.hang import timer
from dolphin_mp.hang.stacks import ask_for_stacks, kernel_view
from dolphin_mp.hang.watch import HangWatch
from dolphin_mp.ipc import Board
from dolphin_mp.logs import inotify
from dolphin_mp.parent.poller import Poller
from dolphin_mp.paths import board_name
from dolphin_mp.plan import ComponentPlan, Plan
from dolphin_mp.supervision.supervisor import (
    BecameReady,
    DumpStacks,
    Exited,
    Kill,
    Launched,
    Spawned,
    State,
    Supervisor,
    Ticked,
)

ACTOR = Path(__file__).with_name("hang_actor.py")
LIMIT_S = 20.0


class Parent:
    """As much of an orchestrator as it takes to watch one process."""

    def __init__(self, world, hang_after_s):
        self.part = ComponentPlan("ob", "x:X", "ob", b"", hang_after_s=hang_after_s)
        self.folder = str(world.runtime)
        self.board = Board.create(board_name(world.name), world.name)
        self.board.add("ob")
        self.poller = Poller()
        self.supervisor = Supervisor(Plan(world.name, (self.part,)), lambda: 0.5)
        self.watch = HangWatch(self.poller, self.board, self.handle, lambda _: self.process.pid)
        self.reasons = []
        self.view = ""
        self.process = None
        self.pidfd = -1
        self.wakeups = 0
        self.handle(Launched())

    def start(self, manner):
        fd = self.watch.begin("ob", 1, (self.part,))
        arguments = [self.board.name, "ob", fd, self.folder, self.part.hang_after_s, manner]
        self.process = subprocess.Popen(
            [sys.executable, ACTOR, *map(str, arguments)],
            pass_fds=[fd],
            stdout=subprocess.PIPE,
            process_group=0,
        )
        assert self.process.stdout.readline() == b"ready\n"
        self.pidfd = os.pidfd_open(self.process.pid)
        self.poller.add(self.pidfd, self.died)
        self.handle(Spawned("ob", 1, self.process.pid))
        self.handle(BecameReady("ob", 1))
        self.watch.expect("ob")

    def died(self):
        self.poller.remove(self.pidfd)
        self.watch.end("ob")
        self.handle(Exited("ob", 1, self.process.wait(LIMIT_S)))

    def handle(self, event):
        for action in self.supervisor.handle(event, time.monotonic()):
            match action:
                case DumpStacks():
                    self.reasons.append(self.supervisor.row("ob").reason)
                    self.view = kernel_view(self.process.pid)
                    ask_for_stacks(self.process.pid, self.pidfd)
                case Kill():
                    self.await_words()
                    os.killpg(self.process.pid, signal.SIGKILL)

    def await_words(self):
        """On a busy machine it may take longer to answer than it is granted."""
        watch = inotify.Watch(f"{self.folder}/crash", inotify.MODIFY)
        while not Path(path_of(self.folder, "ob", 1)).stat().st_size:
            assert select.select([watch], [], [], LIMIT_S)[0], "it does not say where it is"
            watch.changes()
        watch.close()

    def run(self, limit_s, until=lambda: False):
        """Be the loop for so long; tells whether `until` came true."""
        ends_at = time.monotonic() + limit_s
        while not until():
            due = min(ends_at, self.supervisor.deadline or ends_at)
            self.poller.poll(max(0.0, due - time.monotonic()))
            self.wakeups += 1
            if self.supervisor.deadline is not None and time.monotonic() >= self.supervisor.deadline:
                self.handle(Ticked())
            if time.monotonic() >= ends_at:
                return until()
        return True

    def replaced(self):
        return self.supervisor.row("ob").incarnation == 2

    def words(self):
        return take(path_of(self.folder, "ob", 1))

    def close(self):
        self.watch.close()
        self.poller.close()
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(LIMIT_S)
            self.process.stdout.close()
            os.close(self.pidfd)
        self.words()
        self.board.close(unlink=True)


@pytest.fixture
def parent_of(world):
    """Give a function that starts an actor of some manner and gives its parent."""
    world.runtime.mkdir(mode=0o700, parents=True)
    with contextlib.ExitStack() as stack:

        def parent_of(manner, hang_after_s=0.3):
            parent = Parent(world, hang_after_s)
            stack.callback(parent.close)
            parent.start(manner)
            return parent

        yield parent_of
    (world.runtime / "crash").rmdir()
    world.runtime.rmdir()


@pytest.mark.parametrize(
    ("manner", "frame"),
    [
        ("in_python", "in hang_in_python"),
        ("with_the_gil", "in hang_with_the_gil"),
        ("uninterruptibly", "in hang_uninterruptibly"),
    ],
)
def test_a_step_that_hangs_is_found_and_says_where(parent_of, manner, frame):
    parent = parent_of(manner)
    began = time.monotonic()
    assert parent.run(LIMIT_S, parent.replaced)
    assert parent.reasons[0].startswith("hung: step begun ")
    assert parent.supervisor.row("ob").reason == parent.reasons[0]
    assert frame in parent.words().stacks
    assert f"thread {parent.process.pid} " in parent.view
    assert time.monotonic() - began > 0.3


def test_what_is_uninterruptible_is_called_so(parent_of):
    parent = parent_of("uninterruptibly")
    assert parent.run(LIMIT_S, parent.replaced)
    assert "in uninterruptible sleep" in parent.reasons[0]
    assert "state D" in parent.view


def test_a_stopped_process_is_continued_to_say_where_it_was(parent_of):
    parent = parent_of("steps")
    signal.pidfd_send_signal(parent.pidfd, signal.SIGSTOP)
    assert parent.run(LIMIT_S, parent.replaced)
    assert "(stopped by a signal)" in parent.reasons[0]
    assert "in main" in parent.words().stacks
    assert "state T" in parent.view


def test_an_idle_process_is_never_hung_and_wakes_nobody(parent_of):
    parent = parent_of("idle", hang_after_s=1.8)
    assert not parent.run(3.5, lambda: bool(parent.reasons))
    assert parent.wakeups == 1  # the end of the test's own time
    assert parent.supervisor.row("ob").state is State.READY


def test_one_that_steps_each_hour_is_not_hung_between_and_wakes_nobody(parent_of):
    parent = parent_of("rare", hang_after_s=1.8)
    assert not parent.run(3.5, lambda: bool(parent.reasons))
    assert parent.wakeups == 1


@pytest.mark.parametrize("manner", ["slow", "beats"])
def test_long_steps_that_end_or_beat_in_time_are_not_hung(parent_of, manner):
    parent = parent_of(manner, hang_after_s=1.2)
    assert not parent.run(3.5, lambda: bool(parent.reasons))


def test_a_timer_is_shared_and_says_how_late_it_was_read():
    fd = timer.create_timer()
    try:
        assert timer.fired(fd) == 0
        timer.arm(fd, time.monotonic_ns() - 2_010_000_000)  # nearly a second to read it in
        assert timer.fired(fd) == 3
        timer.arm(fd, time.monotonic_ns() + 60_000_000_000)
        assert timer.fired(fd) == 0
        timer.arm(fd, 0)
        assert timer.fired(fd) > 1
        timer.disarm(fd)
        assert timer.fired(fd) == 0
    finally:
        os.close(fd)


ANOTHER = """
import sys
from dolphin_mp.hang import timer
fd = timer.create_timer()
print(fd, flush=True)
sys.stdin.readline()
timer.arm(fd, 0)
print("armed", flush=True)
sys.stdin.readline()
"""


def test_a_parent_takes_over_the_timer_of_a_process_it_did_not_make():
    child = subprocess.Popen([sys.executable, "-c", ANOTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    pidfd = os.pidfd_open(child.pid)
    with child:
        number = int(child.stdout.readline())
        try:
            fd = timer.take_over(pidfd, number)
        except PermissionError:
            child.kill()
            pytest.skip("this kernel lets nobody take over another one's descriptors")
        child.stdin.write(b"\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"armed\n"
        assert timer.fired(fd) > 1
        os.close(fd)
    os.close(pidfd)
