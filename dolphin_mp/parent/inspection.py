"""A throwaway process imports the users' code and checks a configuration; waited for, or beside the loop."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from dolphin_mp.faults import ConfigurationError
from dolphin_mp.parent.errors import LaunchError
from dolphin_mp.parent.subreaper import end_group
from dolphin_mp.plan import Plan, plan_from_json
from dolphin_mp.process.kin import end_kin, kill_kin, mark_of
from dolphin_mp.supervision.policy import exit_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolphin_mp.parent.assigning import Surroundings
    from dolphin_mp.parent.children import Children
    from dolphin_mp.parent.poller import Poller
    from dolphin_mp.parent.spawner import Line, Spawner

LIMIT_S = 60.0
_UNBORN = "it died at its birth"

Outcome = tuple[Plan, bool] | Exception  # the plan, and whether the imports left no trace


def inspect_now(spawner: Spawner, config: str | None, surroundings: Surroundings) -> tuple[Plan, bool]:
    """Check a configuration before there is a loop.

    Gives the plan, and whether the imports left the process as it was.

    Raises ConfigurationError, LaunchError, SpawnError.
    """
    line, memory = spawner.fork_inspector(_question(config, surroundings))
    with open(memory, "rb") as file:  # noqa: PTH123 - a descriptor
        said, how = _wait(line)
        file.seek(0)
        text = file.read()
    if said != b"done":
        raise _died(how)
    return _answer(text)


def _wait(line: Line) -> tuple[bytes, str]:
    """Give the inspector's last word and how it ended; it ends in any case."""
    pid, mark = None, 0
    line.socket.settimeout(LIMIT_S)
    try:
        pid = line.here()
        mark = mark_of(pid) if pid else 0
        said = line.socket.recv(16) if pid else b""
    except TimeoutError:
        raise _late() from None
    except ConnectionError:
        said = b""
    finally:
        line.close()
        how = exit_text(end_group(pid)) if pid else _UNBORN
        end_kin({mark})
    return said, how


class Inspection:
    """A check that goes on while the loop runs, in a fork of a new zygote: the present one may hold old code.

    Args:
        config: the configuration's path.
        surroundings: of the launch.
        spawner: of the new zygote, not started yet; whoever is told the outcome keeps or closes it.
        poller: tells of what the inspector says.
        children: tells of its death.
        done: takes the plan and whether the imports left no trace, or the error; called once.

    Attributes: deadline (`tick` is to be called then).

    Raises SpawnError.
    """

    def __init__(
        self,
        config: str,
        surroundings: Surroundings,
        spawner: Spawner,
        poller: Poller,
        children: Children,
        done: Callable[[Outcome], None],
    ) -> None:
        self._poller = poller
        self._children = children
        self._done = done
        self._line, self._memory = spawner.fork_inspector(_question(config, surroundings))
        self._line.socket.setblocking(False)
        self._pid = self._mark = 0
        self._is_over = False
        self.deadline = time.monotonic() + LIMIT_S
        poller.add(self._line.fileno(), self._spoke)

    def tick(self) -> None:
        """Give up if it takes too long."""
        if time.monotonic() >= self.deadline:
            self._end(_late())

    def close(self) -> None:
        """End it without an outcome."""
        if not self._is_over:
            self._is_over = True
            self._children.guests.pop(self._pid, None)
            self._poller.remove(self._line.fileno())
            self._line.close()
            os.close(self._memory)
            if self._pid:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._pid, signal.SIGKILL)
                for pidfd in kill_kin({self._mark}):  # reaped with the strangers
                    os.close(pidfd)

    def _spoke(self) -> None:
        """Hear its first word, which is its pid, or its last."""
        if self._pid:
            if self._last_word() == b"":  # it is dead: the kernel will say how
                self._poller.remove(self._line.fileno())
            return
        pid = self._line.here()
        if pid is None:
            self._end(_died(_UNBORN))
        else:
            self._pid, self._mark = pid, mark_of(pid)
            self._children.guests[pid] = self._left

    def _last_word(self) -> bytes | None:
        try:
            said = self._line.socket.recv(16)
        except BlockingIOError:
            return None
        except ConnectionError:
            return b""
        if said == b"done":
            with open(self._memory, "rb", closefd=False) as file:
                file.seek(0)
                text = file.read()
            try:
                self._end(_answer(text))
            except ConfigurationError as error:
                self._end(error)
        return said

    def _left(self, code: int) -> None:
        """It is dead; its last word may still be unread."""
        if self._last_word() != b"done":
            self._end(_died(exit_text(code)))

    def _end(self, outcome: Outcome) -> None:
        self.close()
        self._done(outcome)


def _question(config: str | None, surroundings: Surroundings) -> bytes:
    content = {
        "config": config,
        "environment": surroundings.environment,
        "cwd": surroundings.cwd,
        "open_files": surroundings.open_files,
    }
    return json.dumps(content).encode()


def _answer(text: bytes) -> tuple[Plan, bool]:
    data: dict[str, Any] = json.loads(text)
    if "faults" in data:
        raise ConfigurationError(data["faults"])
    return plan_from_json(json.dumps(data["plan"]).encode()), bool(data["clean"])


def _died(how: str) -> LaunchError:
    return LaunchError(
        f"importing the components ended the process that did it ({how}): see its output above"
    )


def _late() -> LaunchError:
    return LaunchError(
        f"importing the components took longer than {LIMIT_S:g} s: "
        "does a module do its work when it is imported?"
    )
