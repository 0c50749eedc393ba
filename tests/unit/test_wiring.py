from typing import ClassVar

import numpy as np
import pytest

from dolphin_mp import Component, Input, Output, System
from dolphin_mp.faults import ConfigurationError
from dolphin_mp.plan import SchedulePlan, plan_from_json, plan_to_json


class Quotes(Component):
    every = "10ms"
    quote = Output(np.dtype([("bid", "f8"), ("ask", "f8")]), keep=1024)

    def step(self):
        pass


class Edge(Component):
    quote = Input("quotes.quote", stale_after="3s", required=True)
    edge = Output("f8")

    def step(self):
        pass


def test_an_input_of_an_unknown_component_or_output_is_a_fault_with_the_nearest(faults_with):
    class Reader(Edge):
        wrong = Input("quote.quote")
        other = Input("quotes.qote")
        formless = Input("quotes")

    faults = faults_with(quotes=Quotes, reader=Reader)
    assert [fault.removeprefix("system s: reader.") for fault in faults] == [
        'wrong: reads "quote.quote", but no component is named "quote"; did you mean "quotes"?',
        'other: reads "quotes.qote", but "quotes" has no output "qote"; did you mean "quote"?',
        "formless: 'quotes' is no channel: write \"component.output\"",
    ]


def test_the_configuration_names_another_channel_for_an_input():
    plan = System("s", {"paper": Quotes, "edge": (Edge, {"inputs": {"quote": "paper.quote"}})}).plan()
    edge = plan.component("edge")
    assert edge.inputs[0].channel == "paper.quote"
    assert edge.after == ("paper",)


def test_a_wired_input_that_the_class_does_not_have_is_a_fault(faults_with):
    (fault,) = faults_with(quotes=Quotes, edge=(Edge, {"inputs": {"quotes": "quotes.quote"}}))
    assert fault == 'system s: components.edge.inputs.quotes: Edge has no such input; did you mean "quote"?'


def test_a_component_that_would_never_step_is_a_fault(faults_with):
    class Idle(Component):
        def step(self):
            pass

    assert "neither inputs nor every, on or schedule" in faults_with(idle=Idle)[0]
    System("s", {"idle": (Idle, {"every": "1s"})}).plan()


def test_a_component_that_runs_itself_needs_no_trigger():
    class Socket(Component):
        async def run(self):
            pass

    assert System("s", {"socket": Socket}).plan().components[0].on == ()


def test_the_configurations_triggers_replace_all_of_the_classes():
    class Both(Edge):
        every = "1s"
        on = ("quote",)

    system = System("s", {"quotes": Quotes, "own": Both, "given": (Both, {"every": "5s"})})
    own, given = system.plan().component("own"), system.plan().component("given")
    assert (own.every_s, own.on) == (1.0, ("quote",))
    assert (given.every_s, given.on) == (5.0, ())


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"every": 5}, "a.every: 5 has no unit"),
        ({"every": "0s"}, "a.every: .* too short"),
        ({"on": "quote"}, 'a.on: "quote" is a text: write a list'),
        ({"on": ["quot"]}, 'a.on: "quot" is no input of it; did you mean "quote"'),
        ({"schedule": "* * *"}, "a.schedule: .* has 3 fields"),
        ({"schedule": "61 * * * *"}, "a.schedule: .* is no schedule"),
        ({"schedule": "0 0 31 2 *"}, "a.schedule: .* is no schedule"),
        ({"schedule": ""}, "a.schedule: .* has 0 fields"),
        ({"schedule": 5}, "a.schedule: 5 is no schedule"),
        ({"schedule": {}}, "a.schedule: needs either cron or period"),
        ({"schedule": {"cron": "0 8 * * *", "period": "4h"}}, "a.schedule: needs either cron or period"),
        ({"schedule": {"cron": "61 * * * *"}}, "a.schedule.cron: .* is no schedule"),
        ({"schedule": {"cron": 5}}, "a.schedule.cron: should be a valid string"),
        ({"schedule": {"period": "500ms"}}, "a.schedule.period: is less than 1 s: use every"),
        ({"schedule": {"period": 4}}, "a.schedule.period: 4 has no unit"),
        (
            {"schedule": {"period": "4h", "timezone": "UTC"}},
            "a.schedule.timezone: a period is counted in UTC",
        ),
        ({"schedule": {"cron": "0 8 * * *", "aligned": False}}, "a.schedule.aligned: goes with period"),
        (
            {"schedule": {"cron": "0 8 * * *", "timezone": "Europe/Londn"}},
            'a.schedule.timezone: "Europe/Londn" is no time zone; did you mean "Europe/London"',
        ),
        (
            {"schedule": {"cron": "0 8 * * *", "timezone": "../etc"}},
            "a.schedule.timezone: .* is no time zone",
        ),
        (
            {"schedule": {"cron": "0 8 * * *", "missed": "run"}},
            'a.schedule.missed: should be one of "skip", "run-once", not "run"',
        ),
        (
            {"schedule": {"cron": "0 8 * * *", "dedline": "5m"}},
            'a.schedule.dedline: .* did you mean "deadline"',
        ),
        ({"schedule": "0 8 * * *", "every": "1s"}, "a.schedule: every and schedule say when it steps, both"),
        ({"quote": Input("quotes.quote", stale_after=3)}, "a.quote: stale_after: 3 has no unit"),
    ],
)
def test_triggers_and_ages_that_do_not_fit_are_faults(attributes, expected):
    with pytest.raises(ConfigurationError, match=expected):
        System("s", {"quotes": Quotes, "a": type("A", (Edge,), attributes)}).plan()


