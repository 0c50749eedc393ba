import logging

import pytest

from dolphin_mp.component import Component, Done, Input, Output, create_component


class Base(Component):
    first = Output("f8")
    gone = Output("f4")


class Derived(Base):
    source = Input("other.value", stale_after="3s", required=True)
    second = Output("i4", shape=(2,), keep=16)
    gone = None

    def step(self):
        self.second.publish(1)


class FakeHost:
    def __init__(self):
        self.beats = 0
        self.stopping = False

    def beat(self):
        self.beats += 1


def test_declarations_are_collected_over_the_base_classes_in_order():
    assert list(Derived.outputs()) == ["first", "second"]
    assert list(Derived.inputs()) == ["source"]
    assert Derived.outputs()["first"] is Base.first


def test_a_subclass_takes_a_declaration_back_by_setting_the_attribute():
    assert "gone" in Base.outputs()
    assert "gone" not in Derived.outputs()


def test_a_subclass_replaces_a_declaration():
    class Replacing(Base):
        first = Output("i8")

    assert Replacing.outputs()["first"].dtype == "i8"


def test_a_class_shows_the_declaration_and_an_instance_the_channel():
    channel = object()
    made = create_component(
        Derived, name="d", channels={"source": channel, "first": channel, "second": channel}
    )
    assert made.source is channel
    assert isinstance(Derived.source, Input)
    assert Derived.source.stale_after == "3s"
    assert Derived.source.required


def test_an_unconnected_input_or_output_says_how_to_connect_it():
    with pytest.raises(AttributeError, match=r"input Derived\.source is not connected.*dolphin_mp\.testing"):
        _ = Derived().source
    with pytest.raises(AttributeError, match=r"output Derived\.second is not connected"):
        Derived().step()


def test_everything_is_set_before_the_users_init_runs():
    class WithInit(Component):
        out = Output("f8")

        def __init__(self):
            self.seen = (self.name, self.options, self.out, self.log.name)

    made = create_component(
        WithInit, name="w", options=7, channels={"out": "channel"}, log=logging.getLogger("x")
    )
    assert made.seen == ("w", 7, "channel", "x")


def test_a_component_without_init_needs_none():
    made = create_component(Derived, name="d")
    assert (made.name, made.options, made.log.name) == ("d", None, "dolphin_mp.component.d")


def test_beats_and_the_wish_to_stop_go_through_the_host():
    host = FakeHost()
    made = create_component(Derived, name="d", host=host)
    made.beat()
    assert host.beats == 1
    assert not made.stopping
    host.stopping = True
    assert made.stopping


def test_without_a_host_a_component_beats_for_nobody():
    made = Derived()
    made.beat()
    assert not made.stopping


def test_the_hooks_have_defaults_and_a_missing_step_says_so():
    made = Component()
    made.setup()
    made.on_stale()
    made.close()
    with pytest.raises(NotImplementedError, match="neither step"):
        made.step()


def test_done_is_an_exception_of_its_own():
    assert issubclass(Done, Exception)
