"""The plan that runs, as the next parent reads it."""

import json
import stat

from dolphin_mp import __version__
from dolphin_mp.parent.plan_file import Recalled, recall, remember, sealed
from dolphin_mp.plan import BackoffPlan, ComponentPlan, InputPlan, OutputPlan, Plan, ResourcesPlan

SECRET = "tr0ub4dor"
PLAN = Plan(
    "test",
    (
        ComponentPlan(
            "ob",
            "x:X",
            "ob",
            SECRET.encode(),
            outputs=(OutputPlan("out", "ob.out", [["a", "<f8"]], (2, 3), 8, 48),),
            backoff=BackoffPlan(factor=3.0),
            resources=ResourcesPlan(env={"KEY": SECRET}),
        ),
        ComponentPlan("edge", "x:Y", "edge", b"y", after=("ob",), inputs=(InputPlan("ob", "ob.out"),)),
    ),
)


def test_a_plan_is_recalled_as_it_was_but_for_what_is_secret(tmp_path):
    remember(str(tmp_path), PLAN)
    assert recall(str(tmp_path)) == Recalled(__version__, sealed(PLAN))
    file = tmp_path / "plan.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["plan.json"]
    assert SECRET not in file.read_text()
    assert SECRET.encode().hex() not in file.read_text()


def test_what_is_changing_just_now_is_left_out(tmp_path):
    remember(str(tmp_path), PLAN, unsure={"ob"})
    assert [c.name for c in recall(str(tmp_path)).plan.components] == ["edge"]


def test_of_another_versions_plan_only_the_version_is_understood(tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps({"version": "9.0", "plan": {"of": "the future"}}))
    assert recall(str(tmp_path)) == Recalled("9.0", None)


def test_rubbish_is_no_plan(tmp_path):
    assert recall(str(tmp_path)) == Recalled("", None)
    for text in ("", "{", "[]", "null", "{}", json.dumps({"version": __version__, "plan": {"name": 3}})):
        (tmp_path / "plan.json").write_text(text)
        assert recall(str(tmp_path)).plan is None
