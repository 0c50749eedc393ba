"""SIGTERM ends what the main thread is at, whichever thread the kernel gives it to."""

import os
import signal
import subprocess

from dolphin_mp import Component, Output

ROUNDS = 50

SLEEPER = """
    import signal, sys, threading, time
    from dolphin_mp.ipc import _core
    from dolphin_mp.process.runner import Terminated
    from dolphin_mp.process.signals import Nudge, catch_signals

    class Rung:
        class bell:
            rung = True

    catch_signals([Rung], alone=False)
    nudge = Nudge()

    def pulse():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        while not nudge.wait_until(time.monotonic_ns() + 10**9): pass

    threading.Thread(target=pulse, daemon=True).start()
    for _ in range(30):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    how = [lambda: time.sleep(600), threading.Event().wait, lambda: _core.Doorbell().wait_until(-1)]
    for round in range(int(sys.argv[1])):
        try:
            print(round, flush=True)
            how[round % 3]()
        except Terminated:
            continue
    nudge.end()
"""


def test_the_main_thread_wakes_however_many_others_could_take_it(world):
    """A process that was stopped as the signal came has any of its threads take it."""
    process = world.python(SLEEPER, str(ROUNDS), stdout=subprocess.PIPE)
    for round_ in range(ROUNDS):
        assert process.stdout.readline() == f"{round_}\n".encode()
        if round_ % 2:
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
    assert world.finish(process) == 0
    process.stdout.close()


def test_a_component_full_of_threads_leaves_a_long_step_in_order(up, world):
    class Threaded(Component):
        every = "1h"
        out = Output("i8")

        def step(self):
            import threading
            import time

            for _ in range(30):
                threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
            self.out.publish(1)
            time.sleep(600)

        def close(self):
            self.out.publish(2)

    client, _ = up({f"t{n}": (Threaded, {"stop_within": "3s"}) for n in range(3)})
    for n in range(3):
        world.version(client, f"t{n}.out")
        os.kill(world.rows(client)[f"t{n}"]["pid"], signal.SIGSTOP)  # SIGTERM finds it stopped
    for n in range(3):
        client.request("stop", component=f"t{n}", wait=False) if n < 2 else client.stop("t2")
    for n in range(3):
        assert world.version(client, f"t{n}.out", 1) == 2


def test_a_signal_to_a_forked_process_is_not_one_to_the_component(up, world):
    class Forks(Component):
        every = "5ms"
        child = Output("i8")
        code = Output("i8")

        def setup(self):
            import os

            reading, writing = os.pipe()
            self.pid = os.fork()
            if self.pid == 0:
                import time

                os.write(writing, b"x")
                time.sleep(600)
                os._exit(0)
            os.read(reading, 1)  # CPython forgets what comes in the midst of a fork
            self.child.publish(self.pid)

        def step(self):
            import os

            pid, status = os.waitpid(self.pid, os.WNOHANG) if self.pid else (0, 0)
            if pid:
                self.code.publish(os.waitstatus_to_exitcode(status))
                self.pid = 0

    client, _ = up({"forks": Forks})
    os.kill(int(world.record(client, "forks.child").value), signal.SIGTERM)
    assert world.record(client, "forks.code").value == -signal.SIGTERM
    row = world.rows(client)["forks"]
    assert (row["state"], row["restarts"]) == ("ready", 0)
