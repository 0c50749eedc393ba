"""A plan with more or fewer instances is the plan that the configuration would have given."""

import numpy as np
import pytest

from dolphin_mp import Component, Input, Output, System
from dolphin_mp.scaling import ScaleError, scaled
from dolphin_mp.supervision.replan import changes_between


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


def test_only_who_reads_the_whole_pool_is_restarted_for_it():
    before = plan_of(2, first=First)
    changes = changes_between(before, scaled(before, "mc", 4))
    assert changes.added == ("mc@2", "mc@3")
    assert list(changes.restarted) == ["sum"]
    changes = changes_between(plan_of(4), plan_of(2))
    assert (changes.removed, list(changes.restarted)) == (("mc@2", "mc@3"), ["sum"])


def test_a_key_that_gives_way_to_another_restarts_who_reads_all():
    class Books(Component):
        books = Input("ob@*.job")

        def step(self):
            pass

    def keyed(*keys):
        return System("s", {"ob": (Jobs, {"for_each": list(keys)}), "books": Books}).plan()

    changes = changes_between(keyed("a", "b", "c"), keyed("a", "x", "c"))
    assert (changes.added, changes.removed, changes.kept) == (("ob@x",), ("ob@b",), ("ob@a", "ob@c"))
    assert changes.restarted["books"] == ("input books of ob@b is gone", "input books of ob@x is new")