def test_a_schedule_of_five_fields_is_planned():
    system = System("s", {"q": (Quotes, {"schedule": "*/10 * * * *"})})
    (component,) = system.plan().components
    assert (component.schedule, component.every_s) == (SchedulePlan(cron="*/10 * * * *"), None)


class Ping(Component):
    pong = Input("pong.out", required=True)
    out = Output("f8")

    def step(self):
        pass


class Pong(Component):
    ping = Input("ping.out", required=True)
    out = Output("f8")

    def step(self):
        pass


def test_a_cycle_of_required_inputs_is_a_fault_that_names_it(faults_with):
    (fault,) = faults_with(ping=Ping, pong=Pong)
    assert fault.startswith("system s: a cycle of required inputs: ")
    assert "ping -> pong" in fault


def test_a_cycle_with_a_free_input_starts_without_it():
    free = type("Free", (Pong,), {"ping": Input("ping.out")})
    plan = System("s", {"ping": Ping, "pong": free}).plan()
    assert [component.name for component in plan.components] == ["pong", "ping"]
    assert plan.component("pong").after == ()


def test_a_flow_out_of_a_process_and_back_is_a_fault_that_names_it(faults_of):
    middle = type("Middle", (Edge,), {"quote": Input("quotes.quote", required=True)})
    last = type("Last", (Edge,), {"quote": Input("middle.edge", required=True)})
    components = {"quotes": (Quotes, {"process": "p"}), "middle": middle, "last": (last, {"process": "p"})}
    (fault,) = faults_of(System("s", components).plan)
    assert "wait for one another" in fault
    assert "quotes -> middle" in fault


def test_members_of_a_process_share_the_policies_that_one_of_them_states():
    components = {
        "a": (Quotes, {"process": "p", "restart": "never"}),
        "b": (Quotes, {"process": "p"}),
        "c": Quotes,
    }
    restarts = {component.name: component.restart for component in System("s", components).plan().components}
    assert restarts == {"a": "never", "b": "never", "c": "always"}


def test_members_of_a_process_that_contradict_each_other_are_a_fault(faults_of):
    components = {
        "a": (Quotes, {"process": "p", "restart": "never"}),
        "b": (Quotes, {"process": "p", "restart": "always"}),
    }
    (fault,) = faults_of(System("s", components).plan)
    assert 'components.b.restart: shares process "p" and its fate with a' in fault


def test_a_schedule_as_a_table_is_planned():
    table = {"cron": "0 8 * * 1-5", "timezone": "Europe/London", "missed": "run-once", "deadline": "5m"}
    (component,) = System("s", {"q": (Quotes, {"schedule": table})}).plan().components
    assert component.schedule == SchedulePlan(
        cron="0 8 * * 1-5", timezone="Europe/London", missed="run-once", deadline_s=300.0
    )
    assert str(component.schedule) == "0 8 * * 1-5 Europe/London"
    assert component.hang_after_s == 305.0  # the deadline is what ends a run


def test_a_period_is_planned():
    plan = System("s", {"q": (Quotes, {"schedule": {"period": "4h", "aligned": False}})}).plan()
    assert plan.components[0].schedule == SchedulePlan(period_s=14400.0, aligned=False)
    assert plan.components[0].hang_after_s == 5.0
    assert plan_from_json(plan_to_json(plan)) == plan


def test_a_class_may_give_its_schedule_as_a_table():
    class Nightly(Component):
        schedule: ClassVar = {"period": "1d", "deadline": "1h"}

        def step(self): ...

    plan = System("s", {"n": Nightly, "m": (Nightly, {"hang_after": "9s"})}).plan()
    assert plan.component("n").schedule == SchedulePlan(period_s=86400.0, deadline_s=3600.0)
    assert plan.component("m").hang_after_s == 9.0
