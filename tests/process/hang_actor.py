"""A process that steps, idles or hangs: board, name, timer, runtime folder, hang_after in s, manner."""

import ctypes
import os
import platform
import sys
import threading
import time

from dolphin_mp.crashes.last_words import LastWords
from dolphin_mp.hang.arming import PULSE_NS, Member
from dolphin_mp.hang.lifeline import Lifeline
from dolphin_mp.ipc import Board, _core
from dolphin_mp.ipc.board import ComponentPart, pack_component

BEGUN, ENDED, BEATS = 2, 1, 0
CLONE_VM, CLONE_VFORK, SIGCHLD = 0x100, 0x4000, 17
SYS_CLONE = {"x86_64": 56, "aarch64": 220}


class Actor:
    def __init__(self, board, name, timer, hang_after_s):
        self.board = Board.attach(board)
        row = self.board.add(name)
        self.board.take_row(row)
        self.words = self.board.words(row)
        self.cell = self.board.component_cell(row)
        self.bell = self.board.doorbell(row)
        self.name = name
        self.lifeline = Lifeline(timer)
        self.hang_after_ns = int(hang_after_s * 1e9)
        self.due_ns = -1
        self.ready_ns = _core.boottime_ns()
        self.pulse()
        threading.Thread(target=self.pulses, daemon=True).start()

    def pulses(self):
        while not self.bell.wait_until(time.monotonic_ns() + PULSE_NS):
            self.pulse()

    def pulse(self):
        self.cell.write(
            pack_component(ComponentPart("ready", 1, 0.0, 0, _core.boottime_ns(), 0, self.ready_ns))
        )
        _, ended, begun = self.words
        self.lifeline.put_off([Member(self.name, True, begun, ended, self.due_ns, self.hang_after_ns)])

    def step(self, work):
        self.words[BEGUN] = _core.boottime_ns()
        work()
        self.words[BEGUN] = 0
        self.words[ENDED] = _core.boottime_ns()
        self.words[BEATS] += 1

    def beat(self):
        self.words[BEATS] += 1
        self.words[ENDED] = _core.boottime_ns()


def hang_in_python():
    threading.Event().wait()


def hang_with_the_gil():
    ctypes.PyDLL(None).sleep(60)


def hang_uninterruptibly():
    """vfork(2) without an exec: the caller is in state D until the child, which shares all with it, ends."""
    libc = ctypes.CDLL(None)
    if libc.syscall(SYS_CLONE[platform.machine()], CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0) == 0:
        libc.sleep(60)
        os._exit(0)


def act(actor, manner):
    bell = _core.Doorbell()
    rest = lambda s: bell.wait_until(time.monotonic_ns() + int(s * 1e9))  # noqa: E731
    match manner:
        case "idle":
            actor.bell.wait_until(-1)
        case "rare":
            actor.due_ns = time.monotonic_ns() + int(3600e9)
            actor.pulse()
            actor.bell.wait_until(-1)
        case "steps":
            while not actor.bell.rung:
                actor.step(lambda: None)
                rest(0.02)
        case "slow":
            while not actor.bell.rung:
                actor.step(lambda: rest(0.35))
        case "beats":
            actor.step(lambda: [(rest(0.1), actor.beat()) for _ in range(1000) if not actor.bell.rung])
        case _:
            actor.step(globals()[f"hang_{manner}"])


def main():
    board, name, timer, folder, hang_after_s, manner = sys.argv[1:]
    words = LastWords(folder, name, 1)
    words.open()
    words.listen()
    actor = Actor(board, name, int(timer), float(hang_after_s))
    print("ready", flush=True)
    act(actor, manner)


if __name__ == "__main__":
    main()
