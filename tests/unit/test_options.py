from dataclasses import dataclass, field

import numpy as np
import pytest

from dolphin_mp import Component, Output, System
from dolphin_mp.loader import load_component


class Quotes(Component):
    every = "10ms"
    quote = Output(np.dtype([("bid", "f8"), ("ask", "f8")]), keep=1024)

    def step(self):
        pass


class Tuned(Component):
    every = "1s"

    @dataclass
    class Options:
        symbols: list[str] = field(default_factory=list)
        size: int = 4
        ratio: float = 1.0

        def __post_init__(self):
            if self.size > 100:
                raise ValueError("size is at most 100")

    out = Output("f8", shape=lambda options: (options.size,))

    def step(self):
        pass


def test_options_fill_the_dataclass_and_size_the_outputs(project):
    plan = project("""
        [components.tuned]
        run = "parts:Tuned"
        options = { symbols = ["A", "B"], size = 3, inner = { depth = 5 } }
    """).plan()
    assert plan.components[0].outputs[0].shape == (3, 2)
    assert plan.components[0].outputs[0].record_size == 48
    _, options = load_component(plan.components[0])
    assert (options.symbols, options.size, options.inner.depth) == (["A", "B"], 3, 5)


def test_options_from_python_are_a_table_too():
    (tuned,) = System("s", {"t": (Tuned, {"options": {"size": 3, "ratio": 2}})}).plan().components
    assert tuned.outputs[0].shape == (3,)


def test_an_unknown_key_of_nested_options_is_a_fault_with_the_nearest(project, faults_of):
    system = project("""
        [components.tuned]
        run = "parts:Tuned"
        options = { symbols = [], inner = { dept = 5 } }
    """)
    (fault,) = faults_of(system.plan)
    assert fault.endswith('components.tuned.options.inner.dept: unknown key; did you mean "depth"?')


def test_options_may_be_an_instance():
    options = Tuned.Options(size=7)
    (tuned,) = System("s", {"t": (Tuned, {"options": options})}).plan().components
    assert tuned.outputs[0].shape == (7,)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"sise": 1}, 't.options.sise: unknown key; did you mean "size"?'),
        ({"size": "3"}, 't.options.size: should be a valid integer, not "3"'),
        ({"size": 2.5}, "t.options.size: should be a valid integer, not 2.5"),
        ({"symbols": [1]}, "t.options.symbols.0: should be a valid string, not 1"),
        ({"size": 101}, "t.options: size is at most 100"),
        (5, "t.options: should be a table"),
        ({"size": object()}, "t.options: a object fits no table: give an instance of Tuned.Options"),
    ],
)
def test_options_that_do_not_fit_are_faults(options, expected, faults_with):
    (fault,) = faults_with(t=(Tuned, {"options": options}))
    assert fault.startswith(f"system s: components.{expected}")


def test_a_missing_option_is_a_fault(faults_with):
    class Needs(Tuned):
        @dataclass
        class Options:
            key: str

    (fault,) = faults_with(t=Needs)
    assert fault == "system s: components.t.options.key: is missing"


def test_options_that_are_no_dataclass_are_a_fault(faults_with):
    class Plain(Quotes):
        class Options:
            pass

    assert "is no dataclass: put @dataclass above it" in faults_with(t=Plain)[0]
