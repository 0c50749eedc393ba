"""One component's life inside a process: attach, set up, step, close; what it says goes to its board row."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

from dolphin_mp.component import Done, create_component
from dolphin_mp.hang.arming import Member
from dolphin_mp.ipc import (
    Channel,
    ChannelError,
    ClaimedError,
    SegmentMissingError,
    SupersededError,
    _core,
)
from dolphin_mp.ipc.board import ComponentPart, pack_component
from dolphin_mp.loader import load_component, load_imported
from dolphin_mp.logs.stream import speak_for
from dolphin_mp.paths import schedule_file, segment_name
from dolphin_mp.process.inputs import Inputs
from dolphin_mp.process.rhythm import Never, rhythm_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from dolphin_mp.component import Component
    from dolphin_mp.crashes.last_words import LastWords
    from dolphin_mp.ipc import Board
    from dolphin_mp.ipc._core import Ring
    from dolphin_mp.plan import ComponentPlan
    from dolphin_mp.process.notify import Notifier
    from dolphin_mp.process.required import Required
    from dolphin_mp.process.rhythm import Rhythm

FAILED, TRY_AGAIN, TERMINATED = 1, 75, 143  # sysexits.h: EX_TEMPFAIL; a shell's word for SIGTERM


class Terminated(SystemExit):
    """SIGTERM came after the component had been asked to stop: leave whatever it is doing."""


class Runner:
    """Runs one component and is its host: it hears its beats and knows whether it was asked to stop.

    Attributes: plan; row (of the board); bell (rung: stop); exit_code; timer (the descriptor of the process'
    timer, to be told to a parent that adopts it).
    """

    def __init__(
        self,
        plan: ComponentPlan,
        system: str,
        incarnation: int,
        board: Board,
        notifier: Notifier,
        last_words: LastWords,
        launched_ns: int = 0,
        row: int = -1,
    ) -> None:
        self.plan = plan
        self.exit_code = 0
        self.row = board.add(plan.name, row)
        self.bell = board.doorbell(self.row)
        self._system = system
        self._board = board
        self._notifier = notifier
        self._last_words = last_words
        self._launched_ns = launched_ns
        self.timer = -1
        self._words = board.words(self.row)
        self._cell = board.component_cell(self.row)
        self._part = ComponentPart(incarnation=incarnation)
        self._part_lock = threading.Lock()  # the component's thread and the sampler's write one cell
        self._channels: dict[str, Channel] = {}  # its outputs
        self._inputs = Inputs(plan)
        self._loaded: tuple[type[Component], Any] | None = None
        self._counts_publishes = False
        self._counted = 0
        self._rhythm: Rhythm = Never()
        # found out before the component's environment is taken on, which may name other folders
        self._schedule_file = schedule_file(system, plan.name) if plan.schedule else ""
        self._event_loop: asyncio.AbstractEventLoop | None = None

    # what the component asks of its host ------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Whether the component was asked to stop."""
        return self.bell.rung

    def beat(self) -> None:
        """Count as a step."""
        self._words[0] += 1
        self._words[1] = _core.boottime_ns()

    # its life ---------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Open what there is to open already; nobody sees anything of it."""
        for output in self.plan.outputs:
            with contextlib.suppress(ChannelError):  # which will be told when it is needed
                name = segment_name(self._system, output.channel)
                self._channels[output.attribute] = Channel.attach(name, to_claim=True)
        self._inputs.prepare(self._system)
        self._loaded = load_imported(self.plan)

    def run(self) -> None:
        """Be the component until it is asked to stop, is done or fails; sets `exit_code`."""
        speak_for(self.plan.name)
        try:
            self._board.take_row(self.row, self._launched_ns)
        except SupersededError:  # the next parent looks after this component, and hears nothing of us
            self.exit_code = TRY_AGAIN
            return
        except ClaimedError as error:  # its row is another's to write
            self._say_failed(str(error), TRY_AGAIN)
            return
        self._board.set_timer(self.row, self.timer)
        self._words[2] = 0  # its predecessor was killed in the midst of a step
        try:
            self._report("starting")
            self._live()
            self._report("stopped")
        except Done:
            self._report("done")
            self._notifier.say(self.plan.name, self._part.incarnation, "done")
        except Terminated:
            self.exit_code = TERMINATED
            self._report("stopped", reason="terminated")
        except SystemExit as leave:
            self._leave(leave.code)
        except BaseException as error:  # noqa: BLE001 - whatever ends a component ends its process, and is told
            sys.stderr.write(traceback.format_exc())  # at once: it is one record then
            self._last_words.write(self.plan.name, error)
            self._fail(_describe(error), FAILED)
        finally:
            self._inputs.close()
            for channel in self._channels.values():
                with contextlib.suppress(ChannelError):
                    channel.close()
            self._words[2] = 0
            self._board.release_row(self.row)

    def _live(self) -> None:
        try:
            self._attach()
        except (ClaimedError, SegmentMissingError) as error:
            self._fail(str(error), TRY_AGAIN)
            return
        component_class, options = self._loaded or load_component(self.plan)
        log = logging.getLogger(self.plan.name)
        channels = {**self._channels, **self._inputs.values}
        component = create_component(
            component_class, name=self.plan.name, options=options, channels=channels, log=log, host=self
        )
        component.setup()
        self._report("ready", ready_ns=_core.boottime_ns())
        self._notifier.say(self.plan.name, self._part.incarnation, "ready")
        try:
            run = getattr(component, "run", None)
            if run is None:
                self._loop(component)
            else:
                self._counts_publishes = True
                import asyncio  # 6 MB of pages, which each fork and each death of the others would pay for

                asyncio.run(self._run_async(run))
        finally:
            self._report("stopping")
            component.close()

    def _attach(self) -> None:
        for output in self.plan.outputs:
            channel = self._channels.get(output.attribute)
            if channel is None:
                channel = Channel.attach(segment_name(self._system, output.channel), to_claim=True)
                self._channels[output.attribute] = channel
            channel.claim()
            channel._set_doorbell(self.bell)
        self._inputs.attach(self._system, self.bell, self._board.dealt_words(self.row))

    def _leave(self, code: object) -> None:
        """End as `sys.exit` says: a number is the exit code, a text the reason of a failure."""
        if code is None or code == 0:
            self._report("stopped")
        elif isinstance(code, int):
            self.exit_code = code & 0xFF
            self._report("failed", reason=f"exit {self.exit_code}")
        else:
            self._fail(str(code), FAILED)

    def refuse(self, reason: str) -> None:
        """Say why it can't begin; the process ends."""
        self._say_failed(reason, TRY_AGAIN)

    def condemn(self, reason: str) -> None:
        """Say why the process is about to be killed; from whatever thread."""
        self._fail(reason, FAILED)

    def overrun(self) -> str:
        """Say that its step has taken longer than its schedule allows, or nothing."""
        return self._rhythm.overrun()

    def _fail(self, reason: str, code: int) -> None:
        self._report("failed", reason=reason)
        self._say_failed(reason, code)

    def _say_failed(self, reason: str, code: int) -> None:
        sys.stderr.write(f"{self.plan.name}: {reason}\n")
        self.exit_code = code
        self._notifier.say(self.plan.name, self._part.incarnation, "failed", reason)

    # stepping ---------------------------------------------------------------------------------------------

    def _loop(self, component: Component) -> None:
        names = self.plan.on or (
            ()
            if self.plan.every_s or self.plan.schedule
            else tuple(item.attribute for item in self.plan.inputs)
        )
        plain = self._inputs.triggers(names)
        dealt = self._inputs.dealt_triggers(names)
        # what is dealt waits while a required input is stale, and is stepped on as soon as that is not
        triggers: list[Ring] = [*plain, *dealt, *self._inputs.awaited(plain, dealt)]
        required = self._inputs.required_of(plain)
        seen = [0] * len(triggers)
        rhythm = self._rhythm = rhythm_of(self.plan, self._schedule_file, component.log)
        was_stale = has_record = False
        while True:
            is_due = rhythm.take()
            if not is_due and not has_record and (was_stale or not required.is_stale(seen)):
                self._sleep(triggers, seen, required, was_stale)
                is_due = rhythm.take()
            if self.bell.rung:
                return
            newest = [channel.version for channel in triggers]
            is_stale = required.is_stale(seen)
            has_record = bool(dealt) and not is_stale and self._inputs.take()
            wakes = is_due or has_record or newest[: len(plain)] != seen[: len(plain)]
            if is_stale and (wakes or not was_stale):
                self._step(component.on_stale)
            elif is_due and not is_stale:
                rhythm.begin()
                self._step(component.step)
                rhythm.end()
            elif wakes and not is_stale:
                self._step(component.step)
            was_stale, seen = is_stale, newest

    def _sleep(self, triggers: list[Ring], seen: list[int], required: Required, was_stale: bool) -> None:
        """Wait for the next beat, a new record, the moment a required input goes stale, or the bell."""
        dues = [self._rhythm.wake_ns(), -1 if was_stale else required.turn_ns()]
        deadline = min((due for due in dues if due >= 0), default=-1)
        self._inputs.watch()
        if triggers:
            timeout_s = None if deadline < 0 else max(0.0, (deadline - time.monotonic_ns()) * 1e-9)
            _core.wait_for(triggers, seen, timeout_s, required.alarm)
        else:
            self.bell.wait_until(deadline, required.alarm)
        if required.alarm is not None:
            required.alarm.reset()

    def _step(self, work: Callable[[], Any]) -> None:
        words = self._words
        words[2] = _core.boottime_ns()
        try:
            work()
        except Done:  # whose record is handled like any other's
            self._inputs.done()
            raise
        self._inputs.done()
        words[2] = 0
        words[1] = _core.boottime_ns()
        words[0] += 1

    async def _run_async(self, run: Callable[[], Any]) -> None:
        import asyncio

        loop = self._event_loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(run())

        def until_rung() -> None:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # for the main thread alone
            self.bell.wait_until(-1)
            with contextlib.suppress(RuntimeError):  # the loop is closed: run() had ended by itself
                loop.call_soon_threadsafe(task.cancel)

        threading.Thread(target=until_rung, name=f"{self.plan.name}-bell", daemon=True).start()
        try:
            await task
        except asyncio.CancelledError:
            if not self.bell.rung:
                raise

    # what it says of itself -------------------------------------------------------------------------------

    def member(self) -> Member:
        """Give what it is at; an event loop that does not answer is a step that does not end."""
        active = self._part.phase == "ready" and not self.bell.rung
        if active and self._event_loop is not None and not self._words[2]:
            self._words[2] = _core.boottime_ns()
            with contextlib.suppress(RuntimeError):  # it is closed: run() has just ended
                self._event_loop.call_soon_threadsafe(self._answer)
        due_ns = self._rhythm.wake_ns()
        hang_after_ns = int(self.plan.hang_after_s * 1e9)
        return Member(self.plan.name, active, self._words[2], self._words[1], due_ns, hang_after_ns)

    def _answer(self) -> None:
        self._words[2] = 0

    def sampled(self, cpu_percent: float, rss_bytes: int) -> None:
        """Take the process' sample into the row; called once a second from the sampler's thread."""
        if self._counts_publishes and self._part.phase == "ready":
            self._count_publishes()
        self._write(
            cpu_percent=cpu_percent,
            rss_bytes=rss_bytes,
            sampled_ns=_core.boottime_ns(),
            missed=self._rhythm.missed,
        )

    def _count_publishes(self) -> None:
        with contextlib.suppress(ChannelError):
            published = sum(self._channels[output.attribute].version for output in self.plan.outputs)
            if self._counted and published > self._counted:
                self._words[0] += published - self._counted
                self._words[1] = _core.boottime_ns()
            self._counted = published

    def _report(self, phase: str, *, reason: str = "", ready_ns: int | None = None) -> None:
        changes: dict[str, Any] = {"phase": phase, "reason": reason}
        if ready_ns is not None:
            changes["ready_ns"] = ready_ns
        self._write(**changes)

    def _write(self, **changes: Any) -> None:
        with self._part_lock:
            self._part = self._part._replace(**changes)
            self._cell.write(pack_component(self._part))


def _describe(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
