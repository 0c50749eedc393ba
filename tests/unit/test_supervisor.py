"""Stories about systems: what happened when, as data, and what the supervisor made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dolphin_mp.plan import BackoffPlan, ComponentPlan, InputPlan, Plan
from dolphin_mp.supervision.supervisor import (
    Action,
    Ask,
    BecameDone,
    BecameReady,
    Event,
    Exited,
    Finish,
    Forced,
    InvalidTransition,
    Kill,
    Launched,
    Report,
    RestartRequested,
    ShutdownRequested,
    Spawn,
    Spawned,
    SpawnFailed,
    StartRequested,
    State,
    StopRequested,
    Supervisor,
    Terminate,
    Ticked,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Story = list[tuple[float, Event]]

TEMPORARY, CONFIGURATION = 75, 78
SEGFAULT = -11


def component(name: str, *after: str, process: str = "", **policy: Any) -> ComponentPlan:
    inputs = tuple(InputPlan(f"from_{a}", f"{a}.out") for a in after)
    return ComponentPlan(name, "x:X", process or name, b"", after=after, inputs=inputs, **policy)


def system(*components: ComponentPlan, until_done: bool = False, random: float = 0.5) -> Supervisor:
    return Supervisor(Plan("test", components), lambda: random, until_done)


def drive(supervisor: Supervisor, story: Iterable[tuple[float, Event]]) -> list[str]:
    """Play a story; give the commands (not the reports) as ``time what``."""
    return [f"{t:g} {said(a)}" for t, a in play(supervisor, story) if not isinstance(a, Report)]


def reports(supervisor: Supervisor, story: Iterable[tuple[float, Event]]) -> list[str]:
    """Play a story; give the reports as ``name state: reason``."""
    lines = (
        f"{a.component} {a.state}: {a.reason}" for _, a in play(supervisor, story) if isinstance(a, Report)
    )
    return [line.removesuffix(": ") for line in lines]


def play(supervisor: Supervisor, story: Iterable[tuple[float, Event]]) -> list[tuple[float, Action]]:
    log: list[tuple[float, Action]] = []
    for time, event in story:
        log += [(time, action) for action in supervisor.handle(event, time)]
        if isinstance(event, Ticked):
            assert supervisor.deadline is None or supervisor.deadline > time
    return log


def said(action: Action) -> str:
    match action:
        case Finish(exit_code):
            return f"finish {exit_code}"
        case Report():
            raise AssertionError("no command")
        case Spawn() | Ask() | Terminate() | Kill():
            return f"{type(action).__name__.lower()} {action.process}#{action.incarnation}"


def up(name: str, incarnation: int = 1, at: float = 0.0, process: str = "") -> Story:
    """Tell of a process that arrives and whose component is ready at once."""
    return [
        (at, Spawned(process or name, incarnation, 100 + incarnation)),
        (at, BecameReady(name, incarnation)),
    ]


def states(supervisor: Supervisor) -> dict[str, str]:
    return {name: row.state.value for name, row in supervisor.rows().items()}


def reason(supervisor: Supervisor, name: str) -> str:
    return supervisor.rows()[name].reason


# ------------------------------------------------------------------ starting


def test_nothing_starts_before_the_launch() -> None:
    s = system(component("ob"))
    assert s.deadline is None
    assert states(s) == {"ob": "waiting"}
    assert drive(s, [(0, StartRequested("ob"))]) == []


def test_a_component_starts_when_all_it_reads_has_been_ready() -> None:
    s = system(component("ob"), component("ext"), component("edge", "ob", "ext"))
    assert drive(s, [(0, Launched())]) == ["0 spawn ob#1", "0 spawn ext#1"]
    assert reason(s, "edge") == "waits for ob, ext"
    assert drive(s, up("ob", at=1)) == []
    assert reason(s, "edge") == "waits for ext"
    assert drive(s, up("ext", at=2)) == ["2 spawn edge#1"]
    assert states(s) == {"ob": "ready", "ext": "ready", "edge": "starting"}


def test_a_component_that_is_done_holds_nobody_up() -> None:
    s = system(component("seed", restart="on-failure"), component("ob", "seed"))
    story: Story = [(0, Launched()), (0, Spawned("seed", 1, 7)), (1, Exited("seed", 1, 0))]
    assert drive(s, story) == ["0 spawn seed#1", "1 spawn ob#1"]


def test_a_reader_waits_for_nobody_again_once_its_producer_was_ready() -> None:
    s = system(component("ob"), component("edge", "ob"))
    story = [(0, Launched()), *up("ob"), *up("edge"), (5, StopRequested("ob")), (5, Exited("ob", 1, 0))]
    drive(s, story)
    assert drive(s, [(6, Exited("edge", 1, 1))]) == ["6 spawn edge#2"]
    drive(s, [(7, StopRequested("edge")), (7, Spawned("edge", 2, 9)), (7, Exited("edge", 2, 0))])
    assert drive(s, [(8, StartRequested("edge"))]) == ["8 spawn edge#3"]


def test_a_start_by_hand_waits_for_a_producer_that_was_never_ready() -> None:
    s = system(component("ob", restart="never"), component("edge", "ob"))
    drive(s, [(0, Launched()), (0, Spawned("ob", 1, 7)), (1, Exited("ob", 1, 1)), (2, StopRequested("edge"))])
    assert states(s) == {"ob": "failed", "edge": "stopped"}
    assert drive(s, [(3, StartRequested("edge"))]) == []
    assert reason(s, "edge") == "waits for ob (failed)"
    assert drive(s, [(4, StartRequested("ob")), *up("ob", 2, at=5)]) == ["4 spawn ob#2", "5 spawn edge#1"]


def test_reports_tell_each_change_once() -> None:
    s = system(component("ob"), component("edge", "ob"))
    assert reports(
        s, [(0, Launched()), *up("ob"), (9, Ticked()), *up("edge"), (9, BecameReady("ob", 1))]
    ) == [
        "ob starting",
        "edge waiting: waits for ob",
        "ob ready",
        "edge starting",
        "edge ready",
    ]


def test_a_word_of_readiness_may_overtake_the_news_of_the_spawn() -> None:
    s = system(component("ob"), component("edge", "ob"))
    assert drive(s, [(0, Launched()), (1, BecameReady("ob", 1))]) == ["0 spawn ob#1", "1 spawn edge#1"]
    assert states(s)["ob"] == "starting"
    drive(s, [(1, Spawned("ob", 1, 7))])
    assert states(s)["ob"] == "ready"
    assert s.rows()["ob"].pid == 7


def test_readiness_is_not_inherited() -> None:
    s = system(component("ob"))
    drive(s, [(0, Launched()), *up("ob"), (1, Exited("ob", 1, 1)), (1, Spawned("ob", 2, 8))])
    assert states(s) == {"ob": "starting"}
    assert s.deadline == 31


def test_one_that_is_not_ready_in_time_is_killed_and_started_anew() -> None:
    s = system(component("ob", ready_within_s=30.0))
    drive(s, [(0, Launched()), (1, Spawned("ob", 1, 7))])
    assert s.deadline == 30.0
    assert drive(s, [(30, Ticked())]) == ["30 kill ob#1"]
    assert (states(s)["ob"], reason(s, "ob")) == ("stopping", "not ready within 30 s")
    assert drive(s, [(31, Exited("ob", 1, -9))]) == ["31 spawn ob#2"]
    assert reason(s, "ob") == "not ready within 30 s"
    drive(s, up("ob", 2))
    assert reason(s, "ob") == ""


@pytest.mark.parametrize(
    ("restart", "state"), [("always", "starting"), ("on-failure", "starting"), ("never", "failed")]
)
def test_not_ready_in_time_counts_as_a_failure_however_it_exits(restart: str, state: str) -> None:
    s = system(component("ob", restart=restart, ready_within_s=2.5))
    drive(s, [(0, Launched()), (1, Spawned("ob", 1, 7)), (2.5, Ticked()), (2.6, Exited("ob", 1, 0))])
    assert (states(s)["ob"], reason(s, "ob")) == (state, "not ready within 2.5 s")


def test_a_spawn_that_takes_too_long_is_killed_on_arrival() -> None:
    s = system(component("ob"))
    assert drive(s, [(0, Launched()), (30, Ticked()), (40, Spawned("ob", 1, 7))]) == [
        "0 spawn ob#1",
        "40 kill ob#1",
    ]


# ------------------------------------------------------------------ what follows a death


@pytest.mark.parametrize(
    ("restart", "code", "state", "why"),
    [
        ("always", 0, "starting", "exit 0"),
        ("always", 1, "starting", "exit 1"),
        ("always", SEGFAULT, "starting", "killed by SIGSEGV"),
        ("always", TEMPORARY, "starting", "exit 75"),
        ("always", CONFIGURATION, "failed", "bad configuration (exit 78)"),
        ("on-failure", 0, "done", "exit 0"),
        ("on-failure", 1, "starting", "exit 1"),
        ("on-failure", SEGFAULT, "starting", "killed by SIGSEGV"),
        ("on-failure", TEMPORARY, "starting", "exit 75"),
        ("on-failure", CONFIGURATION, "failed", "bad configuration (exit 78)"),
        ("never", 0, "done", "exit 0"),
        ("never", 1, "failed", "exit 1"),
        ("never", -34, "failed", "killed by SIGRTMIN"),
        ("never", -40, "failed", "killed by signal 40"),
        ("never", TEMPORARY, "failed", "exit 75"),
        ("never", CONFIGURATION, "failed", "bad configuration (exit 78)"),
    ],
)
def test_the_policy_says_what_follows_an_exit(restart: str, code: int, state: str, why: str) -> None:
    s = system(component("ob", restart=restart))
    drive(s, [(0, Launched()), *up("ob"), (1, Exited("ob", 1, code))])
    assert (states(s)["ob"], reason(s, "ob")) == (state, why)


@pytest.mark.parametrize("restart", ["always", "on-failure", "never"])
@pytest.mark.parametrize("code", [0, 1, CONFIGURATION])
def test_done_is_for_good_under_every_policy(restart: str, code: int) -> None:
    s = system(component("ob", restart=restart))
    drive(s, [(0, Launched()), *up("ob"), (1, BecameDone("ob", 1))])
    assert states(s) == {"ob": "done"}
    assert drive(s, [(2, Exited("ob", 1, code))]) == []
    assert states(s) == {"ob": "done"}
    assert s.deadline is None


def test_one_that_is_done_is_helped_out_if_it_does_not_leave() -> None:
    s = system(component("ob", stop_within_s=10.0))
    drive(s, [(0, Launched()), *up("ob"), (1, BecameDone("ob", 1))])
    assert drive(s, [(6, Ticked()), (11, Ticked())]) == ["6 terminate ob#1", "11 kill ob#1"]
    drive(s, [(12, Exited("ob", 1, -9))])
    assert states(s) == {"ob": "done"}


def test_the_driver_may_say_more_about_an_exit() -> None:
    s = system(component("ob", restart="never"))
    drive(s, [(0, Launched()), *up("ob"), (1, Exited("ob", 1, 1, "ValueError: no bid"))])
    assert reason(s, "ob") == "exit 1: ValueError: no bid"


def crashes(s: Supervisor, count: int, at: float = 0.0) -> list[float]:
    """Let the component ob crash as soon as it is ready; give the rests."""
    rests: list[float] = []
    for _ in range(count):
        incarnation = s.rows()["ob"].incarnation
        drive(s, [*up("ob", incarnation, at=at), (at, Exited("ob", incarnation, 1))])
        if s.rows()["ob"].state is State.BACKOFF:
            assert s.deadline is not None
            rests.append(round(s.deadline - at, 6))
            at = s.deadline
            assert drive(s, [(at, Ticked())]) == [f"{at:g} spawn ob#{incarnation + 1}"]
        else:
            rests.append(0.0)
    return rests


def test_the_first_restart_comes_at_once_and_later_ones_after_growing_rests() -> None:
    s = system(component("ob", backoff=BackoffPlan(0.25, 2.0, 2.0, 0.0)))
    drive(s, [(0, Launched())])
    assert crashes(s, 7) == [0.0, 0.25, 0.5, 1.0, 2.0, 2.0, 2.0]
    assert s.rows()["ob"].restarts == 7


@pytest.mark.parametrize(("random", "rest"), [(0.0, 0.8), (0.5, 1.0), (0.75, 1.1)])
def test_a_rest_is_spread_by_jitter(random: float, rest: float) -> None:
    s = system(component("ob", backoff=BackoffPlan(1.0, 2.0, 30.0, 0.2)), random=random)
    drive(s, [(0, Launched())])
    assert crashes(s, 2)[1] == rest


def test_two_thousand_deaths_in_a_row_do_not_overflow_the_rest() -> None:
    s = system(component("ob", backoff=BackoffPlan(jitter=0.0)))
    drive(s, [(0, Launched())])
    assert crashes(s, 2000)[-1] == 30.0


@pytest.mark.parametrize(("alive", "rest"), [(59.9, 0.5), (60.0, 0.0)])
def test_a_minute_of_readiness_resets_the_back_off(alive: float, rest: float) -> None:
    s = system(component("ob", backoff=BackoffPlan(jitter=0.0, reset_after_s=60.0)))
    drive(s, [(0, Launched())])
    crashes(s, 2)
    drive(s, up("ob", 3, at=100))
    drive(s, [(100 + alive, Exited("ob", 3, 1))])
    assert (s.deadline is not None and s.rows()["ob"].state is State.BACKOFF) == bool(rest)


def foreseen(supervisor: Supervisor, name: str, incarnation: int, now: float) -> Spawn | None:
    before = (states(supervisor), supervisor.deadline)
    found = supervisor.foresee(name, incarnation, now)
    assert (states(supervisor), supervisor.deadline) == before
    return found


def test_a_start_that_a_death_would_bring_at_once_is_foreseen() -> None:
    s = system(component("a"))
    assert foreseen(s, "a", 1, 0.0) is None
    drive(s, [(0.0, Launched()), *up("a")])
    expected = foreseen(s, "a", 1, 1.0)
    assert expected == Spawn("a", 2, ("a",))
    assert foreseen(s, "a", 7, 1.0) is None  # another incarnation's is no news
    assert expected in [action for _, action in play(s, [(1.0, Exited("a", 1, -9))])]
    drive(s, [(1.0, Spawned("a", 2, 12)), (1.1, BecameReady("a", 2))])
    assert foreseen(s, "a", 2, 1.2) is None  # it would rest first


@pytest.mark.parametrize("event", [StopRequested("a"), ShutdownRequested()])
def test_none_is_foreseen_for_one_that_is_to_stop(event: Event) -> None:
    s = system(component("a"))
    drive(s, [(0.0, Launched()), *up("a"), (1.0, event)])
    assert foreseen(s, "a", 1, 1.0) is None


def test_none_is_foreseen_for_one_that_is_never_restarted() -> None:
    s = system(component("a", restart="never"))
    drive(s, [(0.0, Launched()), *up("a")])
    assert foreseen(s, "a", 1, 1.0) is None


def test_a_ready_system_has_no_deadline() -> None:
    s = system(component("ob"), component("edge", "ob"))
    drive(s, [(0, Launched()), *up("ob"), *up("edge")])
    assert s.deadline is None


def test_a_spawn_that_fails_rests_like_a_death() -> None:
    s = system(component("ob", backoff=BackoffPlan(jitter=0.0)))
    story: Story = [
        (0, Launched()),
        (0, SpawnFailed("ob", 1, "no memory")),
        (1, SpawnFailed("ob", 2, "no memory")),
    ]
    assert drive(s, story) == ["0 spawn ob#1", "0 spawn ob#2"]
    assert (states(s)["ob"], reason(s, "ob"), s.deadline) == ("backoff", "not spawned: no memory", 1.25)


def test_past_its_limit_of_restarts_a_component_fails() -> None:
    s = system(component("ob", max_restarts=2, within_s=60.0, backoff=BackoffPlan(jitter=0.0)))
    drive(s, [(0, Launched())])
    assert crashes(s, 3) == [0.0, 0.25, 0.0]
    assert (states(s)["ob"], s.rows()["ob"].restarts) == ("failed", 2)
    assert reason(s, "ob") == "exit 1, past 2 restarts within 60 s"
    assert s.deadline is None


def test_the_limit_of_restarts_slides() -> None:
    s = system(component("ob", max_restarts=2, within_s=10.0, backoff=BackoffPlan(reset_after_s=0.0)))
    drive(s, [(0, Launched())])
    for incarnation, time in enumerate((0.0, 6.0, 10.0, 16.0), start=1):
        log = drive(s, [*up("ob", incarnation, at=time), (time, Exited("ob", incarnation, 1))])
        assert log == [f"{time:g} spawn ob#{incarnation + 1}"]
    drive(s, [*up("ob", 5, at=19.9), (19.9, Exited("ob", 5, 1))])
    assert states(s)["ob"] == "failed"


def test_no_restart_at_all_can_be_the_limit() -> None:
    s = system(component("ob", max_restarts=0))
    assert drive(s, [(0, Launched()), *up("ob"), (1, Exited("ob", 1, 1))]) == ["0 spawn ob#1"]
    assert states(s)["ob"] == "failed"


def test_an_operators_start_clears_what_was_counted_but_not_the_tally() -> None:
    s = system(component("ob", max_restarts=2, backoff=BackoffPlan(jitter=0.0)))
    drive(s, [(0, Launched())])
    crashes(s, 3)
    assert drive(s, [(5, StartRequested("ob"))]) == ["5 spawn ob#4"]
    assert crashes(s, 3, at=5) == [0.0, 0.25, 0.0]
    assert s.rows()["ob"].restarts == 4


def test_a_failure_may_stop_the_system() -> None:
    s = system(component("ob", restart="never", on_failed="stop"), component("edge", "ob"))
    drive(s, [(0, Launched()), *up("ob"), *up("edge")])
    assert drive(s, [(1, Exited("ob", 1, SEGFAULT)), (2, Exited("edge", 1, 0))]) == [
        "1 ask edge#1",
        "2 finish 1",
    ]
    assert states(s) == {"ob": "failed", "edge": "stopped"}


def test_a_failure_may_restart_its_direct_readers_uncounted() -> None:
    s = system(
        component("ob", restart="never", on_failed="restart-readers"),
        component("edge", "ob"),
        component("risk", "edge"),
        component("idle", "ob"),
    )
    drive(s, [(0, Launched()), *up("ob"), *up("edge"), *up("risk"), *up("idle")])
    drive(s, [(1, StopRequested("idle")), (1, Exited("idle", 1, 0))])
    assert drive(s, [(2, Exited("ob", 1, 1))]) == ["2 ask edge#1"]
    assert reason(s, "edge") == "restart, ob failed"
    assert drive(s, [(3, Exited("edge", 1, 0))]) == ["3 spawn edge#2"]
    assert s.rows()["edge"].restarts == 0


# ------------------------------------------------------------------ commands


def test_a_stop_asks_then_terminates_then_kills() -> None:
    s = system(component("ob", stop_within_s=10.0))
    drive(s, [(0, Launched()), *up("ob")])
    story: Story = [(100, StopRequested("ob")), (105, Ticked()), (110, Ticked()), (111, Exited("ob", 1, -9))]
    assert drive(s, story) == ["100 ask ob#1", "105 terminate ob#1", "110 kill ob#1"]
    assert (states(s)["ob"], reason(s, "ob")) == ("stopped", "on request, killed by SIGKILL")


def test_a_late_tick_does_all_that_is_due() -> None:
    s = system(component("ob", stop_within_s=0.2))
    drive(s, [(0, Launched()), *up("ob"), (100, StopRequested("ob"))])
    assert drive(s, [(101, Ticked())]) == ["101 terminate ob#1", "101 kill ob#1"]


def test_a_stop_that_is_obeyed_is_no_more_than_that() -> None:
    s = system(component("ob"))
    assert reports(s, [(0, Launched()), *up("ob"), (1, StopRequested("ob")), (2, Exited("ob", 1, 0))]) == [
        "ob starting",
        "ob ready",
        "ob stopping: on request",
        "ob stopped: on request",
    ]
    assert s.deadline is None


def test_a_crash_on_the_way_out_is_no_reason_to_restart() -> None:
    s = system(component("ob"))
    drive(s, [(0, Launched()), *up("ob"), (1, StopRequested("ob")), (2, Exited("ob", 1, SEGFAULT))])
    assert (states(s)["ob"], reason(s, "ob")) == ("stopped", "on request, killed by SIGSEGV")


def test_a_stop_of_one_that_waits_or_rests_is_immediate() -> None:
    s = system(component("ob"), component("edge", "ob"))
    drive(s, [(0, Launched()), (1, StopRequested("edge"))])
    drive(s, [(1, SpawnFailed("ob", 1, "x")), (1, SpawnFailed("ob", 2, "x")), (1, StopRequested("ob"))])
    assert states(s) == {"ob": "stopped", "edge": "stopped"}
    assert s.deadline is None


def test_a_restart_starts_at_once_when_the_old_process_is_gone() -> None:
    s = system(component("ob"))
    drive(s, [(0, Launched()), *up("ob")])
    assert drive(s, [(1, RestartRequested("ob")), (2, Exited("ob", 1, 0))]) == ["1 ask ob#1", "2 spawn ob#2"]
    assert (s.rows()["ob"].restarts, reason(s, "ob")) == (0, "")


def test_a_restart_cuts_a_rest_short() -> None:
    s = system(component("ob"))
    drive(s, [(0, Launched()), *up("ob"), (1, Exited("ob", 1, 1)), *up("ob", 2), (1, Exited("ob", 2, 1))])
    assert states(s)["ob"] == "backoff"
    assert drive(s, [(1.1, RestartRequested("ob"))]) == ["1.1 spawn ob#3"]
    assert drive(s, [*up("ob", 3), (1.2, Exited("ob", 3, 1))]) == ["1.2 spawn ob#4"]


def test_the_last_command_counts_while_a_process_leaves() -> None:
    s = system(component("ob"))
    drive(s, [(0, Launched()), *up("ob"), (1, StopRequested("ob")), (1, StartRequested("ob"))])
    assert drive(s, [(2, Exited("ob", 1, 0))]) == ["2 spawn ob#2"]
    drive(s, [*up("ob", 2), (3, RestartRequested("ob")), (3, StopRequested("ob")), (4, Exited("ob", 2, 0))])
    assert states(s)["ob"] == "stopped"


def test_a_start_of_what_runs_changes_nothing() -> None:
    s = system(component("ob"))
    drive(s, [(0, Launched())])
    for story in ([], [(1, Spawned("ob", 1, 7))], [(1, BecameReady("ob", 1))]):
        drive(s, story)
        before = s.rows()
        assert s.handle(StartRequested("ob"), 2) == []
        assert s.rows() == before


def test_a_stop_that_meets_a_spawn_in_flight_asks_on_arrival() -> None:
    s = system(component("ob"))
    assert drive(s, [(0, Launched()), (1, StopRequested("ob"))]) == ["0 spawn ob#1"]
    assert (states(s)["ob"], s.deadline) == ("stopping", None)
    assert drive(s, [(2, Spawned("ob", 1, 7))]) == ["2 ask ob#1"]
    assert s.deadline == 7
    drive(s, [(3, Exited("ob", 1, 0))])
    assert states(s)["ob"] == "stopped"


@pytest.mark.parametrize(
    ("command", "log"), [(StopRequested("ob"), []), (RestartRequested("ob"), ["2 spawn ob#2"])]
)
def test_a_command_that_meets_a_spawn_in_flight_takes_its_failure(command: Event, log: list[str]) -> None:
    s = system(component("ob"))
    drive(s, [(0, Launched()), (1, command)])
    assert drive(s, [(2, SpawnFailed("ob", 1, "no memory"))]) == log


def test_news_of_an_old_incarnation_is_no_news() -> None:
    s = system(component("ob"))
    drive(s, [(0, Launched()), *up("ob"), (1, Exited("ob", 1, 1))])
    before = s.rows()
    late: list[Event] = [
        Spawned("ob", 1, 7),
        SpawnFailed("ob", 1, "late"),
        BecameReady("ob", 1),
        BecameDone("ob", 1),
        Exited("ob", 1, 0),
    ]
    assert [s.handle(event, 2) for event in late] == [[]] * len(late)
    assert s.rows() == before


# ------------------------------------------------------------------ the system's end


CHAIN: tuple[Callable[[], ComponentPlan], ...] = (
    lambda: component("ob"),
    lambda: component("edge", "ob"),
    lambda: component("risk", "edge"),
)


def chain(until_done: bool = False) -> Supervisor:
    s = system(*(make() for make in CHAIN), until_done=until_done)
    drive(s, [(0, Launched()), *up("ob"), *up("edge"), *up("risk")])
    return s


def test_a_shutdown_runs_against_the_data_flow() -> None:
    story: Story = [
        (1, ShutdownRequested()),
        (2, Exited("risk", 1, 0)),
        (3, Exited("edge", 1, 0)),
        (4, Exited("ob", 1, 0)),
    ]
    s = chain()
    assert drive(s, story) == ["1 ask risk#1", "2 ask edge#1", "3 ask ob#1", "4 finish 0"]
    assert states(s) == {"ob": "stopped", "edge": "stopped", "risk": "stopped"}
    assert reason(s, "ob") == "shutdown"


def test_a_shutdown_looks_through_readers_that_are_down() -> None:
    s = chain()
    drive(s, [(1, StopRequested("edge")), (1, Exited("edge", 1, 0))])
    assert drive(s, [(2, ShutdownRequested())]) == ["2 ask risk#1"]
    assert drive(s, [(3, Exited("risk", 1, 0))]) == ["3 ask ob#1"]


def test_what_dies_before_its_turn_in_a_shutdown_stays_down() -> None:
    s = chain()
    assert drive(s, [(1, ShutdownRequested()), (2, Exited("edge", 1, 1))]) == ["1 ask risk#1"]
    assert (states(s)["edge"], reason(s, "edge")) == ("stopped", "exit 1")
    assert drive(s, [(3, Exited("risk", 1, 0)), (4, Exited("ob", 1, 0))]) == ["3 ask ob#1", "4 finish 0"]


def test_a_shutdown_ends_what_waits_rests_or_is_about_to_start_anew() -> None:
    s = system(component("ob"), component("edge", "ob"), component("mc"), component("ext"))
    drive(s, [(0, Launched()), *up("mc"), (0, RestartRequested("mc")), *up("ext")])
    drive(s, [(0, SpawnFailed("ob", 1, "x")), (0, SpawnFailed("ob", 2, "x"))])
    assert states(s) == {"ob": "backoff", "edge": "waiting", "mc": "stopping", "ext": "ready"}
    assert drive(s, [(1, ShutdownRequested(3))]) == ["1 ask ext#1"]
    assert states(s) == {"ob": "stopped", "edge": "stopped", "mc": "stopping", "ext": "stopping"}
    assert drive(s, [(2, Exited("mc", 1, 0)), (3, Exited("ext", 1, 0))]) == ["3 finish 3"]


def test_a_shutdown_waits_for_a_spawn_in_flight() -> None:
    s = system(component("ob"))
    drive(s, [(0, Launched()), (1, ShutdownRequested())])
    assert drive(s, [(2, Spawned("ob", 1, 7)), (3, Exited("ob", 1, 0))]) == ["2 ask ob#1", "3 finish 0"]


def test_a_shutdown_before_the_launch_finishes_at_once() -> None:
    s = system(component("ob"))
    assert drive(s, [(0, ShutdownRequested())]) == ["0 finish 0"]
    assert states(s) == {"ob": "stopped"}


def test_the_highest_exit_code_counts_and_commands_no_longer_do() -> None:
    s = system(component("ob"))
    story = [(0, Launched()), *up("ob"), (1, ShutdownRequested(2)), (1, ShutdownRequested(1))]
    drive(s, story)
    assert drive(s, [(2, RestartRequested("ob")), (2, StartRequested("ob"))]) == []
    assert drive(s, [(3, Exited("ob", 1, 0))]) == ["3 finish 2"]
    late: Story = [
        (4, StartRequested("ob")),
        (4, ShutdownRequested()),
        (4, Forced()),
        (4, Exited("ob", 1, 0)),
    ]
    assert drive(s, [*late, (5, Ticked())]) == []


def test_force_kills_all_at_once() -> None:
    s = chain()
    drive(s, [(1, ShutdownRequested())])
    assert drive(s, [(2, Forced())]) == ["2 kill ob#1", "2 kill edge#1", "2 kill risk#1"]
    story: Story = [(3, Exited(name, 1, -9)) for name in ("ob", "edge", "risk")]
    assert drive(s, story) == ["3 finish 0"]


def test_force_without_a_shutdown_is_one_and_meets_a_spawn_on_arrival() -> None:
    s = system(component("ob"), component("edge", "ob"), component("mc"))
    drive(s, [(0, Launched()), (1, StopRequested("mc"))])
    assert drive(s, [(2, Forced())]) == []
    assert states(s) == {"ob": "stopping", "edge": "stopped", "mc": "stopping"}
    assert drive(s, [(3, Spawned("ob", 1, 7)), (3, Spawned("mc", 1, 8))]) == ["3 kill ob#1", "3 kill mc#1"]
    assert drive(s, [(4, Exited("ob", 1, -9)), (4, Exited("mc", 1, -9))]) == ["4 finish 1"]


def test_until_done_ends_with_the_last_component() -> None:
    s = system(component("seed"), component("mc", "seed", restart="on-failure"), until_done=True)
    drive(s, [(0, Launched()), *up("seed"), *up("mc"), (1, BecameDone("seed", 1)), (1, Exited("seed", 1, 0))])
    assert drive(s, [(2, Exited("mc", 1, 0))]) == ["2 finish 0"]
    assert states(s) == {"seed": "done", "mc": "done"}


def test_until_done_fails_with_what_failed_and_with_what_waits_for_it() -> None:
    s = system(component("seed", restart="never"), component("mc", "seed"), until_done=True)
    assert drive(s, [(0, Launched()), (0, SpawnFailed("seed", 1, "x"))]) == ["0 spawn seed#1", "0 finish 1"]


def test_without_until_done_a_system_stays_up() -> None:
    s = system(component("seed", restart="never"))
    assert drive(s, [(0, Launched()), *up("seed"), (1, Exited("seed", 1, 0))]) == ["0 spawn seed#1"]
    assert drive(s, [(2, StartRequested("seed"))]) == ["2 spawn seed#2"]


def test_a_second_launch_is_a_bug() -> None:
    s = chain()
    with pytest.raises(InvalidTransition, match="system is up: Launched"):
        s.handle(Launched(), 1)


# ------------------------------------------------------------------ processes that are shared


def shared(**policy: Any) -> Supervisor:
    s = system(component("a", process="bg", **policy), component("b", "a", process="bg"), component("c", "a"))
    drive(s, [(0, Launched()), (0, Spawned("bg", 1, 7))])
    return s


def test_members_start_together_and_are_ready_one_by_one() -> None:
    s = shared()
    assert states(s) == {"a": "starting", "b": "starting", "c": "waiting"}
    assert drive(s, [(1, BecameReady("a", 1))]) == ["1 spawn c#1"]
    assert states(s) == {"a": "ready", "b": "starting", "c": "starting"}
    assert s.deadline == 30
    drive(s, [(2, BecameReady("b", 1))])
    assert states(s)["b"] == "ready"


def test_a_member_that_is_done_stays_so_when_the_others_restart() -> None:
    s = shared()
    drive(s, [(1, BecameReady("a", 1)), (1, BecameReady("b", 1)), (2, BecameDone("a", 1))])
    assert states(s) == {"a": "done", "b": "ready", "c": "starting"}
    assert Spawn("bg", 2, ("b",)) in s.handle(Exited("bg", 1, 1), 3)
    drive(s, [(3, Spawned("bg", 2, 8)), (3, BecameReady("b", 2))])
    assert states(s)["b"] == "ready"
    drive(s, [(4, RestartRequested("b"))])
    assert Spawn("bg", 3, ("b",)) in s.handle(Exited("bg", 2, 0), 5)


def test_an_operator_who_names_a_done_member_revives_it() -> None:
    s = shared()
    drive(s, [(1, BecameReady("b", 1)), (2, BecameDone("a", 1)), (3, RestartRequested("a"))])
    assert states(s)["a"] == "stopping"
    assert Spawn("bg", 2, ("a", "b")) in s.handle(Exited("bg", 1, 0), 4)


def test_a_process_is_done_when_its_last_member_is() -> None:
    s = shared()
    drive(s, [(1, BecameDone("b", 1)), (2, BecameDone("a", 1))])
    assert s.deadline == 7
    drive(s, [(3, Exited("bg", 1, 0))])
    assert states(s)["a"] == states(s)["b"] == "done"
    assert Spawn("bg", 2, ("b",)) in s.handle(StartRequested("b"), 4)


def test_a_word_of_being_done_may_overtake_the_news_of_the_spawn() -> None:
    s = system(component("seed"))
    drive(s, [(0, Launched()), (1, BecameDone("seed", 1)), (1, Spawned("seed", 1, 7))])
    assert states(s) == {"seed": "done"}
    assert drive(s, [(2, Exited("seed", 1, 0)), (3, StartRequested("seed"))]) == ["3 spawn seed#2"]


def test_being_done_does_not_outweigh_a_restart_already_ordered() -> None:
    s = system(component("seed"))
    drive(s, [(0, Launched()), *up("seed"), (1, RestartRequested("seed")), (1, BecameDone("seed", 1))])
    assert drive(s, [(2, Exited("seed", 1, 0))]) == ["2 spawn seed#2"]


def test_being_done_outweighs_a_stop() -> None:
    s = system(component("seed"))
    drive(s, [(0, Launched()), *up("seed"), (1, StopRequested("seed")), (1, BecameDone("seed", 1))])
    drive(s, [(2, Exited("seed", 1, 0))])
    assert states(s) == {"seed": "done"}


def test_a_command_on_a_member_is_one_on_its_process() -> None:
    s = shared()
    assert drive(s, [(1, StopRequested("b"))]) == ["1 ask bg#1"]
    assert states(s) == {"a": "stopping", "b": "stopping", "c": "waiting"}


@pytest.mark.parametrize(
    ("first", "second", "code", "state"),
    [
        ("never", "always", 0, "starting"),
        ("on-failure", "never", 1, "starting"),
        ("on-failure", "never", 0, "done"),
        ("never", "never", 1, "failed"),
    ],
)
def test_members_share_the_policy_that_restarts_most(first: str, second: str, code: int, state: str) -> None:
    s = system(component("a", process="bg", restart=first), component("b", process="bg", restart=second))
    drive(s, [(0, Launched()), (0, Spawned("bg", 1, 7)), (1, Exited("bg", 1, code))])
    assert states(s) == {"a": state, "b": state}


def test_processes_that_wait_for_each_other_start_and_stop_all_the_same() -> None:
    s = system(
        component("a", process="x"),
        component("b", "a", process="y"),
        component("c", "b", process="x"),
        component("d", "c"),
    )
    assert drive(s, [(0, Launched())]) == ["0 spawn x#1", "0 spawn y#1"]
    drive(s, [(1, Spawned("x", 1, 7)), (1, Spawned("y", 1, 8))])
    assert drive(s, [(2, BecameReady("c", 1))]) == ["2 spawn d#1"]
    drive(s, up("d"))
    assert drive(s, [(3, ShutdownRequested())]) == ["3 ask y#1", "3 ask d#1"]
    story: Story = [(4, Exited("d", 1, 0)), (5, Exited("x", 1, 0)), (5, Exited("y", 1, 0))]
    assert drive(s, story) == ["4 ask x#1", "5 finish 0"]


# ------------------------------------------------------------------ what is seen


def test_a_row_says_since_when_and_as_which_process() -> None:
    s = system(component("ob"))
    drive(s, [(1, Launched()), (2, Spawned("ob", 1, 77)), (3, BecameReady("ob", 1))])
    row = s.row("ob")
    assert row == s.rows()["ob"]
    assert (row.state, row.pid, row.since, row.incarnation) == (State.READY, 77, 3, 1)
    drive(s, [(4, StopRequested("ob")), (5, Exited("ob", 1, 0)), (6, StopRequested("ob"))])
    row = s.rows()["ob"]
    assert (row.state, row.pid, row.since, row.incarnation) == (State.STOPPED, None, 5, 1)
