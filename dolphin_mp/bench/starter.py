"""A system's parent that ends its system as soon as all of it is up, and says how long that took.

argv: the configuration. Answers on stdout in one line of JSON: ns until it was launched and until all was up.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def time_start(path: Path) -> dict[str, int]:
    """Give, in ns until all is up: "cold", from the program's start; "warm", from when the zygote was up."""
    began = time.monotonic_ns()
    command = [sys.executable, "-P", "-m", __name__, str(path)]
    answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    if set(answer["states"].values()) != {"ready"}:
        raise RuntimeError(f"not all components became ready: {answer['states']}")
    return {"cold": answer["settled"] - began, "warm": answer["settled"] - answer["launched"]}


def main() -> None:
    """Run the system."""
    from dolphin_mp.parent.launch import run_system

    told: dict[str, Any] = {}

    def hear(event: dict[str, Any]) -> None:
        if event["event"] in {"launched", "settled"}:
            told[event["event"]] = time.monotonic_ns()
        if event["event"] == "settled":
            told["states"] = event["states"]
            os.kill(os.getpid(), signal.SIGTERM)

    output = os.dup(1)
    os.dup2(2, 1)  # what a component says is no answer
    run_system(sys.argv[1], listener=hear)
    os.write(output, json.dumps(told).encode())


if __name__ == "__main__":
    main()
