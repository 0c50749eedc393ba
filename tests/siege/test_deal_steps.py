"""Whatever instruction an instance stops or dies at while it takes a record, none is skipped or doubled."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

STEPPER = Path(__file__).with_name("deal_stepper.py")
REFUSED = 77


@pytest.mark.parametrize(("records", "changes"), [("fresh", 5), ("overwritten", 11)])
def test_stopped_overtaken_or_killed_at_any_change_of_the_deal(records, changes):
    command = [sys.executable, str(STEPPER), records]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode == REFUSED:
        pytest.skip(f"no ptrace(2) here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["changes"] >= changes
