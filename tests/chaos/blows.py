"""The blows. Each takes the field and its own chance, strikes, and says what may follow."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import proc
import zmq
from checks import BACK_WITHIN_S, UP, Effect
from world import kill

from dolphin_mp import Client
from dolphin_mp.client import NotRunningError
from dolphin_mp.paths import runtime_folder, segment_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from checks import Checks
    from design import Part
    from ledger import Ledger
    from observer import Observer
    from world import World

DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGTERM)
TAKEN_WITHIN_S = 10.0
ENDED = frozenset({"ready", "done", "failed"})
ROOMS = 8 << 20


@dataclass
class Field:
    """Where blows fall."""

    world: World
    observer: Observer
    checks: Checks
    ledger: Ledger
    rebuild: Callable[[], None]
    held: list[Any] = field(default_factory=list)
    frozen: list[int] = field(default_factory=list)
    adopts: bool = False

    @property
    def client(self) -> Client:
        assert self.world.client is not None
        return self.world.client

    def living(self) -> dict[str, int]:
        """Give the pids of the components that live, whoever supervises them."""
        with contextlib.suppress(NotRunningError), Client(self.world.design.name) as client:
            return {row["name"]: row["pid"] for row in client.status()["components"] if row["pid"]}
        return {}

    def pick(self, rng: Random, **facts: Any) -> Part:
        """Choose a component of these facts; not one that fails by itself anyway."""
        parts = [
            part
            for part in self.world.design.parts.values()
            if not part.moody and all(getattr(part, key) == value for key, value in facts.items())
        ]
        return rng.choice(parts)

    def alone(self, rng: Random) -> Part:
        """Choose one that has its process for itself and steps whatever the others do."""
        parts = [
            p
            for p in self.world.design.parts.values()
            if not p.moody and "process" not in p.keys and p.steady
        ]
        return rng.choice(parts)

    def pid(self, part: Part) -> int:
        return self.world.rows()[part.name]["pid"] or 0

    def death(
        self, text: str, *victims: Part, code: int = -9, bundles: bool = True, gone: bool = True
    ) -> Effect:
        """Say what may follow the death of these components' processes; to be called before they die."""
        rows = self.world.rows()
        effect = Effect(text)
        for victim in victims:
            for member in self.world.design.members(victim.process):
                pid = rows[member.name]["pid"] or 0
                effect.touched.add(member.name)
                effect.allowed[member.name] = after_exit(member, code)
                if gone:
                    effect.gone[member.name] = pid
                if bundles and pid and pid not in effect.bundles:
                    effect.bundles.append(pid)
        return effect

    def ordered(self, part: Part, deed: str) -> bool:
        """Have a component do something; tells whether it took the order in time."""
        self.world.order(part.name, deed)
        path = self.world.home / "orders" / part.name
        taken = self.world.wait(lambda: not path.exists(), TAKEN_WITHIN_S)
        path.unlink(missing_ok=True)
        return self.ledger.check("obeys", taken, f"{part.name} did not come to its next step")


def after_exit(part: Part, code: int) -> frozenset[str]:
    """Say in which states a component may be once its process has ended so."""
    if code == 78:
        return frozenset({"failed"})
    if code in {0, -signal.SIGTERM} and part.restart != "always":
        return frozenset({"done"}) if code == 0 else ENDED
    return UP | {"failed"} if part.may_fail else UP


# ------------------------------------------------------------------ components


def killed(on: Field, rng: Random) -> Effect:
    """A signal that kills, at a random moment."""
    victim, number = on.pick(rng), rng.choice(DEADLY)
    on.world.rest(rng.uniform(0, 0.1))
    effect = on.death(
        f"{number.name} to {victim.name}", victim, code=-number, bundles=number != signal.SIGTERM
    )
    kill(on.pid(victim), number)
    return effect


