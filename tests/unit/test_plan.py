import json

import pytest

from dolphin_mp.plan import (
    ComponentPlan,
    InputPlan,
    OutputPlan,
    Plan,
    component_from_data,
    component_to_json,
    plan_from_json,
    plan_to_json,
)

OB = ComponentPlan(
    name="ob",
    run="parts:OrderBook",
    process="feed",
    blob=b"\x00\xff",
    outputs=(OutputPlan("top", "ob.top", {"names": ["bid"], "formats": ["<f8"]}, (2, 3), 8, 48),),
)
SPREAD = ComponentPlan(
    name="spread",
    run="parts:Spread",
    process="spread",
    blob=b"",
    after=("ob",),
    inputs=(InputPlan("top", "ob.top", 3.0, True),),
    on=("top",),
)
PLAN = Plan("dolphin", (OB, SPREAD), sys_path=("/home/me",), modules=("parts",), notes=("simulated",))


def test_a_plan_survives_json():
    assert plan_from_json(plan_to_json(PLAN)) == PLAN


def test_a_component_survives_json():
    assert component_from_data(json.loads(component_to_json(OB))) == OB


def test_a_component_is_found_by_its_name():
    assert PLAN.component("spread") is SPREAD
    with pytest.raises(KeyError):
        PLAN.component("sprad")


def test_what_is_no_plain_value_does_not_pass_as_json():
    with pytest.raises(TypeError, match="holds no object"):
        plan_to_json(Plan("x", (), sys_path=(object(),)))
