"""Who asked is answered, whatever becomes of what was asked about."""

from dolphin_mp.parent.control import Request
from dolphin_mp.parent.desk import Desk
from dolphin_mp.supervision.vocabulary import ComponentStatus, State


class Control:
    """Requests to hand out, and what was answered."""

    def __init__(self, *requests):
        self.waiting = list(requests)
        self.said = []

    def requests(self):
        found, self.waiting = self.waiting, []
        return found

    def answer(self, request, result):
        self.said.append((request.id, result["state"]))

    def fail(self, request, error):
        self.said.append((request.id, error.code))


def row(name, state, incarnation=1):
    return ComponentStatus(name, state, "", 0, incarnation, 7, 0.0)


def test_who_waits_for_a_component_that_a_reload_removes_is_told_so():
    rows = {"ob": row("ob", State.READY), "edge": row("edge", State.READY)}
    control = Control(
        Request(b"", 1, "stop", {"component": "ob"}), Request(b"", 2, "restart", {"component": "edge"})
    )
    desk = Desk(control, None, lambda: rows, lambda _: None, lambda: None, None, None, None)
    desk.serve()
    del rows["ob"]
    desk.answer()
    assert control.said == [(1, "no_such_component")]
    rows["edge"] = row("edge", State.READY, 2)
    desk.answer()
    assert control.said[1:] == [(2, "ready")]


def test_a_reload_is_begun_as_it_was_asked_for():
    asked = []
    control = Control(
        Request(b"", 1, "reload", {"dry_run": True}), Request(b"", 2, "reload", {"config": "/a/b.toml"})
    )
    desk = Desk(
        control, None, dict, None, None, lambda request, **how: asked.append((request.id, how)), None, None
    )
    desk.serve()
    assert asked == [(1, {"dry_run": True, "config": None}), (2, {"dry_run": False, "config": "/a/b.toml"})]


def test_a_reload_with_senseless_args_is_refused():
    control = Control(
        Request(b"", 1, "reload", {"dry_run": 1}),
        Request(b"", 2, "reload", {"config": 7}),
        Request(b"", 3, "reload", {"component": "ob"}),
    )
    Desk(control, None, dict, None, None, None, None, None).serve()
    assert control.said == [(1, "bad_request"), (2, "bad_request"), (3, "bad_request")]