def killed_at_birth(on: Field, rng: Random) -> Effect:
    """One is killed, and so are its successors as soon as they are there."""
    victim, times = on.pick(rng), rng.randrange(1, 4)
    effect = on.death(f"SIGKILL to {victim.name} and {times} newborn", victim)
    process, system = victim.process, on.world.design.name
    titles = (
        f"{process} [dolphin-mp {system}]",
        f"zygote [dolphin-mp {system}]",
        f"spare [dolphin-mp {system}]",
    )
    known = set(proc.children_of(on.world.parent))
    kill(on.pid(victim), signal.SIGKILL)
    limit = time.monotonic() + 4.0
    while times and time.monotonic() < limit:
        for pid in set(proc.children_of(on.world.parent)) - known:
            delay_s = rng.choice([0.0, rng.uniform(0, 0.004), rng.uniform(0, 0.03)])
            time.sleep(delay_s)
            one = proc.look(pid)
            if one is not None and one.title.startswith(titles) and pid != on.world.zygote:
                kill(pid, rng.choice([signal.SIGKILL, signal.SIGABRT]))
                times -= 1
            known.add(pid)
        time.sleep(0.0005)
    return effect


def killed_in_setup(on: Field, rng: Random) -> Effect:
    """The slow one dies while it sets up."""
    victim = on.pick(rng, slow=True)
    effect = on.death(f"SIGKILL to {victim.name}, then in its setup", victim)
    first = on.pid(victim)
    kill(first, signal.SIGKILL)

    def second() -> int:
        row = on.world.rows()[victim.name]
        return row["pid"] if row["state"] == "starting" and row["pid"] not in {None, first} else 0

    if on.world.wait(second, 10.0) and (pid := second()):
        on.world.rest(rng.uniform(0, 0.3))
        if kill(pid, rng.choice(DEADLY[:3])):
            effect.bundles.append(pid)
            effect.gone[victim.name] = pid
    return effect


def many_killed(on: Field, rng: Random) -> Effect:
    """Several at once, the zygote with them by half."""
    processes = sorted({part.process for part in on.world.design.parts.values() if not part.moody})
    chosen = rng.sample(processes, rng.randrange(3, len(processes) + 1))
    victims = [on.world.design.members(process)[0] for process in chosen]
    effect = on.death(f"SIGKILL to {', '.join(chosen)} at once", *victims)
    pids = [on.pid(victim) for victim in victims]
    if rng.random() < 0.5:
        effect.text += " and the zygote"
        pids.insert(rng.randrange(len(pids) + 1), on.world.zygote)
    for pid in pids:
        kill(pid, signal.SIGKILL)
    return effect


def stopped(on: Field, rng: Random) -> Effect:
    """SIGSTOP: found hung, killed, restarted."""
    victim = on.pick(rng)
    effect = on.death(f"SIGSTOP to {victim.name}", victim)
    kill(on.pid(victim), signal.SIGSTOP)
    return effect


def misdeed(on: Field, rng: Random) -> Effect:
    """A component does itself what ends it: hangs, deadlocks, raises, exits, crashes."""
    deeds = ["hang-in-c", "deadlock", "fail", "exit 0", "exit 1", "exit 75", "exit 78"]
    victim, deed = on.pick(rng), rng.choice([*deeds, *(f"crash {number:d}" for number in DEADLY[:4])])
    word, _, number = deed.partition(" ")
    if word == "exit" and "process" in victim.keys:
        deed, word = "fail", "fail"
    code = int(number) if word == "exit" else 1
    effect = on.death(f"{victim.name} told to {deed}", victim, code=code, bundles=code != 0)
    if not on.ordered(victim, deed):
        return effect
    return effect


