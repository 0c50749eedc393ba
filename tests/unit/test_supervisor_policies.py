"""Long stories: crash loops, outages of hours, a driver that was frozen, a process that cannot be killed."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from dolphin_mp.plan import BackoffPlan, ComponentPlan, InputPlan, Plan
from dolphin_mp.supervision.lifecycle import GRACE_S, LATE_S
from dolphin_mp.supervision.stopping import DEAD_WITHIN_S
from dolphin_mp.supervision.supervisor import (
    Action,
    Ask,
    BecameReady,
    ComponentStatus,
    Exited,
    Finish,
    Forced,
    Kill,
    Launched,
    Report,
    RestartRequested,
    ShutdownRequested,
    Spawn,
    Spawned,
    StartRequested,
    State,
    StopRequested,
    Supervisor,
    Terminate,
    Ticked,
)

HOUR = 3600.0


def component(name: str, *reads: str, **policy: object) -> ComponentPlan:
    inputs = tuple(InputPlan(f"from_{name}", f"{name}.out") for name in reads)
    return ComponentPlan(name, "x:X", name, b"", after=reads, inputs=inputs, **policy)  # type: ignore[arg-type]


class Drive:
    """A supervisor and its clock; what it does is noted with its time."""

    def __init__(self, *components: ComponentPlan, seed: int = 1) -> None:
        self.supervisor = Supervisor(Plan("test", components), random.Random(seed).random)
        self.now = 0.0
        self.log: list[tuple[float, Action]] = []
        self.tell(Launched())

    def tell(self, event: object, at: float | None = None) -> list[Action]:
        self.now = self.now if at is None else at
        actions = self.supervisor.handle(event, self.now)  # type: ignore[arg-type]
        self.log += [(self.now, action) for action in actions]
        return [action for action in actions if not isinstance(action, Report)]

    def row(self, name: str = "ob") -> ComponentStatus:
        return self.supervisor.row(name)

    @property
    def incarnation(self) -> int:
        return self.row().incarnation

    def up(self, name: str = "ob") -> None:
        incarnation = self.row(name).incarnation
        self.tell(Spawned(name, incarnation, 1000 + incarnation))
        self.tell(BecameReady(name, incarnation))

    def die(self, code: int = 1) -> None:
        self.tell(Exited("ob", self.incarnation, code))

    def rest(self) -> float:
        """Wait until it is started anew; gives how long that took."""
        if self.row().state is not State.BACKOFF:
            return 0.0
        began, deadline = self.now, self.supervisor.deadline
        assert deadline is not None
        self.tell(Ticked(), at=deadline)
        return deadline - began

    def spawns(self, name: str) -> list[float]:
        return [at for at, action in self.log if isinstance(action, Spawn) and action.process == name]


# ------------------------------------------------------------------ crash loops and outages


def test_an_outage_of_hours_ends_by_itself() -> None:
    """Six hours of failures; the next try comes within the longest rest, and then all is as before."""
    backoff = BackoffPlan()
    drive = Drive(component("ob", backoff=backoff))
    while drive.now < 6 * HOUR:
        drive.tell(Spawned("ob", drive.incarnation, 7))
        drive.die(75)
        assert drive.rest() <= backoff.max_s * (1 + backoff.jitter)
    assert drive.row().state is State.STARTING
    drive.up()
    assert drive.row().state is State.READY
    drive.now += backoff.reset_after_s
    drive.die()
    assert drive.rest() == 0.0, "the outage is forgotten"
    drive.up()
    drive.die()
    assert drive.rest() <= backoff.first_s * (1 + backoff.jitter)


def test_a_lapse_soon_after_an_outage_rests_as_long_as_before() -> None:
    drive = Drive(component("ob", backoff=BackoffPlan(jitter=0.0)))
    for _ in range(20):
        drive.up()
        drive.die()
        drive.rest()
    drive.up()
    drive.now += 59.9
    drive.die()
    assert drive.rest() == 30.0


def test_the_number_of_restarts_is_bounded_by_the_rests() -> None:
    """An hour of dying at once: the rests let few starts through, and the neighbours have the machine."""
    backoff = BackoffPlan(first_s=0.01, factor=2.0, max_s=30.0, jitter=0.2)
    drive = Drive(component("ob", backoff=backoff), component("idle"))
    drive.up("idle")
    while drive.now < HOUR:
        drive.up()
        drive.die()
        drive.rest()
    starts = drive.spawns("ob")
    assert len(starts) < 14 + HOUR / (30.0 * 0.8)
    rests = [later - sooner for sooner, later in pairwise(starts)]
    assert all(rest >= 24.0 for rest in rests[14:])
    assert drive.spawns("idle") == [0.0]
    assert (drive.row("idle").state, drive.row("idle").restarts) == (State.READY, 0)


def test_a_window_of_restarts_slides_with_simulated_time() -> None:
    drive = Drive(component("ob", max_restarts=3, within_s=HOUR, backoff=BackoffPlan(reset_after_s=60.0)))
    for _ in range(48):  # one death in half an hour, for a day
        drive.up()
        drive.now += HOUR / 2
        drive.die()
        drive.rest()
    assert drive.row().restarts == 48
    for _ in range(2):
        drive.up()
        drive.die()
        drive.rest()
    assert drive.row().state is State.FAILED


def test_an_operators_restarts_do_not_count() -> None:
    drive = Drive(component("ob", max_restarts=1, within_s=HOUR))
    for _ in range(5):
        drive.up()
        drive.tell(RestartRequested("ob"))
        drive.die(0)
    assert drive.row().restarts == 0
    drive.up()
    drive.die()
    assert drive.row().state is State.STARTING
    drive.tell(StopRequested("ob"))
    drive.up()
    drive.die(0)
    drive.tell(StartRequested("ob"))
    assert drive.row().restarts == 1


@pytest.mark.parametrize("then", [None, RestartRequested("ob")])
def test_a_bad_configuration_is_not_tried_again_but_by_an_operator(then: object) -> None:
    drive = Drive(component("ob", backoff=BackoffPlan()))
    drive.tell(Spawned("ob", 1, 7))
    drive.die(78)
    assert (drive.row().state, drive.row().reason) == (State.FAILED, "bad configuration (exit 78)")
    assert drive.supervisor.deadline is None
    if then is not None:
        assert drive.tell(then) == [Spawn("ob", 2, ("ob",))]


def test_a_failure_that_stops_the_system_does_so_against_the_data_flow() -> None:
    drive = Drive(component("ob", restart="never", on_failed="stop"), component("a"), component("b", "a"))
    for name in ("ob", "a", "b"):
        drive.up(name)
    drive.die(78)
    assert [a for _, a in drive.log if isinstance(a, Ask)] == [Ask("b", 1)]
    assert drive.tell(Exited("b", 1, 0)) == [Ask("a", 1)]
    assert drive.tell(Exited("a", 1, 0)) == [Finish(1)]


# ------------------------------------------------------------------ a driver that was frozen


def test_what_came_due_while_the_parent_was_frozen_is_put_off_once() -> None:
    drive = Drive(component("ob", stop_within_s=10.0))
    drive.up()
    drive.tell(StopRequested("ob"), at=100)
    assert drive.tell(Ticked(), at=200) == []
    assert drive.supervisor.deadline == 200 + GRACE_S
    assert drive.tell(Ticked(), at=200 + GRACE_S) == [Terminate("ob", 1)]
    assert drive.tell(Ticked(), at=205 + GRACE_S) == [Kill("ob", 1)]


def test_a_parent_that_is_always_late_comes_to_an_end_all_the_same() -> None:
    drive = Drive(component("ob", stop_within_s=10.0))
    drive.up()
    drive.tell(StopRequested("ob"), at=100)
    done: list[Action] = []
    for _ in range(4):
        assert drive.supervisor.deadline is not None
        done += drive.tell(Ticked(), at=drive.supervisor.deadline + 50)
    assert done == [Terminate("ob", 1), Kill("ob", 1)]


def test_one_that_became_ready_while_the_parent_was_frozen_is_not_killed() -> None:
    drive = Drive(component("ob", ready_within_s=5.0))
    drive.tell(Spawned("ob", 1, 7))
    assert drive.tell(Ticked(), at=1000) == []
    drive.tell(BecameReady("ob", 1))
    assert (drive.row().state, drive.supervisor.deadline) == (State.READY, None)


def test_a_little_late_is_no_freeze() -> None:
    drive = Drive(component("ob", ready_within_s=5.0))
    drive.tell(Spawned("ob", 1, 7))
    assert drive.tell(Ticked(), at=5 + LATE_S) == [Kill("ob", 1)]


def test_a_rest_that_ended_in_a_freeze_is_over() -> None:
    drive = Drive(component("ob"))
    for _ in range(2):
        drive.tell(Spawned("ob", drive.incarnation, 7))
        drive.die()
    assert drive.row().state is State.BACKOFF
    assert drive.tell(Ticked(), at=1000) == [Spawn("ob", 3, ("ob",))]


# ------------------------------------------------------------------ a process that cannot be killed


def unkillable() -> Drive:
    drive = Drive(component("ob", stop_within_s=10.0))
    drive.up()
    drive.tell(StopRequested("ob"), at=100)
    drive.tell(Ticked(), at=105)
    drive.tell(Ticked(), at=110)
    drive.tell(Ticked(), at=110 + DEAD_WITHIN_S)
    return drive


def test_one_that_outlives_sigkill_is_said_to() -> None:
    drive = unkillable()
    assert (drive.row().state, drive.row().reason) == (State.STOPPING, "unkillable: on request")
    assert drive.log[-1][1] == Report("ob", State.STOPPING, "unkillable: on request", 0, 1)
    assert drive.supervisor.deadline is None


@pytest.mark.parametrize("command", [StartRequested("ob"), RestartRequested("ob")])
def test_it_has_no_successor_until_it_is_dead(command: object) -> None:
    drive = unkillable()
    assert drive.tell(command) == []
    assert drive.row().state is State.STOPPING
    assert drive.tell(Exited("ob", 1, -9), at=9999) == [Spawn("ob", 2, ("ob",))]
    assert drive.row().reason == ""


def test_a_shutdown_and_a_force_wait_for_it() -> None:
    drive = unkillable()
    assert drive.tell(ShutdownRequested()) == []
    assert drive.tell(Forced()) == [Kill("ob", 1)]
    assert drive.tell(Forced()) == [Kill("ob", 1)]
    assert drive.tell(Exited("ob", 1, -9)) == [Finish(0)]
    assert drive.row().state is State.STOPPED
