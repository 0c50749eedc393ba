"""Deaths of processes that are another's children, and the ends of their groups."""

import os
import select
import signal
import subprocess
import sys

import pytest

from dolphin_mp.exits import exit_code_of, is_dead, kill_group
from dolphin_mp.ipc import Board, lock
from dolphin_mp.ipc.holders import holder_of


def start(code, **settings):
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, **settings)


def wait_dead(pidfd):
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(20_000)


@pytest.mark.parametrize(("end", "code"), [("sys.exit(7)", 7), ("os.kill(os.getpid(), 11)", -11)])
@pytest.mark.parametrize("reaped", [False, True])
def test_how_it_ended_is_known_before_and_after_somebody_reaps_it(end, code, reaped):
    process = start(f"import os, sys; sys.stdin.read(); {end}")
    start_time = lock.start_time(process.pid)
    pidfd = os.pidfd_open(process.pid)
    assert not is_dead(pidfd)
    assert exit_code_of(pidfd, process.pid, start_time) is None
    process.stdin.close()
    wait_dead(pidfd)
    if reaped:
        process.wait()
        if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 15):
            code = None  # such a kernel forgets it
    assert is_dead(pidfd)
    assert exit_code_of(pidfd, process.pid, start_time) == code
    process.wait()
    os.close(pidfd)


def test_what_is_left_of_a_group_is_killed_after_its_leader_is_gone():
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid); sys.stdin.read()"
    process = start(code, stdout=subprocess.PIPE, start_new_session=True)
    left = os.pidfd_open(int(process.stdout.readline()))
    leader = os.pidfd_open(process.pid)
    process.stdin.close()
    process.wait()
    kill_group(leader, process.pid)
    wait_dead(left)
    kill_group(leader, process.pid)  # nobody is left: nothing happens
    process.stdout.close()
    for pidfd in (left, leader):
        os.close(pidfd)


def test_who_holds_a_rows_lock_is_found_whatever_the_row_says(world):
    name = f"{world.name}.holders"
    board = Board.create(name, world.name)
    board.add("ob")
    row = board.add("edge")
    assert holder_of(name, Board.lock_of(row)) == 0
    code = f"""
from dolphin_mp.ipc import Board
board = Board.attach({name!r})
board.take_row({row})
print("taken", flush=True)
input()
"""
    process = start(code, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"taken\n"
    assert holder_of(name, Board.lock_of(row)) == process.pid
    assert holder_of(name, Board.lock_of(row - 1)) == 0
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert holder_of(name, Board.lock_of(row)) == 0
    for pipe in (process.stdin, process.stdout):
        pipe.close()
    board.close(unlink=True)
