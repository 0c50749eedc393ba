import numpy as np
import pytest

from dolphin_mp import Component, Input, Output, System
from dolphin_mp.faults import ConfigurationError


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


def test_a_reader_of_a_faulty_component_adds_no_fault_of_its_own(faults_with):
    (fault,) = faults_with(quotes=("nowhere:Quotes", {}), edge=Edge)
    assert "components.quotes.run" in fault


class Records(Component):
    every = "1s"
    good = Output("f8", shape=(2, 3))

    def step(self):
        pass


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (Output(object), "out: dtype object can't lie in shared memory"),
        (Output("V0"), "can't lie in shared memory"),
        (Output("nonsense"), "its dtype 'nonsense' is no numpy dtype"),
        (Output(None), "its dtype is None"),
        (
            Output(lambda options: options.size),
            "its dtype as a function of the options fails with AttributeError",
        ),
        (Output("f8", shape=0), "holds nothing"),
        (Output("f8", shape=(2, "x")), "is no whole number and no tuple of them"),
        (Output("f8", keep=0), "keep is 0"),
        (Output("f8", keep="8"), "keep is '8'"),
    ],
)
def test_an_output_that_makes_no_channel_is_a_fault_that_names_it(output, expected, faults_with):
    (fault,) = faults_with(r=type("Faulty", (Records,), {"out": output}))
    assert fault.startswith("system s: r.out: ")
    assert expected in fault


def test_a_dtype_of_an_array_goes_into_the_shape():
    made = type("Sub", (Records,), {"out": Output(np.dtype(("f4", (3,))), shape=2)})
    plan = System("s", {"r": made}).plan()
    out = plan.components[0].outputs[1]
    assert (out.dtype, out.shape, out.record_size) == ("<f4", (2, 3), 24)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Input("r.good", "f8", (2, 3)), None),
        (Input("r.good", "f8"), None),
        (Input("r.good", shape=(2, 3)), None),
        (Input("r.good", ("f8", (2, 3))), None),
        (Input("r.good", "f4"), 'expects dtype float32, but "r.good" has float64'),
        (Input("r.good", "f8", (3, 2)), r'expects shape \(3, 2\), but "r.good" has \(2, 3\)'),
        (Input("r.good", shape=(3,)), r"expects shape \(3,\)"),
        (Input("r.good", "rubbish"), "is no numpy dtype"),
    ],
)
def test_what_a_reader_expects_is_compared_with_what_its_producer_writes(source, expected):
    system = System("s", {"r": Records, "e": type("Reader", (Edge,), {"quote": source})})
    if expected is None:
        system.plan()
    else:
        with pytest.raises(ConfigurationError, match=rf"e\.quote: .*{expected}"):
            system.plan()


def test_a_name_that_component_uses_itself_is_no_output(faults_with):
    (fault,) = faults_with(r=type("Faulty", (Records,), {"log": Output("f8")}))
    assert 'r.log: "log" is a name that Component uses itself' in fault


def test_methods_that_can_not_work_are_faults(faults_with):
    class Nothing(Component):
        every = "1s"

    class Both(Quotes):
        async def run(self):
            pass

    class PlainRun(Component):
        def run(self):
            pass

    class AsyncStep(Component):
        every = "1s"

        async def step(self):
            pass

    class Arguments(Quotes):
        def __init__(self, size):
            pass

    faults = faults_with(a=Nothing, b=Both, c=PlainRun, d=AsyncStep, e=Arguments)
    expected = [
        "Nothing does nothing",
        "keep one of them",
        "run is not async",
        "step is async",
        "needs arguments",
    ]
    assert len(faults) == len(expected)
    assert all(text in fault for text, fault in zip(expected, faults, strict=True))


def test_what_is_no_component_class_is_a_fault(faults_with):
    assert "a function, not a component" in faults_with(a=lambda: None)[0].replace("is a", "a")
    assert "is not a component" in faults_with(a=int)[0]
    assert "a tuple, not a component class" in faults_with(a=(Quotes, {}, 1))[0]
    assert "should be a table, not 3" in faults_with(a=(Quotes, 3))[0]


def test_what_can_not_be_carried_to_another_process_is_a_fault(faults_with):
    running = (number for number in range(3))

    class Holding(Quotes):
        def step(self):
            next(running)

    (fault,) = faults_with(h=Holding)
    assert "components.h: Holding or something it uses can't be carried to another process" in fault
    assert "make it in setup()" in fault
