"""Some seconds of chaos; as long as you like with scripts/chaos --for 1h."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "chaos" / "run.py"
FOR = os.environ.get("DOLPHIN_MP_CHAOS", "6s")
CERTAIN = {
    "back",
    "goes on",
    "never two, all whole",
    "processes",
    "epochs",
    "nothing left",
    "nothing left at all",
}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_random_system_keeps_its_promises_whatever_dies():
    command = [sys.executable, str(RUN), "--for", FOR, "--seed", "2911", "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=220, check=False)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["violations"] == [], done.stderr
    assert done.returncode == 0
    assert sum(found["blows"].values()) >= 2
    assert found["checks"].keys() >= CERTAIN
    assert found["checks"]["records"] > 100
