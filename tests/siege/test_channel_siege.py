"""Writers killed at random moments, hundreds of times; ten thousand with scripts/hunt --kills 10000."""

import json
import os
import subprocess
import sys
from pathlib import Path

HUNTER = Path(__file__).with_name("hunter.py")
KILLS = int(os.environ.get("DOLPHIN_MP_KILLS", "300"))


def test_writers_killed_at_random_moments_lose_and_tear_nothing():
    command = [sys.executable, str(HUNTER), "--kills", str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100 + KILLS, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["preys"]
    killed = {kind: sum(prey["kills"][kind] for prey in found) for kind in found[0]["kills"]}
    assert sum(killed.values()) == KILLS
    assert killed["as a writer"] > KILLS / 10
    assert killed["between commit and return"] > 0, "no writer was killed between the commit and its return"
    assert all(prey["read"] > 0 for prey in found)
