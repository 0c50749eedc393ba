"""One component that dies at random: how often, how soon, and until when it is started again."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dolphin_mp.plan import BackoffPlan, ComponentPlan, Plan
from dolphin_mp.supervision.supervisor import (
    BecameReady,
    Exited,
    Launched,
    Spawn,
    Spawned,
    State,
    Supervisor,
    Ticked,
)

BACKOFFS = st.builds(
    BackoffPlan,
    first_s=st.sampled_from([0.25, 1.0]),
    factor=st.sampled_from([1.0, 2.0, 3.0]),
    max_s=st.sampled_from([1.0, 4.0]),
    jitter=st.sampled_from([0.0, 0.2]),
    reset_after_s=st.sampled_from([0.0, 2.0, 60.0]),
)


@settings(deadline=None)
@given(
    lives=st.lists(st.sampled_from([0.0, 0.1, 1.0, 2.0, 5.0]), max_size=30),
    backoff=BACKOFFS,
    limit=st.sampled_from([None, 0, 1, 2, 3]),
    within_s=st.sampled_from([1.0, 3.0, 10.0]),
    random=st.floats(0, 1, exclude_max=True),
)
def test_restarts_keep_to_the_rests_and_to_the_limit(
    lives: list[float], backoff: BackoffPlan, limit: int | None, within_s: float, random: float
) -> None:
    plan = ComponentPlan("ob", "x:X", "ob", b"", backoff=backoff, max_restarts=limit, within_s=within_s)
    supervisor = Supervisor(Plan("test", (plan,)), lambda: random)
    supervisor.handle(Launched(), 0.0)
    now, incarnation, restarts, in_a_row = 0.0, 1, list[float](), 0
    for alive_s in lives:
        supervisor.handle(Spawned("ob", incarnation, 7), now)
        supervisor.handle(BecameReady("ob", incarnation), now)
        born, now = now, now + alive_s
        actions = supervisor.handle(Exited("ob", incarnation, 1), now)
        full = limit is not None and sum(now - t < within_s for t in restarts) >= limit
        assert (supervisor.rows()["ob"].state is State.FAILED) == full
        if full:
            assert supervisor.deadline is None
            return
        in_a_row = 0 if now - born >= backoff.reset_after_s else in_a_row
        at_once = any(isinstance(action, Spawn) for action in actions)
        assert at_once == (in_a_row == 0)
        if not at_once:
            rest_s = min(backoff.first_s * backoff.factor ** (in_a_row - 1), backoff.max_s)
            assert supervisor.deadline is not None
            assert abs(supervisor.deadline - now - rest_s) <= rest_s * backoff.jitter + 1e-9
            now = supervisor.deadline
            supervisor.handle(Ticked(), now)
        in_a_row += 1
        incarnation += 1
        restarts.append(now)
        assert supervisor.rows()["ob"].restarts == len(restarts)
        assert supervisor.rows()["ob"].state is State.STARTING
