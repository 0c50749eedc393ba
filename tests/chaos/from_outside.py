"""Blows from outside: operators, clients, readers, strangers."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import socket
import time
from typing import TYPE_CHECKING

import zmq
from checks import BACK_WITHIN_S, Effect
from on_components import killed
from world import kill

from dolphin_mp import Client
from dolphin_mp.paths import runtime_folder, segment_name

if TYPE_CHECKING:
    from random import Random

    from field import Field


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
