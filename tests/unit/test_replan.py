"""What lies between two plans, in words."""

from dataclasses import fields, replace

import pytest

from dolphin_mp.plan import BackoffPlan, ComponentPlan, InputPlan, OutputPlan, Plan, ResourcesPlan
from dolphin_mp.supervision.replan import POLICY, changes_between


def out(name, dtype="<f8", keep=8):
    return OutputPlan("out", f"{name}.out", dtype, (), keep, 8)


def component(name, *reads, **rest):
    inputs = tuple(InputPlan(f"from_{r}", f"{r}.out") for r in reads)
    settings = {"process": name, "blob": b"1", "code": "c1", "outputs": (out(name),), **rest}
    return ComponentPlan(name, "parts:X", after=reads, inputs=inputs, **settings)


def plan(*components, **rest):
    return Plan("s", components, **rest)


OB, EDGE, FAR = component("ob"), component("edge", "ob"), component("far")
OLD = plan(OB, EDGE, FAR)


def restarted(*components, old=OLD):
    found = changes_between(old, plan(*components))
    assert set(found.kept) == {c.name for c in components} - set(found.restarted) - set(found.added)
    return {name: list(why) for name, why in found.restarted.items()}


def test_the_same_plan_changes_nothing():
    found = changes_between(OLD, replace(OLD, source="elsewhere", notes=("x",), modules=("y",)))
    assert found.is_nothing
    assert found.kept == ("ob", "edge", "far")
    assert not found.drained


def test_who_comes_and_who_goes():
    found = changes_between(OLD, plan(OB, EDGE, component("new")))
    assert (found.added, found.removed, found.kept) == (("new",), ("far",), ("ob", "edge"))
    assert (found.made, found.given_up, found.drained) == (("new.out",), ("far.out",), {"far"})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"options": (("depth", "2"),)}, "option depth changed"),
        ({"options": (("a", "1"), ("b.c", "1"))}, "options a, b.c changed"),
        ({"run": "parts:Y"}, "runs parts:Y instead of parts:X"),
        ({"code": "c2"}, "its code changed"),
        ({"every_s": 0.5}, "every changed"),
        ({"on": ("from_ob",)}, "on changed"),
        ({"hang_after_s": 9.0}, "hang_after changed"),
        ({"resources": ResourcesPlan(nice=3)}, "resources changed"),
        ({"process": "shared"}, "moves to process shared"),
        ({"outputs": (out("far"), OutputPlan("more", "far.more", "<f8", (), 8, 8))}, "output more is new"),
        ({"outputs": ()}, "output out is gone"),
        ({"inputs": (InputPlan("x", "ob.out"),)}, "input x is new"),
    ],
)
def test_why_one_starts_anew(change, why):
    assert restarted(OB, EDGE, replace(FAR, **change)) == {"far": [why]}


def test_an_input_that_changes_says_how():
    other = replace(EDGE, inputs=(InputPlan("from_ob", "far.out"),))
    assert restarted(OB, other, FAR) == {"edge": ["input from_ob is far.out instead of ob.out"]}
    patient = replace(EDGE, inputs=(InputPlan("from_ob", "ob.out", stale_after_s=3.0),))
    assert restarted(OB, patient, FAR) == {"edge": ["input from_ob changed"]}


@pytest.mark.parametrize(
    ("output", "what"),
    [
        (out("ob", dtype="<f4"), "dtype"),
        (out("ob", keep=9), "keep"),
        (OutputPlan("out", "ob.out", "<f4", (2,), 8, 8), "dtype and shape"),
        (OutputPlan("out", "ob.out", "<f8", (), 8, 16), "record size"),
    ],
)
def test_a_replaced_channel_concerns_all_who_use_it(output, what):
    found = changes_between(OLD, plan(replace(OB, outputs=(output,)), EDGE, FAR))
    assert found.replaced == {"ob.out": what}
    assert found.restarted == {
        "ob": (f"writes ob.out, whose {what} changes",),
        "edge": (f"reads ob.out, whose {what} changes",),
    }
    assert found.drained == {"ob", "edge"}
    assert found.kept == ("far",)


