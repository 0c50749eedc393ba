"""Real processes that speak, and the one that writes it down: floods, kills, a full disk, nobody there."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dolphin_mp.logs.files import files_folder, look
from dolphin_mp.logs.keeper import Keeper
from dolphin_mp.logs.reader import Follower, history
from dolphin_mp.paths import make_runtime_folder

ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0
SYSTEM = "logged"
SPEAKER = """
import ctypes, faulthandler, logging, os, signal, sys, threading, time, traceback
from dolphin_mp.logs import stream
real = os.fdopen(os.dup(1), "w", buffering=1)
folder, name, epoch = sys.argv[1], sys.argv[2], int(sys.argv[3])
voice = stream.take_streams()
voice.open(folder, name, epoch, [name])
voice.take_descriptors()
voice.begin()
log = logging.getLogger(name)
def pause(seconds):
    threading.Event().wait(seconds)
def tell(*words):
    print(*words, file=real, flush=True)
def dropped():
    return sum(pipe.dropped for pipe in stream._voice.pipes.values())
"""
FLOOD = """
line = "x" * 1000
for number in range(int(sys.argv[4])):
    print(line)
tell(dropped())
"""
QUIET = """
began = time.monotonic()
worst = 0.0
for number in range(int(sys.argv[4])):
    at = time.perf_counter()
    log.info("tick %d", number)
    worst = max(worst, time.perf_counter() - at)
    pause(max(0.0, began + (number + 1) * 1e-3 - time.monotonic()))
tell(dropped())
"""


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A runtime and a state folder of its own; the former short enough for sockets."""
    folder = tempfile.mkdtemp(prefix="dmp-")
    monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield Path(make_runtime_folder(SYSTEM))
    shutil.rmtree(folder, ignore_errors=True)


class Kept:
    """A keeper as the parent has it, and the processes that speak."""

    def __init__(self, home):
        self.keeper = Keeper(SYSTEM, str(home), ["loud", "quiet"])
        self.processes = []

    def start(self, code, name, *arguments, epoch=1):
        command = [sys.executable, "-c", SPEAKER + code, self.keeper.folder, name, str(epoch)]
        command += map(str, arguments)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def speak(self, code, name, *arguments, epoch=1):
        """Run it to its end; gives what it told."""
        return self.start(code, name, *arguments, epoch=epoch).communicate(timeout=LIMIT_S)[0]

    def kill_collector(self):
        os.kill(self.keeper.pid, signal.SIGKILL)
        wait_dead(self.keeper)

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        pid = self.keeper.pid
        self.keeper.end(10.0)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


@pytest.fixture
def kept(home):
    kept = Kept(home)
    yield kept
    if kept.keeper.pid:
        kept.end()


def wait_dead(keeper):
    assert select.select([keeper], [], [], LIMIT_S)[0], "the collector did not end"
    with contextlib.suppress(ChildProcessError):
        os.waitpid(keeper.pid, 0)


def records(name, stream=None):
    folder = files_folder(SYSTEM)
    found = history(folder, look(folder, {name}), 1 << 40)
    return [record for record in found if stream is None or record["stream"] == stream]


def said(name):
    return [record for record in records(name) if record["stream"] != "logs"]


def missing(name):
    return sum(record["dropped"] for record in records(name, "logs"))


