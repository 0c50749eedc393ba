"""Whatever instruction a process stops or dies at, the channel stays whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

STEPPER = Path(__file__).with_name("stepper.py")
REFUSED = 77

# what changes the segment at least, and how many places to die at; all of them with stepper.py by hand
OPERATIONS = {
    "publish": (8, 30),
    "publish-large": (6, 4),
    "writing": (8, 8),
    "claim": (5, 30),
    "release": (2, 30),
    "close": (2, 30),
    "take-up": (1, 40),
    "replace": (3, 40),
    "retire": (2, 30),
    "create": (0, 40),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_stopped_or_killed_at_any_instruction_of(operation):
    changes, kills = OPERATIONS[operation]
    command = [sys.executable, str(STEPPER), operation, "--kills", str(kills)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode == REFUSED:
        pytest.skip(f"no ptrace(2) here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["changes"] >= changes
    assert said["kills"] >= min(kills, said["places"])


@pytest.mark.parametrize(("wait", "publishes"), [("wait", 25), ("wait-many", 10)])
def test_a_publish_at_any_instruction_of_a_wait_ends_it(wait, publishes):
    command = [sys.executable, str(STEPPER), wait, "--kills", str(publishes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode == REFUSED:
        pytest.skip(f"no ptrace(2) here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["publishes"] == publishes
