"""A command's own unforeseen end: the traceback goes to a file, one line to the user."""

from __future__ import annotations

import os
import sys
import time
import traceback

from dolphin_mp.faults import one_line
from dolphin_mp.paths import log_folder


def write_traceback(error: BaseException) -> str:
    """Write the traceback down; gives what happened and where to look, for one line."""
    path = log_folder() / f"command-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    text = f"dolphin-mp {' '.join(sys.argv[1:])}\n" + "".join(traceback.format_exception(error))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as refused:
        where = f"DOLPHIN_DEBUG=1 shows its traceback ({path.parent} can't be written: {refused.strerror})"
    else:
        where = f"its traceback is in {path}"
    return f"{one_line(error)}; {where}"
