"""A plan with more or fewer instances is the plan that the configuration would have given."""

import numpy as np
import pytest

from dolphin_mp import Component, Input, Output, System
from dolphin_mp.scaling import ScaleError, scaled


class Jobs(Component):
    every = "1s"
    job = Output("i8")

    def step(self):
        pass


class Worker(Component):
    job = Input("jobs.job", share=True)
    part = Output(np.dtype("f8"), shape=3)

    def step(self):
        pass


class Sum(Component):
    parts = Input("mc@*.part")
    job = Input("jobs.job")

    def step(self):
        pass


class First(Component):
    part = Input("mc@1.part")

    def step(self):
        pass


def plan_of(instances, **more):
    return System("s", {"jobs": Jobs, "mc": (Worker, {"instances": instances}), "sum": Sum, **more}).plan()


@pytest.mark.parametrize("before", [1, 2, 5])
@pytest.mark.parametrize("after", [1, 2, 5])
def test_it_is_as_if_configured_so(before, after):
    assert scaled(plan_of(before), "mc", after) == plan_of(after)


def test_instances_that_share_a_process_stay_together():
    pool = (Worker, {"instances": 1, "process": "all"})
    plan = scaled(System("s", {"jobs": Jobs, "mc": pool}).plan(), "mc", 3)
    assert [component.process for component in plan.components] == ["jobs", "all", "all", "all"]


@pytest.mark.parametrize(
    ("pool", "count", "why"),
    [
        ("sum", 2, "no pool 'sum'; pools: mc, keyed"),
        ("mc", 0, "1 to 1024"),
        ("mc", 1025, "1 to 1024"),
        ("mc", 1, "first reads mc@1.part"),
        ("keyed", 2, "those of for_each"),
    ],
)
def test_what_can_not_be_scaled_says_why(pool, count, why):
    plan = plan_of(2, first=First, keyed=(Jobs, {"for_each": ["a"]}))
    with pytest.raises(ScaleError, match=why):
        scaled(plan, pool, count)


def test_one_that_is_read_by_its_name_is_in_nobodys_way():
    plan = plan_of(2, first=First)
    assert scaled(plan, "mc", 3) == plan_of(3, first=First)
