"""What is imported only when it is used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dolphin_mp

HOME = Path(dolphin_mp.__file__).parents[1]
HEAVY = ("numpy", "pydantic", "dill", "multiprocess", "zmq", "rich")


@pytest.mark.parametrize("module", ["", ".component", ".plan", ".system", ".loader", ".faults"])
def test_importing_it_imports_nothing_heavy(module):
    code = f"import sys, dolphin_mp{module}; print([name for name in {HEAVY} if name in sys.modules])"
    env = {**os.environ, "PYTHONPATH": str(HOME)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