def stubborn(on: Field, rng: Random) -> Effect:
    """A component that heeds neither the asking nor SIGTERM is gone within `stop_within` all the same."""
    victim = on.alone(rng)
    effect = on.death(f"stop of {victim.name}, which does not listen", victim, bundles=False)
    on.ordered(victim, "stubborn")
    began = time.monotonic()
    on.client.stop(victim.name, timeout_s=BACK_WITHIN_S)
    on.ledger.extreme("stop_of_a_stubborn_s", time.monotonic() - began)
    row = on.world.rows()[victim.name]
    on.ledger.check("stopped is gone", row["pid"] is None, f"{victim.name} after its stop: {row}")
    on.client.start(victim.name, timeout_s=BACK_WITHIN_S)
    return effect


def failing_setup(on: Field, rng: Random) -> Effect:
    """One dies, and its successor can't set up."""
    victim, deed = on.pick(rng), rng.choice(["fail", "exit 75", "hang-in-c", "crash 11", "crash 9"])
    effect = on.death(f"SIGKILL to {victim.name}, {deed} in its next setup", victim)
    on.world.order(victim.name, deed, setup=True)
    kill(on.pid(victim), signal.SIGKILL)
    order = on.world.home / "orders" / f"{victim.name}.setup"
    if not on.world.wait(lambda: not order.exists(), TAKEN_WITHIN_S):
        failed = on.world.rows()[victim.name]["state"] == "failed"
        on.ledger.check("obeys", failed and victim.may_fail, f"{victim.name} did not come to its setup")
    order.unlink(missing_ok=True)
    return effect


def writer_killed(on: Field, rng: Random) -> Effect:
    """The process that writes a crash bundle dies over it."""
    victim = on.pick(rng)
    effect = on.death(f"SIGKILL to {victim.name} and to who writes its bundle", victim, bundles=False)
    kill(on.pid(victim), signal.SIGKILL)
    limit = time.monotonic() + 2.0
    while time.monotonic() < limit:
        for pid in proc.children_of(on.world.parent):
            one = proc.look(pid)
            if one is not None and "crashes.writer" in one.title:
                time.sleep(rng.uniform(0, 0.1))
                kill(pid, signal.SIGKILL)
                return effect
        time.sleep(0.001)
    return effect


def gluttony(on: Field, rng: Random) -> Effect:
    """A component takes more memory than it may."""
    victim = on.world.design.parts["greedy"]
    effect = on.death("greedy told to eat 300 MiB", victim)
    on.ordered(victim, "eat 300")
    return effect


def kin(on: Field, rng: Random) -> Effect:
    """A component with a child of its own dies; a child in its group dies with it."""
    victim, session = on.alone(rng), rng.choice(["own", "fork", "group"])
    before = set(on.world.kin())
    on.ordered(victim, f"beget {session}")
    on.world.wait(lambda: set(on.world.kin()) - before, 5.0)
    born = set(on.world.kin()) - before
    effect = on.death(f"SIGKILL to {victim.name} with a child in {session}", victim)
    kill(on.pid(victim), signal.SIGKILL)
    if session == "group":
        gone = on.world.wait(lambda: not born & set(on.world.kin()), 10.0)
        on.ledger.check("no orphan", gone, f"children {born} of {victim.name} live on")
    return effect


# ------------------------------------------------------------------ the machinery


def zygote_killed(on: Field, rng: Random) -> Effect:
    """The zygote dies, with a component before or behind it."""
    victim = on.pick(rng)
    order = rng.choice(["alone", "before", "behind"])
    if order == "alone":
        kill(on.world.zygote, signal.SIGKILL)
        return Effect("SIGKILL to the zygote")
    effect = on.death(f"SIGKILL to the zygote {order} {victim.name}", victim)
    pids = [on.world.zygote, on.pid(victim)]
    for pid in pids if order == "before" else reversed(pids):
        kill(pid, signal.SIGKILL)
        time.sleep(rng.choice([0, 0, rng.uniform(0, 0.02)]))
    return effect


def zygote_stopped(on: Field, rng: Random) -> Effect:
    """The zygote can't work for a while, and somebody dies meanwhile."""
    victim = on.pick(rng)
    effect = on.death(f"SIGKILL to {victim.name} while the zygote is stopped", victim)
    with on.world.stopped(on.world.zygote):
        kill(on.pid(victim), signal.SIGKILL)
        on.world.rest(rng.uniform(0.1, 1.5))
    return effect


