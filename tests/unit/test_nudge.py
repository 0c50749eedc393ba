"""Whoever takes a signal, the main thread hears of it."""

import os
import signal
import threading
import time

import pytest

from dolphin_mp.process import signals


@pytest.fixture
def nudge():
    before = {number: signal.getsignal(number) for number in (signals.NUDGE, signal.SIGUSR2)}
    signal.signal(signal.SIGUSR2, lambda *_: None)
    made = signals.Nudge()
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_nudge_that_ended_no_sleep_is_given_again(nudge, monkeypatch):
    """The main thread had just looked for signals, and began to sleep when it came."""
    given = []
    heard = threading.Event()

    def give(thread, number):
        given.append(number)
        if len(given) == 3:
            os.kill(os.getpid(), number)
            heard.set()

    monkeypatch.setattr(signal, "pthread_kill", give)
    ended = []
    pulse = threading.Thread(target=lambda: ended.append(nudge.wait_until(time.monotonic_ns() + 60 * 10**9)))
    pulse.start()
    os.kill(os.getpid(), signal.SIGUSR2)
    assert heard.wait(20)
    nudge.end()
    pulse.join(20)
    assert ended == [True]
    assert 3 <= len(given) <= 5  # the third is heard as soon as the main thread runs


def test_none_is_given_when_there_is_no_signal(nudge, monkeypatch):
    monkeypatch.setattr(signal, "pthread_kill", lambda *_: pytest.fail("nobody asked"))
    assert not nudge.wait_until(time.monotonic_ns() + 30_000_000)
    nudge.end()
