"""Components stepped without a process, as their authors' tests do it."""

from dataclasses import dataclass

import numpy as np
import pytest

from dolphin_mp import Component, Input, Output
from dolphin_mp.ipc.folder import segments
from dolphin_mp.testing import stepping

QUOTE = np.dtype([("bid", "f8"), ("ask", "f8")])


class Quotes(Component):
    every = "10ms"
    quote = Output(QUOTE, keep=1024)

    @dataclass
    class Options:
        bid: float = 1.0

    def step(self):
        self.quote.publish(bid=self.options.bid, ask=self.options.bid + 1)


class Edge(Component):
    quote = Input("quotes.quote", stale_after="3s", required=True)
    edge = Output("f8")

    def setup(self):
        self.stale = 0

    def step(self):
        now = self.quote.latest()
        self.edge.publish(now.value["ask"] - now.value["bid"])

    def on_stale(self):
        self.stale += 1


class Typed(Component):
    rows = Input("other.rows", dtype="i4", shape=(2,))
    total = Output(lambda options: "i8", shape=lambda options: 1)
    closed = False

    def step(self):
        self.total.publish(self.rows.latest().value.sum(keepdims=True, dtype="i8"))

    def close(self):
        type(self).closed = True


def test_a_component_without_inputs_steps():
    with stepping(Quotes, {"bid": 5.0}) as quotes:
        assert quotes.latest("quote") is None
        quotes.step()
        assert quotes.latest("quote").value["ask"] == 6.0
        assert [record.version for record in quotes.records("quote")] == [1]


def test_options_may_be_an_instance():
    with stepping(Quotes, Quotes.Options(bid=7.0)) as quotes:
        quotes.step()
        assert quotes.latest("quote").value["bid"] == 7.0


def test_an_input_takes_the_form_of_its_producer_or_of_its_first_record():
    with stepping(Edge, inputs={"quote": Quotes.quote}) as edge:
        assert edge.component.quote.dtype == QUOTE
        edge.give("quote", bid=1.0, ask=2.0)
        assert edge.step()
        assert edge.latest("edge").value == 1.0
    with stepping(Edge) as edge:
        edge.give("quote", bid=1.0, ask=3.0)
        assert edge.step()
        assert edge.latest("edge").value == 2.0


def test_an_input_of_unknown_form_is_named():
    with stepping(Edge) as edge, pytest.raises(TypeError, match="dtype of input quote"):
        edge.step()


def test_a_required_input_without_a_fresh_record_calls_on_stale():
    with stepping(Edge, inputs={"quote": QUOTE}) as edge:
        assert not edge.step()
        edge.give("quote", bid=1.0, ask=2.0)
        assert edge.step()
        edge.expire("quote")
        assert not edge.step()
        edge.give("quote", bid=1.0, ask=2.0)
        assert edge.step()
        assert edge.component.stale == 2


def test_declared_forms_need_no_telling_and_close_is_called():
    with stepping(Typed) as typed:
        typed.give("rows", np.array([2, 3], "i4"))
        typed.step()
        assert typed.latest("total").value.tolist() == [5]
    assert Typed.closed


def test_unknown_inputs_are_refused():
    with pytest.raises(TypeError, match="no input nothing"):
        stepping(Edge, inputs={"nothing": "f8"})
    with stepping(Edge) as edge, pytest.raises(TypeError, match="no input 'nothing'"):
        edge.give("nothing", 1.0)
    with stepping(Typed) as typed, pytest.raises(ValueError, match="never stale"):
        typed.expire("rows")


def test_being_asked_to_stop_can_be_played():
    with stepping(Quotes) as quotes:
        assert not quotes.component.stopping
        quotes.asked_to_stop = True
        assert quotes.component.stopping


def test_a_component_that_lives_on_sockets_is_not_stepped():
    class Live(Component):
        out = Output("f8")

        async def run(self):
            """Nothing."""

    with stepping(Live) as live, pytest.raises(TypeError, match="await it"):
        live.step()


def test_nothing_is_left_behind_even_by_a_setup_that_fails():
    class Fails(Component):
        every = "1s"
        out = Output("f8")

        def setup(self):
            raise ValueError("no luck")

    before = [name for name in segments() if ".fails." in name]
    with pytest.raises(ValueError, match="no luck"), stepping(Fails):
        pass
    assert [name for name in segments() if ".fails." in name] == before


class Worker(Component):
    job = Input("jobs.job", dtype="i8", share=True)
    part = Output(np.dtype([("job", "i8"), ("again", "?")]))

    def step(self):
        record = self.job.dealt
        self.part.publish(job=record.value.item(), again=record.redealt)


class Sum(Component):
    parts = Input("mc@*.part", dtype="f8")
    total = Output("f8")

    def step(self):
        self.total.publish(sum(float(record.value) for record in self.parts.latest().values()))


def test_a_step_has_one_dealt_record():
    with stepping(Worker, name="mc@3") as worker:
        assert worker.component.key == "3"
        worker.give("job", 7)
        worker.give("job", 8)
        assert [worker.step(), worker.step(), worker.step()] == [True, True, False]
        assert [record.value["job"] for record in worker.records("part")] == [7, 8]
    assert not [name for name in segments() if "mc@3" in name]


def test_a_record_that_another_instance_died_over_is_marked():
    with stepping(Worker) as worker:
        worker.give("job", 7)
        worker.redeal("job")
        worker.step()
        assert worker.latest("part").value["again"]


def test_a_whole_pool_is_given_by_instance():
    with stepping(Sum, instances=3) as it:
        it.give(("parts", "mc@0"), 1.0)
        it.give(("parts", "mc@2"), 2.5)
        it.step()
        assert list(it.component.parts) == ["mc@0", "mc@1", "mc@2"]
        assert it.latest("total").value == 3.5
        with pytest.raises(TypeError, match="'parts', 'mc@1'"):
            it.give("parts", 1.0)