def spare_killed(on: Field, rng: Random) -> Effect:
    """Those that are parked die, and a component behind them."""
    spares, victim = on.world.spares, on.pick(rng)
    effect = on.death(f"SIGKILL to {len(spares)} spares and to {victim.name}", victim)
    for pid in [*spares[: rng.randrange(len(spares) + 1)], on.pid(victim)]:
        number = signal.SIGKILL if pid not in spares else rng.choice([signal.SIGKILL, signal.SIGSTOP])
        kill(pid, number)
        if number == signal.SIGSTOP:
            on.frozen.append(pid)
    return effect


def collector_killed(on: Field, rng: Random) -> Effect:
    """The log collector dies; another takes up its work."""
    before = on.world.collector
    kill(before, signal.SIGKILL)
    back = on.world.wait(lambda: on.world.collector not in {0, before}, BACK_WITHIN_S)
    on.ledger.check("collector", back, f"no collector after {before} was killed")
    return Effect("SIGKILL to the log collector")


def collector_stopped(on: Field, rng: Random) -> Effect:
    """The log collector stands still, and one component talks and talks: that holds up nobody."""
    victim = on.alone(rng)
    with on.world.stopped(on.world.collector):
        on.ordered(victim, "flood 20000")
        version = on.observer.versions()[victim.name]
        came = on.observer.wait_record(victim.name, version + 3, BACK_WITHIN_S)
        on.ledger.check("goes on", came, f"{victim.name} stands still, as the collector does")
    return Effect(f"a flood of {victim.name} while the collector is stopped")


def flood(on: Field, rng: Random) -> Effect:
    """A component writes 4 MB, or rubbish comes out of its log pipe."""
    victim = on.alone(rng)
    if rng.random() < 0.5:
        on.ordered(victim, "flood 20000")
        return Effect(f"a flood of {victim.name}")
    path = Path(runtime_folder(on.world.design.name)) / "logs" / f"{victim.process}.out"
    fill(path, rng.choice([b"\xff\x00{[", b"{}\n", b'{"time":1}\n', b"x" * 5000 + b"\n"]), 1 << 18)
    return Effect(f"rubbish in the log pipe of {victim.name}")


def notify_full(on: Field, rng: Random) -> Effect:
    """The FIFO of words is full of rubbish while the parent stands still and somebody dies."""
    victim = on.pick(rng)
    effect = on.death(f"SIGKILL to {victim.name} while notify is full", victim)
    path = Path(runtime_folder(on.world.design.name)) / "notify"
    lie = {
        "component": victim.name,
        "incarnation": 1 << 40,
        "fact": rng.choice(["ready", "done"]),
        "reason": "",
    }
    with on.world.stopped(on.world.parent):
        fill(path, rng.choice([b"\xff\x00", b"{}\n", json.dumps(lie).encode() + b"\n"]), ROOMS)
        kill(on.pid(victim), signal.SIGKILL)
    return effect