def each_line_is_a_record(name):
    for path in Path(files_folder(SYSTEM)).glob(f"{name}.*.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            assert line.endswith(b"\n")
            json.loads(line)


def test_a_flood_is_counted_exactly_and_takes_nothing_from_a_quiet_neighbour(kept):
    quiet = kept.start(QUIET, "quiet", 2000)
    flood = kept.start(FLOOD, "loud", 200_000)
    dropped = int(flood.communicate(timeout=LIMIT_S)[0])
    assert int(quiet.communicate(timeout=LIMIT_S)[0]) == 0
    kept.end()
    assert [record["message"] for record in said("quiet")] == [f"tick {n}" for n in range(2000)]
    assert missing("quiet") == 0
    assert dropped > 0
    assert missing("loud") == dropped
    assert len(said("loud")) + dropped == 200_000
    assert {record["message"] for record in said("loud")} == {"x" * 1000}
    each_line_is_a_record("loud")


def test_a_collector_killed_in_a_flood_holds_up_nobody_and_the_next_one_takes_up(kept):
    quiet = kept.start(QUIET + "sys.stdin.read()", "quiet", 300)
    flood = kept.start("tell('here')\n" + FLOOD, "loud", 150_000)
    assert flood.stdout.readline() == "here\n"
    follower = Follower(wait_for_folder())
    assert select.select([follower], [], [], LIMIT_S)[0]
    follower.close()
    kept.kill_collector()
    flood.communicate(timeout=LIMIT_S)  # ends with nobody there
    assert kept.keeper.look_after()
    quiet.communicate(timeout=LIMIT_S)
    kept.end()
    received = said("loud")
    numbers = [record["seq"] for record in received]
    assert numbers == sorted(set(numbers))
    assert len(received) + missing("loud") == 150_000
    assert len(said("quiet")) + missing("quiet") == 300
    each_line_is_a_record("loud")


def wait_for_folder():
    """The collector makes it when it comes up."""
    folder = Path(files_folder(SYSTEM))
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def test_one_that_keeps_dying_is_left_alone_for_a_while_and_then_tried_again(kept, monkeypatch):
    kept.kill_collector()
    while kept.keeper.look_after():
        kept.kill_collector()
    assert kept.keeper.again_at is not None
    kept.speak("print('meanwhile')", "loud")
    monkeypatch.setattr("dolphin_mp.logs.keeper.SOUND_AFTER_S", 0.0)
    assert kept.keeper.look_after()
    assert kept.keeper.again_at is None
    kept.end()
    assert [record["message"] for record in said("loud")] == ["meanwhile"]


def test_what_was_said_while_no_collector_lived_is_there_after_its_speaker_s_death(kept):
    kept.kill_collector()
    kept.speak("log.info('last words'); os.write(2, b'raw words'); os.kill(os.getpid(), 9)", "loud")
    assert kept.keeper.look_after()
    kept.end()
    assert [(r["message"], r["stream"]) for r in said("loud")] == [
        ("last words", "log"),
        ("raw words", "stderr"),
    ]


def test_what_a_killed_process_had_dropped_is_told_though_it_never_spoke_again(kept):
    kept.kill_collector()
    kept.speak("for n in range(5000): print('x' * 1000)\nos.kill(os.getpid(), 9)", "loud")
    kept.speak("print('successor')", "loud", epoch=2)
    assert kept.keeper.look_after()
    kept.end()
    assert len(said("loud")) + missing("loud") == 5001
    assert missing("loud") > 0


TRACEBACKS = """
def deep(n):
    return deep(n - 1) if n else {}["key"]
try:
    deep(5)
except KeyError:
    traceback.print_exc()
    log.exception("logged")
    os.write(2, traceback.format_exc().encode())
worker = threading.Thread(target=deep, args=(2,), name="worker")
worker.start()
worker.join()
faulthandler.enable()
sys.stderr.flush()
deep(3) if len(sys.argv) > 4 else ctypes.string_at(0)
"""


def test_tracebacks_are_whole_however_they_were_printed(kept):
    kept.speak(TRACEBACKS, "loud", "uncaught")
    kept.speak(TRACEBACKS, "quiet")
    kept.end()
    for name in ("loud", "quiet"):
        graves = [record for record in said(name) if record["level"] == "error"]
        assert len(graves) == len(said(name)), said(name)
        whole = [record["message"] for record in graves if record["message"].endswith("KeyError: 'key'")]
        assert len(whole) == (5 if name == "loud" else 4)
        assert all("Traceback (most recent call last):" in message for message in whole)
        assert all(message.count("in deep") >= 3 for message in whole)
    assert sum(record["message"].startswith("logged\nTraceback") for record in said("loud")) == 1
    (crash,) = (r["message"] for r in said("quiet") if r["message"].startswith("Fatal Python error"))
    assert "Segmentation fault" in crash
    assert "in <module>" in crash


def test_each_record_says_who_when_and_what(kept):
    kept.speak("log.warning('careful'); print('printed'); os.system('echo from a shell')", "loud", epoch=7)
    kept.end()
    found = {record["message"]: record for record in said("loud")}
    assert set(found) == {"careful", "printed", "from a shell"}
    for record in found.values():
        assert record["component"] == "loud"
        assert record["pid"] == kept.processes[0].pid
        assert record["epoch"] == 7
    assert [found[m]["level"] for m in ("careful", "printed", "from a shell")] == ["warning", "info", "info"]
    assert [found[m]["stream"] for m in ("careful", "printed", "from a shell")] == ["log", "stdout", "stdout"]


def test_a_collector_does_nothing_when_nothing_is_said(kept):
    kept.speak("print('hello')", "loud")
    follower = Follower(wait_for_folder())
    if not said("loud"):
        assert select.select([follower], [], [], LIMIT_S)[0]

    def wakes():
        text = Path(f"/proc/{kept.keeper.pid}/status").read_text()
        return int(text.partition("voluntary_ctxt_switches:")[2].split()[0])

    ended = select.poll()
    ended.register(kept.keeper.fileno(), select.POLLIN)
    seen = [-1, wakes()]
    while seen[-1] != seen[-2] and len(seen) < LIMIT_S:  # what the pipes' opening has set going comes first
        assert ended.poll(1000) == []
        seen.append(wakes())
    assert seen[-1] == seen[-2], seen
    follower.close()


COMMAND = """
import sys
from argparse import ArgumentParser
from dolphin_mp.cli import logs
parser = ArgumentParser()
logs.add_arguments("logs", parser)
sys.exit(logs.execute(parser.parse_args()))
"""


def test_logs_can_be_followed_and_the_command_ends_when_nobody_reads_it(kept):
    kept.keeper.wait_ready(LIMIT_S)
    speaker = kept.start("for line in sys.stdin: print(line.strip()); tell('said')", "loud")
    say(speaker, "first")
    command = [sys.executable, "-c", COMMAND, "-f", "--system", SYSTEM, "loud"]
    follow = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert follow.stdout.readline().endswith(" loud info     first\n")
        say(speaker, "second")
        assert follow.stdout.readline().endswith(" loud info     second\n")
        follow.stdout.close()
        assert follow.wait(LIMIT_S) == 141
    finally:
        follow.kill()
        follow.wait()


def open_pipes(pid, name):
    """Give how many descriptors of a process lead to a pipe, or a count, of a speaker."""
    links = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            links.append(str(fd.readlink()))
    return sum(f"/logs/{name}." in link and ".jsonl" not in link for link in links)


def test_the_pipes_of_one_that_is_gone_for_good_are_closed_when_its_last_words_are_written(kept, home):
    kept.keeper.wait_ready(LIMIT_S)
    kept.speak("print('before')", "quiet")
    follower = Follower(wait_for_folder())
    kept.speak("print('last words')", "loud")
    kept.keeper.hold(["quiet"], ("quiet",))
    assert open_pipes(os.getpid(), "loud") == 0
    assert open_pipes(kept.keeper.pid, "quiet") == 3
    kept.keeper.hold(["quiet", "loud"], ("quiet", "loud"))  # another of its name
    kept.speak("print('again')", "loud", epoch=1)
    while [record["message"] for record in said("loud")] != ["last words", "again"]:
        assert select.select([follower], [], [], LIMIT_S)[0], said("loud")
        follower.read()
    follower.close()
    assert open_pipes(kept.keeper.pid, "loud") == 3
    assert missing("loud") == 0


PARENT = """
import os, sys
from dolphin_mp.logs.keeper import Keeper
keeper = Keeper("logged", sys.argv[1], ["loud"])
print(keeper.pid, flush=True)
sys.stdin.read()
"""


def test_it_outlives_its_parent_serves_the_next_and_ends_with_the_last_speaker(home):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    pid = int(parent.stdout.readline())
    code = "tell('here')\nfor line in sys.stdin: print(line.strip()); tell('said')"
    speaker = subprocess.Popen(
        [sys.executable, "-c", SPEAKER + code, str(home / "logs"), "loud", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert speaker.stdout.readline() == "here\n"
    collector = os.pidfd_open(pid)
    try:
        parent.kill()
        parent.communicate()
        follower = Follower(wait_for_folder())
        say(speaker, "orphaned")
        assert select.select([follower], [], [], LIMIT_S)[0]
        follower.close()
        keeper = Keeper(SYSTEM, str(home), ["loud"])
        assert keeper.pid == pid
        say(speaker, "adopted")
        keeper.close()
        say(speaker, "orphaned again")
        assert not select.select([collector], [], [], 0)[0]
        speaker.communicate(timeout=LIMIT_S)
        assert select.select([collector], [], [], LIMIT_S)[0], "it goes on though nobody can speak"
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(collector, signal.SIGKILL)
        os.close(collector)
        speaker.kill()
        speaker.communicate()
    assert [record["message"] for record in said("loud")] == ["orphaned", "adopted", "orphaned again"]


def say(speaker, text):
    speaker.stdin.write(f"{text}\n")
    speaker.stdin.flush()
    assert speaker.stdout.readline() == "said\n"


def test_it_ends_when_the_runtime_folder_goes(kept, home):
    speaker = kept.start("print('hello'); tell('here'); sys.stdin.read()", "loud")
    assert speaker.stdout.readline() == "here\n"
    kept.keeper.wait_ready(LIMIT_S)
    shutil.rmtree(home)
    wait_dead(kept.keeper)
    assert [record["message"] for record in said("loud")] == ["hello"]


def test_a_second_collector_leaves_the_first_alone(kept, home):
    assert (home / "logs" / "loud.out").exists()
    kept.keeper.wait_ready(LIMIT_S)
    command = [sys.executable, "-P", "-m", "dolphin_mp.logs.collector", SYSTEM]
    assert subprocess.run(command, timeout=LIMIT_S, check=False).returncode == 75


FULL_DISK = """
import json, os, select, sys, tempfile
from pathlib import Path
from dolphin_mp.logs.files import look
from dolphin_mp.logs.collector import Collector
from dolphin_mp.logs.reader import history
from dolphin_mp.logs.stream import Voice
files = sys.argv[1]
scratch = tempfile.TemporaryDirectory(dir="/dev/shm")
pipes = scratch.name
voice = Voice()
voice.open(pipes, "ob", 1, ["ob"])
voice.begin()
collector = Collector(pipes, files + "/logs")
filler = Path(files, "filler")
sent = 0
def speak(count):
    global sent
    for _ in range(count):
        voice.say("info", "log", f"{sent} " + "x" * 500)
        sent += 1
        if sent % 50 == 0:
            turn()
    turn()
def turn():
    while events := collector._epoll.poll(0):
        collector._turn(events)
speak(100)
try:
    with filler.open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()
except OSError:
    pass
speak(2000)
full = os.statvfs(files).f_bavail
filler.unlink()
speak(100)
collector._finish()
found = history(files + "/logs", look(files + "/logs"), 1 << 40)
for path in Path(files, "logs").iterdir():
    for line in path.read_bytes().splitlines(keepends=True):
        assert line.endswith(b"\\n")
        json.loads(line)
said = [record for record in found if record["stream"] == "log"]
notes = [record for record in found if record["stream"] == "logs"]
print(json.dumps({"sent": sent, "said": len(said), "full": full,
    "dropped": sum(note["dropped"] for note in notes), "why": notes[0]["message"],
    "last": said[-1]["message"].split()[0]}))
"""


def test_a_full_disk_is_survived_counted_and_said_when_it_is_over(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    shell = 'mount -t tmpfs -o size=512k tmpfs "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    probe = [*command, 'mount -t tmpfs -o size=64k tmpfs "$1"', "sh", str(disk)]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no private mount namespace: it takes unshare(1) and unprivileged user namespaces")
    done = subprocess.run(
        [*command, shell, "sh", str(disk), sys.executable, FULL_DISK],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["full"] == 0
    assert told["dropped"] > 0
    assert told["said"] + told["dropped"] == told["sent"]
    assert "could not be written (No space left on device) since" in told["why"]
    assert told["last"] == str(told["sent"] - 1)


def test_a_collector_that_may_not_choose_how_it_is_scheduled_goes_on(tmp_path):
    code = (
        "import os, sys\n"
        "def refuse(*_): raise PermissionError(1, 'Operation not permitted')\n"
        "os.sched_setscheduler = refuse\n"
        "from dolphin_mp.logs.collector import main\n"
        "sys.argv = ['collector', 'nobody']\n"  # a system that has ended: it leaves at once
        "sys.exit(main())\n"
    )
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
