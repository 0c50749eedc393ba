"""The process that writes one bundle: ``dolphin_mp.crashes.writer PARCEL ANSWER FOLDER BUNDLES BYTES``.

The parcel is an inherited memory file, the answer an inherited socket: one line of JSON, with the bundle's
``path`` or an ``error``. However slow the disk is, only this process waits for it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

LINES = 50  # of each component
LAST_WORDS_S = 2.0  # chosen: a collector is up in 0.1 s; without one a bundle must come all the same
NICENESS = 10  # chosen: what goes on matters more than what has ended


def main() -> int:
    """Write one bundle; gives the exit code."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is the parent's, and the bundle tells what followed
    os.umask(0o077)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    parcel, answer, folder, bundles, nbytes = sys.argv[1:]
    report = _write(int(parcel), Path(folder), int(bundles), int(nbytes))
    with contextlib.suppress(OSError):  # the parent is gone
        os.write(int(answer), json.dumps(report).encode() + b"\n")
    if "error" in report:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"dolphin-mp: {report['error']}\n")
    return int("error" in report)


def _write(parcel: int, folder: Path, bundles: int, nbytes: int) -> dict[str, Any]:
    from dolphin_mp.crashes.parcel import ParcelError, unpack
    from dolphin_mp.crashes.shelf import Bounds, prune

    try:
        with open(parcel, "rb") as file:
            file.seek(0)
            facts, blobs = unpack(file.read())
        system, components = facts.get("system", ""), facts.get("components", ())
        _await_last_words(system, components, facts.get("died_at", ""))
        facts["log"] = _last_lines(system, components)
        path, left_out = _put(folder, facts, blobs)
        prune(folder, Bounds(bundles, nbytes))
    except ParcelError as error:
        return {"error": str(error)}
    except OSError as error:
        return {"error": f"no crash bundle could be written to {folder}: {error.strerror or error}"}
    report = {"id": path.name, "path": str(path)}
    return {**report, "note": left_out} if left_out else report


def _await_last_words(system: str, components: Sequence[str], died_at: str) -> None:
    """Wait, within a bound, until what they said before their death is written down.

    The parent tells each death among their words. It mostly is there already; not when a system has just
    begun, or a collector was killed.
    """
    from dolphin_mp.logs.files import files_folder
    from dolphin_mp.logs.pipe import FOLDER, LOCK
    from dolphin_mp.logs.reader import Follower, tail
    from dolphin_mp.paths import runtime_folder

    if not components or not os.path.exists(f"{runtime_folder(system)}/{FOLDER}/{LOCK}"):  # noqa: PTH110
        return  # nobody writes
    died, limit = died_at.removesuffix("Z"), time.monotonic() + LAST_WORDS_S
    silent = set(components)
    with contextlib.suppress(OSError):
        follower = Follower(files_folder(system), components)
        found = [record for name in components for record in tail(system, name, 1)]
        while silent := silent - {record["component"] for record in found if record["time"] > died}:
            if not select.select([follower], [], [], max(0.0, limit - time.monotonic()))[0]:
                break
            found = follower.read()
        follower.close()


def _last_lines(system: str, components: Sequence[str]) -> list[dict[str, Any]]:
    """Give what they said last."""
    from dolphin_mp.logs.reader import tail

    found: list[dict[str, Any]] = []
    for component in components:
        with contextlib.suppress(OSError):
            found += map(dict, tail(system, component, LINES))
    return sorted(found, key=lambda record: record["time"])


def _put(folder: Path, facts: dict[str, Any], blobs: Sequence[bytes]) -> tuple[Path, str]:
    """Put the whole bundle on the shelf, or on a full disk its core; gives its path and what was left out."""
    from dolphin_mp.crashes.bundle import write_bundle, write_core
    from dolphin_mp.crashes.shelf import put

    try:
        return put(folder, facts["id"], lambda place: write_bundle(place, facts, blobs)), ""
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        why = os.strerror(error.errno)
        short = {**facts, "left_out": f"log, configuration and records: {why}"}
        return put(folder, facts["id"], lambda place: write_core(place, short)), why


if __name__ == "__main__":
    sys.exit(main())
