"""What requests mean, and when they are answered."""

import pytest

from dolphin_mp.parent.commands import ARGS, Pending, PendingScale, check, event_of, scaling_of
from dolphin_mp.parent.control import BadRequestError, Request
from dolphin_mp.plan import ComponentPlan, Plan
from dolphin_mp.supervision.vocabulary import (
    ComponentStatus,
    RestartRequested,
    StartRequested,
    State,
    StopRequested,
)


def request(command, **args):
    return Request(b"peer", 1, command, args)


def row(state, incarnation=1, reason=""):
    return ComponentStatus("ob", state, reason, 0, incarnation, 7, 0.0)


ROWS = {"ob": row(State.READY), "edge": row(State.READY)}


@pytest.mark.parametrize("command", ARGS)
def test_each_command_takes_its_own_args_and_no_others(command):
    values = {"component": "ob", "wait": False, "pool": "mc", "instances": 2}
    values |= {"config": "/etc/x.toml", "dry_run": True}
    check(request(command, **{key: values[key] for key in ARGS[command]}))
    with pytest.raises(BadRequestError, match=f"{command} takes .*, not 'force'") as caught:
        check(request(command, force=True))
    assert caught.value.code == "bad_request"


def test_an_unknown_command_is_told_the_nearest():
    with pytest.raises(BadRequestError, match=r"no command 'shutdwon'; did you mean 'shutdown'\?") as caught:
        check(request("shutdwon"))
    assert caught.value.code == "bad_command"
    with pytest.raises(BadRequestError, match="there are ping, reload, restart, "):
        check(request("zzz"))


def test_wait_is_true_or_false():
    with pytest.raises(BadRequestError, match='"wait" is true or false'):
        check(request("stop", component="ob", wait="no"))


@pytest.mark.parametrize(
    ("command", "event"), [("start", StartRequested), ("stop", StopRequested), ("restart", RestartRequested)]
)
def test_events(command, event):
    assert event_of(request(command, component="ob"), ROWS) == event("ob")


@pytest.mark.parametrize("args", [{}, {"component": None}, {"component": ["ob"]}])
def test_a_component_must_be_named(args):
    with pytest.raises(BadRequestError, match=r'stop needs \{"component": NAME\}'):
        event_of(request("stop", **args), ROWS)


def test_an_unknown_component_is_told_the_nearest():
    with pytest.raises(BadRequestError, match=r"no component 'egde'; did you mean 'edge'\?") as caught:
        event_of(request("stop", component="egde"), ROWS)
    assert caught.value.code == "no_such_component"
    with pytest.raises(BadRequestError, match="there are edge, ob"):
        event_of(request("stop", component="zzz"), ROWS)
    with pytest.raises(BadRequestError, match=r"no component 'x{60}…'; "):
        event_of(request("stop", component="x" * 5000), ROWS)


class TestPending:
    def outcome(self, command, row, before=1):
        return Pending(request(command, component="ob"), "ob", before).outcome({"ob": row})

    @pytest.mark.parametrize("state", [State.STOPPED, State.DONE, State.FAILED])
    def test_a_stop_is_answered_when_it_is_down(self, state):
        assert self.outcome("stop", row(state))["state"] == state

    @pytest.mark.parametrize("state", [State.STOPPING, State.READY, State.STARTING, State.BACKOFF])
    def test_not_before(self, state):
        assert self.outcome("stop", row(state)) is None

    def test_a_start_is_answered_when_it_is_ready(self):
        assert self.outcome("start", row(State.STARTING, 2)) is None
        assert self.outcome("start", row(State.WAITING)) is None
        assert self.outcome("start", row(State.READY, 2)) == {
            "component": "ob",
            "state": "ready",
            "pid": 7,
            "restarts": 0,
            "incarnation": 2,
            "reason": "",
        }

    def test_a_start_of_what_is_ready_is_answered_at_once(self):
        assert self.outcome("start", row(State.READY, 1))["incarnation"] == 1

    def test_a_restart_is_answered_by_a_successor_only(self):
        assert self.outcome("restart", row(State.READY, 1)) is None
        assert self.outcome("restart", row(State.STOPPING, 1)) is None
        assert self.outcome("restart", row(State.READY, 2))["incarnation"] == 2
        assert self.outcome("restart", row(State.DONE, 2))["state"] == "done"

    @pytest.mark.parametrize("command", ["start", "restart"])
    def test_one_that_fails_is_told_why(self, command):
        error = self.outcome(command, row(State.BACKOFF, 2, "exit 1: no luck"))
        assert isinstance(error, BadRequestError)
        assert (error.code, str(error)) == ("failed", "ob is backoff: exit 1: no luck")
        assert self.outcome(command, row(State.BACKOFF, 1)) is None
        assert isinstance(self.outcome(command, row(State.FAILED, 1)), BadRequestError)


def test_what_a_request_waits_for_may_be_taken_away():
    error = Pending(request("restart", component="ob"), "ob", 1).outcome({})
    assert (error.code, str(error)) == ("no_such_component", "ob is no longer part of the system")


def test_a_pools_name_is_answered_with_its_instances():
    rows = {"mc@0": row(State.READY), "mc@1": row(State.READY)}
    with pytest.raises(BadRequestError, match="'mc' is a pool: name one of mc@0, mc@1") as caught:
        event_of(request("stop", component="mc"), rows)
    assert caught.value.code == "no_such_component"


PLAN = Plan("s", tuple(ComponentPlan(f"mc@{n}", "m:C", f"mc@{n}", b"", pool="mc") for n in range(2)))


class TestScale:
    def ask(self, **args):
        return scaling_of(request("scale", **args), PLAN)

    def test_it_is_another_plan(self):
        plan, pending = self.ask(pool="mc", instances=3)
        assert [component.name for component in plan.components] == ["mc@0", "mc@1", "mc@2"]
        assert (pending.names, pending.added) == (("mc@0", "mc@1", "mc@2"), {"mc@2"})

    @pytest.mark.parametrize(
        ("args", "code", "why"),
        [
            ({"pool": "mc"}, "bad_request", "scale needs"),
            ({"pool": "mc", "instances": "3"}, "bad_request", "scale needs"),
            ({"pool": "mc", "instances": True}, "bad_request", "scale needs"),
            ({"pool": "mc", "instances": 0}, "bad_request", "1 to 1024"),
            ({"pool": "md", "instances": 1}, "no_such_component", "no pool 'md'; pools: mc"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, args, code, why):
        with pytest.raises(BadRequestError, match=why) as caught:
            self.ask(**args)
        assert caught.value.code == code

    def test_it_is_answered_when_all_are_there_and_no_others(self):
        added = PendingScale(request("scale"), "mc", ("mc@0", "mc@1"), frozenset({"mc@1"}))
        old, new = row(State.STOPPED), row(State.READY)
        assert added.outcome({"mc@0": old}) is None
        assert added.outcome({"mc@0": old, "mc@1": row(State.STARTING)}) is None
        assert added.outcome({"mc@0": old, "mc@1": new, "mc@2": new, "other": new}) is None
        answer = added.outcome({"mc@0": old, "mc@1": new, "other": new})
        assert [one["state"] for one in answer["instances"]] == ["stopped", "ready"]
        error = added.outcome({"mc@0": old, "mc@1": row(State.BACKOFF, 2, "exit 1")})
        assert (error.code, str(error)) == ("failed", "mc@1 is backoff: exit 1")
