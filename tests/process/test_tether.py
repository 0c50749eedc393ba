"""A line that a process holds until it begins to die."""

import os
import select
import signal
import socket

import pytest

from dolphin_mp.ipc import _tether

LIMIT_S = 20.0


@pytest.fixture
def tied():
    """Give a function that forks a process which holds a line and runs something; gives (pid, our end)."""
    forked = []

    def tied(work):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                ours.close()
                held = _tether.hold(theirs.fileno())
                theirs.send(b"held" if held else b"not held")
                theirs.close()
                code = work() or 0
            finally:
                os._exit(code)
        theirs.close()
        ours.settimeout(LIMIT_S)
        forked.append((pid, ours))
        if ours.recv(20) != b"held":
            pytest.skip("unshare(2) is forbidden here")
        return pid, ours

    yield tied
    for pid, ours in forked:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        ours.close()


def wait():
    while True:
        signal.pause()


def test_the_line_outlasts_its_descriptor_and_ends_with_the_process(tied):
    pid, ours = tied(wait)
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):  # the process has closed its own
        ours.recv(1)
    ours.settimeout(LIMIT_S)
    os.kill(pid, signal.SIGKILL)
    assert ours.recv(1) == b""


def test_nothing_else_is_held(tied):
    reading, writing = os.pipe()

    def close_the_other():
        os.close(writing)
        wait()

    tied(close_the_other)
    os.close(writing)
    assert select.select([reading], [], [], LIMIT_S)[0]
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_signals_are_still_for_the_process_itself(tied):
    reading, writing = os.pipe()

    def until_asked():
        heard = []
        signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
        os.write(writing, b"x")
        while not heard:
            signal.sigtimedwait({signal.SIGUSR1}, 0.01)

    pid, ours = tied(until_asked)
    os.read(reading, 1)
    os.kill(pid, signal.SIGTERM)
    assert ours.recv(1) == b""
    assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_status == 0
    os.close(reading)
    os.close(writing)


def test_what_the_process_forks_does_not_hold_it(tied):
    reading, writing = os.pipe()

    def fork_and_die():
        if os.fork() == 0:
            os.close(writing)
            os.read(reading, 1)  # until the test lets go
        return 0

    _, ours = tied(fork_and_die)
    assert ours.recv(1) == b""
    os.close(writing)
    os.close(reading)