def test_what_went_through_json_is_no_other():
    was = OutputPlan("out", "ob.out", {"names": ("a",), "formats": ("<f8",)}, (), 8, 8)
    now = OutputPlan("out", "ob.out", {"names": ["a"], "formats": ["<f8"]}, (), 8, 8)
    assert changes_between(plan(replace(OB, outputs=(was,))), plan(replace(OB, outputs=(now,)))).is_nothing


def test_a_reader_that_turns_away_from_a_replaced_channel_goes_down_before_it_too():
    found = changes_between(OLD, plan(replace(OB, outputs=(out("ob", "<f4"),)), component("edge"), FAR))
    assert found.drained == {"ob", "edge"}


@pytest.mark.parametrize("field", POLICY)
def test_a_policy_changes_under_the_running_process(field):
    other = {"after": ("far",), "restart": "never", "on_failed": "stop", "backoff": BackoffPlan(9.0)}
    found = changes_between(OLD, plan(OB, replace(EDGE, **{field: other.get(field, 7)}), FAR))
    assert found.retuned == {"edge": (field.removesuffix("_s"),)}
    assert (found.kept, dict(found.restarted), found.drained) == (("ob", "edge", "far"), {}, frozenset())
    assert not found.is_nothing


@pytest.mark.parametrize(
    "field", [f.name for f in fields(ComponentPlan) if f.name not in {"name", "blob", *POLICY}]
)
def test_every_other_field_is_a_reason(field):
    """Whatever a plan will hold one day restarts a component, unless it is known to be the parent's alone."""
    other = {"outputs": (), "inputs": (InputPlan("x", "far.out"),), "options": (("a", "1"),)}
    assert restarted(replace(FAR, **{field: other.get(field, "x")}), old=plan(FAR))


def test_a_class_that_travels_by_value_is_told_by_its_bytes():
    was = replace(FAR, code="")
    assert restarted(replace(was, blob=b"2"), old=plan(was)) == {"far": ["its class or options changed"]}
    assert restarted(replace(FAR, blob=b"2"), old=plan(FAR)) == {}, "its bytes say nothing that code does not"


def test_those_who_share_a_process_share_its_fate():
    a, b = component("a", process="p"), component("b", process="p")
    found = changes_between(plan(a, b), plan(replace(a, every_s=1.0), b))
    assert found.restarted == {"a": ("every changed",), "b": ("shares its process with a, which restarts",)}
    assert (found.bound, found.drained) == ({"b"}, frozenset())
    found = changes_between(plan(a, b), plan(b))
    assert found.restarted == {"b": ("shares its process with a, which leaves",)}
    assert found.drained == {"p"}
    found = changes_between(plan(b), plan(a, b))
    assert found.restarted == {"b": ("shares its process with a, which joins it",)}
    assert found.drained == {"p"}


def test_another_word_on_orphans_concerns_all():
    found = changes_between(OLD, replace(OLD, orphan="stop"))
    assert set(found.restarted) == {"ob", "edge", "far"}
    assert found.restarted["ob"] == ("orphan becomes stop",)


def test_as_data_it_is_json():
    import json

    found = changes_between(OLD, plan(replace(OB, outputs=(out("ob", "<f4"),)), EDGE, component("new")))
    assert json.loads(json.dumps(found.to_data())) == {
        "added": ["new"],
        "removed": ["far"],
        "restarted": {
            "ob": ["writes ob.out, whose dtype changes"],
            "edge": ["reads ob.out, whose dtype changes"],
        },
        "retuned": {},
        "kept": [],
        "channels": {"made": ["new.out"], "replaced": {"ob.out": "dtype"}, "given_up": ["far.out"]},
    }
