"""A throwaway process imports the users' code, checks the system and gives the plan or all its faults.

What a user's module does when it is imported, be it a crash, a hang or a thread left behind, thus never
reaches the parent or the zygote.
"""

from __future__ import annotations

import json
import sys

from dolphin_mp.faults import ConfigurationError
from dolphin_mp.plan import plan_to_json
from dolphin_mp.process.preload import traces
from dolphin_mp.system import find_system


def inspect(config: str | None) -> bytes:
    """Check a configuration file, None for the usual one; gives JSON with a ``plan`` or with ``faults``.

    With a plan comes ``clean``: whether the imports have left no traces, so that the zygote may do them too.
    """
    from pathlib import Path

    before = traces()
    try:
        plan = find_system(Path(config) if config else None).plan()
    except ConfigurationError as error:
        return json.dumps({"faults": list(error.faults)}).encode()
    except BaseException as error:  # noqa: BLE001 - a user's module may raise anything
        import traceback

        traceback.print_exc(file=sys.stderr)
        return json.dumps({"faults": [f"{type(error).__name__}: {error}"]}).encode()
    return json.dumps({"plan": json.loads(plan_to_json(plan)), "clean": traces() == before}).encode()
