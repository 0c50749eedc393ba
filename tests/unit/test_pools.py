"""What the configuration of a pool becomes, and what is wrong with some."""

from dataclasses import dataclass

import numpy as np
import pytest

from dolphin_mp import Component, Input, Output, System
from dolphin_mp.faults import ConfigurationError
from dolphin_mp.loader import load_component
from dolphin_mp.plan import plan_from_json, plan_to_json

PART = np.dtype([("value", "f8")])


class Jobs(Component):
    every = "1s"
    job = Output("i8")

    def step(self):
        pass


class Worker(Component):
    job = Input("jobs.job", share=True)
    part = Output(PART, keep=64)

    def step(self):
        pass


class Sum(Component):
    parts = Input("mc@*.part", stale_after="1s", required=True)
    total = Output("f8")

    def step(self):
        pass


class Book(Component):
    every = "1s"

    @dataclass
    class Options:
        symbols: list[str]
        depth: int = 4

    book = Output("f8", shape=lambda options: options.depth)

    def step(self):
        pass


class Edge(Component):
    book = Input("ob@{key}.book")

    def step(self):
        pass


def plan_of(**components):
    return System("s", components).plan()


def faults_of(**components):
    with pytest.raises(ConfigurationError) as caught:
        plan_of(**components)
    return [fault.removeprefix("system s: ") for fault in caught.value.faults]


def pool(component_class, instances=2, **settings):
    return component_class, {"instances": instances, **settings}


def test_instances_are_components_with_names_channels_and_processes_of_their_own():
    plan = plan_of(jobs=Jobs, mc=pool(Worker, 3))
    assert [component.name for component in plan.components] == ["jobs", "mc@0", "mc@1", "mc@2"]
    last = plan.component("mc@2")
    assert (last.process, last.pool, last.keyed, last.after) == ("mc@2", "mc", False, ("jobs",))
    assert [output.channel for output in last.outputs] == ["mc@2.part"]
    assert last.blob == plan.component("mc@0").blob
    assert plan_from_json(plan_to_json(plan)) == plan


def test_instances_that_name_a_process_share_it():
    plan = plan_of(jobs=Jobs, mc=pool(Worker, process="all"))
    assert {component.process for component in plan.components if component.pool} == {"all"}


def test_an_input_of_a_whole_pool_is_one_of_each_instance():
    plan = plan_of(jobs=Jobs, mc=pool(Worker), sum=Sum)
    reader = plan.component("sum")
    assert [item.channel for item in reader.inputs] == ["mc@0.part", "mc@1.part"]
    assert {(item.attribute, item.stale_after_s, item.required, item.many) for item in reader.inputs} == {
        ("parts", 1.0, True, True)
    }
    assert reader.after == ("mc@0", "mc@1")
    assert reader.on == ("parts",)


def test_a_component_with_a_shared_input_steps_on_that_alone():
    class Tuned(Worker):
        tune = Input("jobs.job")

    plan = plan_of(jobs=Jobs, mc=pool(Tuned), one=(Tuned, {"on": ["job", "tune"]}))
    assert plan.component("mc@0").on == ("job",)
    assert plan.component("one").on == ("job", "tune")


def test_each_key_reaches_options_and_inputs():
    keys = ["BTC-USDT", "ETH-USDT"]
    plan = plan_of(
        ob=(Book, {"for_each": keys, "options": {"symbols": ["{key}-PERP"]}}),
        edge=(Edge, {"for_each": keys}),
    )
    assert {component.name for component in plan.components} == {
        "ob@BTC-USDT", "ob@ETH-USDT", "edge@BTC-USDT", "edge@ETH-USDT",
    }  # fmt: skip
    assert load_component(plan.component("ob@ETH-USDT"))[1].symbols == ["ETH-USDT-PERP"]
    assert plan.component("edge@ETH-USDT").inputs[0].channel == "ob@ETH-USDT.book"
    assert plan.component("ob@BTC-USDT").keyed


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"instances": 0}, "instances: "),
        ({"instances": 1025}, "instances: "),
        ({"for_each": []}, "for_each: is empty"),
        ({"for_each": ["a.b"]}, 'for_each: "a.b" is no key: '),
        ({"for_each": ["-a"]}, 'for_each: "-a" is no key: '),
        ({"for_each": ["a/b", "c d"]}, 'for_each: "c d" is no key: '),
        ({"for_each": ["a", "a"]}, 'for_each: "a" stands there twice'),
        ({"for_each": ["A" * 46]}, "has 49 characters: at most 48"),
        ({"for_each": ["a"], "instances": 2}, "for_each: stands beside instances"),
    ],
)
def test_a_pool_that_can_not_be_is_a_fault_of_its_key(settings, expected):
    faults = faults_of(jobs=Jobs, mc=(Worker, settings))
    assert any(fault.startswith("components.mc.") and expected in fault for fault in faults), faults


def test_a_pool_without_a_right_key_is_one_fault():
    class All(Component):
        books = Input("ob@*.book")

        def step(self):
            pass

    keyed = {"for_each": ["a.b"]}
    book = (Book, {**keyed, "options": {"symbols": ["{key}"]}})
    assert len(faults_of(ob=book, edge=(Edge, {"for_each": ["a"]}), all=All)) == 2
    assert len(faults_of(ob=(Book, {"for_each": ["a"], "options": {"symbols": []}}), edge=(Edge, keyed))) == 1


def test_the_same_fault_of_all_instances_is_told_once():
    assert len(faults_of(jobs=Jobs, mc=pool(Worker, 5, options={"size": 3}))) == 1

    class Lost(Worker):
        job = Input("job.job")

    assert len(faults_of(jobs=Jobs, mc=pool(Lost, 5))) == 1


def test_what_can_not_be_read_of_a_pool_is_a_fault():
    class Reader(Component):
        whole = Input("mc.part")
        single = Input("jobs@*.job")
        unknown = Input("mcc@*.part")
        wrong = Input("mc@*.parts")
        shared = Input("mc@*.part", share=True)

        def step(self):
            pass

    faults = faults_of(jobs=Jobs, mc=pool(Worker), reader=Reader)
    expected = [
        'reader.whole: reads "mc.part", but "mc" is a pool: write "mc@*.part"',
        'reader.single: reads "jobs@*.job", but "jobs" is no pool',
        'reader.unknown: reads "mcc@*.part", but no pool is named "mcc"',
        'reader.wrong: reads "mc@0.parts", but "mc@0" has no output "parts"',
        "reader.shared: deals the records of one channel (share=True)",
    ]
    for fault in expected:
        assert any(found.startswith(fault) for found in faults), (fault, faults)


def test_instances_of_different_forms_can_not_be_read_as_one():
    class Sized(Component):
        every = "1s"

        @dataclass
        class Options:
            symbol: str

        book = Output("f8", shape=lambda options: len(options.symbol))

        def step(self):
            pass

    class Reader(Component):
        books = Input("ob@*.book")

        def step(self):
            pass

    ob = (Sized, {"for_each": ["a", "bb"], "options": {"symbol": "{key}"}})
    (fault,) = faults_of(ob=ob, reader=Reader)
    assert "ob@a.book and ob@bb.book differ in dtype or shape" in fault


def test_two_shared_inputs_are_a_fault():
    class Twice(Worker):
        other = Input("jobs.job", share=True)

    (fault,) = faults_of(jobs=Jobs, mc=pool(Twice))
    assert "job, other have share=True" in fault