def fill(path: Path, piece: bytes, most: int) -> None:
    """Write into a FIFO until it is full."""
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    block = piece * max(1, 4096 // len(piece))
    with contextlib.suppress(BlockingIOError):
        for _ in range(most // len(block)):
            os.write(fd, block)
    os.close(fd)


def parent_stopped(on: Field, rng: Random) -> Effect:
    """The parent stands still for a second; what dies meanwhile comes back, and nobody is called hung."""
    victims = [on.pick(rng) for _ in range(rng.randrange(3))]
    effect = on.death(f"SIGSTOP to the parent, SIGKILL to {[v.name for v in victims]}", *victims)
    with on.world.stopped(on.world.parent):
        for victim in victims:
            kill(on.pid(victim), signal.SIGKILL)
        on.checks.status_command()
        on.world.rest(rng.uniform(0.2, 1.0))
    return effect


def launch_killed(on: Field, rng: Random) -> Effect:
    """The parent dies, and so does the next one, in the midst of its launch; the third launch goes well."""
    effect = Effect("SIGKILL to the parent, and to the next in its launch")
    while on.frozen:
        kill(on.frozen.pop(), signal.SIGCONT)
    kill(on.world.parent, signal.SIGKILL)
    on.world.end_kin()
    on.world.wait(lambda: not on.world.status()["supervised"], 5.0)
    if not on.adopts and on.world.cli("shutdown").returncode != 0:
        on.ledger.check("orphans ended", False, "shutdown of orphans failed")
    launcher = on.world.start("-m", "dolphin_mp.cli", "launch", "dolphin.toml", "--detach", "--json")
    on.world.rest(rng.uniform(0.2, 1.2))
    for child in proc.children_of(launcher.pid):
        kill(child, signal.SIGKILL)
    launcher.communicate(timeout=BACK_WITHIN_S)
    del on.world.helpers[launcher.pid]
    with contextlib.suppress(NotRunningError):
        if (parent := Client(on.world.design.name).status()["pid"]) is not None:
            kill(parent, signal.SIGKILL)
    on.world.wait(lambda: not _is_supervised(on), 5.0)
    return effect | _relaunch(on)


def _is_supervised(on: Field) -> bool:
    with contextlib.suppress(NotRunningError), Client(on.world.design.name) as client:
        return bool(client.status()["supervised"])
    return False


def shutdown_killed(on: Field, rng: Random) -> Effect:
    """The parent dies in the midst of its shutdown; the next launch goes well."""
    while on.frozen:
        kill(on.frozen.pop(), signal.SIGCONT)
    on.world.end_kin()
    kill(on.world.parent, signal.SIGTERM)
    on.world.rest(rng.uniform(0, 0.4))
    kill(on.world.parent, signal.SIGKILL)
    on.world.wait(lambda: not _is_supervised(on), 5.0)
    return Effect("SIGKILL to the parent in its shutdown") | _relaunch(on)


def parent_killed(on: Field, rng: Random) -> Effect:
    """The parent dies, perhaps in the midst of something; components go on, the next launch has them."""
    victim, midst = on.pick(rng), rng.choice(["idle", "restart", "stop", "death", "orphan dies"])
    effect = on.death(f"SIGKILL to the parent ({midst}, {victim.name})", victim, bundles=False, gone=False)
    if midst in {"restart", "stop"}:
        on.client.request(midst, component=victim.name, wait=False)
        effect.allowed = {name: ENDED | {"stopped"} for name in effect.allowed}
    elif midst == "death":
        kill(on.pid(victim), signal.SIGKILL)
    elif midst == "idle":
        effect = Effect(effect.text)
    while on.frozen:  # a stopped spare can't see that its parent is gone
        kill(on.frozen.pop(), signal.SIGCONT)
    on.world.rest(rng.choice([0, rng.uniform(0, 0.05)]))
    kill(on.world.parent, signal.SIGKILL)
    on.world.wait(lambda: not on.world.status()["supervised"], 5.0)
    on.world.end_kin()  # who is in a session of its own is known to the parent that died alone
    if midst == "orphan dies":
        kill(on.pid(victim), signal.SIGKILL)
    _without_parent(on, effect)
    return effect | _relaunch(on)


def _without_parent(on: Field, effect: Effect) -> None:
    """Components publish on, status says how things are, and nobody removes what they stand on."""
    on.checks.status_command()
    status = on.world.status()
    on.ledger.check("unsupervised", not status["supervised"] and status["pid"] is None, f"{status}")
    for name, part in on.world.design.parts.items():
        if part.steady and name not in effect.touched and not part.moody:
            version = on.observer.versions()[name]
            came = on.observer.wait_record(name, version + 2, BACK_WITHIN_S)
            on.ledger.check("goes on without parent", came, f"{name} stands still without a parent")
    refused = on.world.cli("clean")
    on.ledger.check("clean refuses", refused.returncode != 0 or on.world.segments(), refused.stderr[-300:])


def _relaunch(on: Field) -> Effect:
    """Launch again: what lives is adopted, or, by an older release, has to be shut down first."""
    pids = on.living()
    began = time.monotonic()
    done = on.world.launch()
    on.ledger.extreme("relaunch_s", time.monotonic() - began)
    if done.returncode == 0 and pids:
        on.ledger.counts["adoptions"] += 1
        on.adopts = True
        rows = on.world.rows()
        lost = [name for name, pid in pids.items() if rows[name]["pid"] != pid]
        on.ledger.check("adopted", not lost, f"not adopted but replaced: {lost}")
        on.ledger.counts["adopted components"] += len(pids)
        return Effect("launched again", touched=set(on.world.design.parts) - set(pids))
    if done.returncode != 0:
        refused = pids and "live on" in done.stderr
        on.ledger.check("launch refused", refused, f"exit {done.returncode}: {done.stderr[-500:]}")
        ended = on.world.cli("shutdown")
        on.ledger.check("orphans ended", ended.returncode == 0, ended.stderr[-500:])
        on.world.wait(lambda: not on.world.segments(), 5.0)
        done = on.world.launch()
        on.ledger.check("launch", done.returncode == 0, done.stderr[-1000:])
    on.rebuild()
    return Effect("launched anew", touched=set(on.world.design.parts))


# ------------------------------------------------------------------ from outside


def operator(on: Field, rng: Random) -> Effect:
    """An operator restarts, stops and starts, with and without waiting."""
    victim, what = on.pick(rng), rng.choice(["restart", "stop and start", "in a hurry"])
    effect = on.death(f"{what} of {victim.name}", victim, bundles=False)
    if what == "restart":
        on.client.restart(victim.name, timeout_s=BACK_WITHIN_S)
    elif what == "stop and start":
        on.client.stop(victim.name, timeout_s=BACK_WITHIN_S)
        row = on.world.rows()[victim.name]
        down = row["state"] in {"stopped", "done", "failed"} and row["pid"] is None
        on.ledger.check("stopped is gone", down, f"{victim.name} after its stop: {row}")
        on.ledger.check(
            "last records stay", on.client.latest(f"{victim.name}.out"), f"{victim.name}.out is empty"
        )
        on.client.start(victim.name, timeout_s=BACK_WITHIN_S)
    else:
        for _ in range(rng.randrange(3, 12)):
            command = rng.choice(["start", "stop", "restart"])
            on.client.request(command, component=victim.name, wait=False)
            on.world.rest(rng.choice([0, rng.uniform(0, 0.1)]))
        on.client.start(victim.name, timeout_s=BACK_WITHIN_S)
        effect.gone.clear()
    return effect


def rubbish(on: Field, rng: Random) -> Effect:
    """Garbage, oversized and half-sent messages on the control socket."""
    path = f"{runtime_folder(on.world.design.name)}/control"
    requests = [b"", b"\xff\x00", b"[]", b'{"v": 1}', b'{"v": 1, "command": "stop", "args": 3}', b"{" * 60000]
    requests += [b"x" * 70_000, b"x" * (2 << 20), secrets.token_bytes(2000)]
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.connect(f"ipc://{path}")
        for _ in range(30):
            dealer.send_multipart([rng.choice(requests) for _ in range(rng.randrange(1, 4))])
    for _ in range(5):
        raw = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError):
            raw.connect(path)
            raw.sendall(
                rng.choice([b"\xff" + bytes(8) + b"\x7f\x03", rng.randbytes(500), b"GET / HTTP/1.1\r\n\r\n"])
            )
        on.held.append(raw) if rng.random() < 0.5 else raw.close()
    _answers(on)
    return Effect("rubbish on the control socket")


def client_flood(on: Field, rng: Random) -> Effect:
    """A client that asks and asks and reads no answer."""
    path = f"{runtime_folder(on.world.design.name)}/control"
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.connect(f"ipc://{path}")
        for number in range(3000):
            command = "ping" if number % 3 else "status"
            with contextlib.suppress(zmq.Again):
                dealer.send(json.dumps({"v": 1, "id": number, "command": command}).encode(), zmq.NOBLOCK)
    _answers(on)
    return Effect("a flood of requests")


def deaf_subscribers(on: Field, rng: Random) -> Effect:
    """Subscribers of events that never read, and one death for them to hear of."""
    context = zmq.Context()
    on.held.append(context)
    for _ in range(rng.randrange(5, 40)):
        deaf = context.socket(zmq.SUB)
        deaf.setsockopt(zmq.RCVHWM, 1)
        deaf.setsockopt(zmq.SUBSCRIBE, b"")
        deaf.connect(f"ipc://{runtime_folder(on.world.design.name)}/events")
    return killed(on, rng) | Effect("before subscribers that do not read")


def readers_killed(on: Field, rng: Random) -> Effect:
    """Readers of a channel die while they read or wait."""
    part = on.alone(rng)
    name = segment_name(on.world.design.name, f"{part.name}.out")
    code = (
        "from dolphin_mp.ipc import Channel\n"
        f"channel = Channel.attach({name!r})\n"
        "print('here', flush=True)\n"
        "while True:\n    channel.wait(channel.version, 1.0); channel.history(200)\n"
    )
    readers = [on.world.start("-c", code) for _ in range(2)]
    for reader in readers:
        assert reader.stdout is not None
        reader.stdout.readline()
    on.world.rest(rng.uniform(0, 0.2))
    for reader in readers:
        reader.kill()
        reader.communicate()
        del on.world.helpers[reader.pid]
    return Effect(f"readers of {part.name} killed")


def signals_to_parent(on: Field, rng: Random) -> Effect:
    """Signals that mean nothing to the parent."""
    for _ in range(50):
        kill(on.world.parent, rng.choice([signal.SIGCHLD, signal.SIGCONT, signal.SIGWINCH, signal.SIGURG]))
    return Effect("signals to the parent")


def _answers(on: Field) -> None:
    began = time.monotonic()
    with Client(on.world.design.name) as client:
        answer = client.request("ping", BACK_WITHIN_S)
    on.ledger.extreme("ping_s", time.monotonic() - began)
    on.ledger.check("control answers", answer["pid"] == on.world.parent, f"{answer}")


BLOWS: dict[str, tuple[Callable[[Field, Random], Effect], int]] = {
    "killed": (killed, 8),
    "killed at birth": (killed_at_birth, 5),
    "killed in setup": (killed_in_setup, 3),
    "many killed": (many_killed, 3),
    "stopped": (stopped, 2),
    "misdeed": (misdeed, 8),
    "failing setup": (failing_setup, 3),
    "stubborn": (stubborn, 2),
    "gluttony": (gluttony, 1),
    "kin": (kin, 2),
    "zygote killed": (zygote_killed, 3),
    "zygote stopped": (zygote_stopped, 2),
    "spare killed": (spare_killed, 2),
    "collector killed": (collector_killed, 1),
    "collector stopped": (collector_stopped, 1),
    "flood": (flood, 2),
    "notify full": (notify_full, 2),
    "parent stopped": (parent_stopped, 3),
    "parent killed": (parent_killed, 3),
    "launch killed": (launch_killed, 1),
    "shutdown killed": (shutdown_killed, 1),
    "bundle writer killed": (writer_killed, 1),
    "operator": (operator, 5),
    "rubbish": (rubbish, 2),
    "client flood": (client_flood, 1),
    "deaf subscribers": (deaf_subscribers, 1),
    "readers killed": (readers_killed, 2),
    "signals to parent": (signals_to_parent, 1),
}
