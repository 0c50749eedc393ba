"""The exit codes of the command, and the error that carries one."""

from __future__ import annotations

DONE, FAILED, WRONG_USE, NOT_RUNNING, NO_SUCH = 0, 1, 2, 3, 4
INTERRUPTED, NOBODY_READS = 130, 141  # as a shell reports a death by SIGINT and SIGPIPE


class CommandError(Exception):
    """A command can't do what was asked: one line that says what to do, and the exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


# Errors of other modules by (module, class): looked up by name, so that no command imports what it has no use
# for only to tell its errors apart.
CODES = {
    ("dolphin_mp.faults", "ConfigurationError"): WRONG_USE,
    ("dolphin_mp.client", "NotRunningError"): NOT_RUNNING,
    ("dolphin_mp.client", "ClientError"): FAILED,
    ("dolphin_mp.parent.errors", "LaunchError"): FAILED,
    ("dolphin_mp.paths", "FolderError"): FAILED,
    ("dolphin_mp.ipc.errors", "ChannelError"): FAILED,
}
CODES_OF_ANSWERS = {
    "no_such_component": NO_SUCH,
    "no_such_channel": NO_SUCH,
    "not_running": NOT_RUNNING,
    "bad_request": WRONG_USE,
    "bad_command": WRONG_USE,
    "bad_configuration": WRONG_USE,
}


def known_code(error: BaseException) -> int | None:
    """Give the exit code of an error that was raised on purpose; None for what nobody foresaw."""
    if isinstance(error, CommandError):
        return error.code
    for kind in type(error).__mro__:
        code = CODES.get((kind.__module__, kind.__qualname__))
        if code is not None:
            return CODES_OF_ANSWERS.get(getattr(error, "code", ""), code)
    return None
