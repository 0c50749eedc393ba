"""Plans, start orders and durations under all the input that hypothesis thinks of."""

from contextlib import suppress
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dolphin_mp.checking.dataflow import Edge, order_components
from dolphin_mp.duration import parse_duration
from dolphin_mp.plan import (
    BackoffPlan,
    ComponentPlan,
    InputPlan,
    OutputPlan,
    Plan,
    plan_from_json,
    plan_to_json,
)

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,30}", fullmatch=True)
SECONDS = st.floats(0, 1e9)
LETTERS = "abcdefgh"

backoffs = st.builds(BackoffPlan, SECONDS, SECONDS, SECONDS, SECONDS, SECONDS)
outputs = st.builds(
    OutputPlan,
    attribute=NAMES,
    channel=NAMES,
    dtype=st.sampled_from(["<f8", ["<f8", [2]], {"names": ["a"], "formats": ["<f8"], "offsets": [0]}]),
    shape=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    keep=st.integers(1, 2**31),
    record_size=st.integers(1, 2**40),
)
inputs = st.builds(InputPlan, NAMES, NAMES, st.none() | SECONDS, st.booleans())
components = st.builds(
    ComponentPlan,
    name=NAMES,
    run=st.text(),
    process=NAMES,
    blob=st.binary(max_size=64),
    after=st.lists(NAMES, max_size=3).map(tuple),
    outputs=st.lists(outputs, max_size=3).map(tuple),
    inputs=st.lists(inputs, max_size=3).map(tuple),
    every_s=st.none() | SECONDS,
    on=st.lists(NAMES, max_size=3).map(tuple),
    backoff=backoffs,
    max_restarts=st.none() | st.integers(0, 9),
)


@given(NAMES, st.lists(components, max_size=4), st.lists(st.text(), max_size=2))
def test_every_plan_survives_json(name, members, notes):
    plan = Plan(name, tuple(members), notes=tuple(notes), sys_path=("/a",), modules=("m",))
    assert plan_from_json(plan_to_json(plan)) == plan


edges_lists = st.lists(
    st.builds(Edge, st.sampled_from(LETTERS), st.sampled_from(LETTERS), st.booleans()), max_size=24
)
processes = st.fixed_dictionaries({name: st.sampled_from([name, "p", "q"]) for name in LETTERS})


@given(edges_lists, processes, st.permutations(LETTERS))
def test_a_start_order_names_all_once_and_waits_only_for_what_stands_before(edges, process_of, names):
    order = order_components(names, edges, process_of)
    assert sorted(order.names) == sorted(LETTERS)
    place = {name: index for index, name in enumerate(order.names)}
    for name, producers in order.after.items():
        assert all(place[producer] < place[name] for producer in producers)
        assert all(process_of[producer] != process_of[name] for producer in producers)


@given(edges_lists, processes, st.permutations(LETTERS))
def test_members_of_a_process_always_stand_together(edges, process_of, names):
    order = order_components(names, edges, process_of)
    seen = [process_of[name] for name in order.names]
    changes = sum(left != right for left, right in pairwise(seen))
    assert changes == len(set(seen)) - 1


@given(edges_lists, processes)
def test_without_cycles_no_required_input_is_left_out_of_the_order(edges, process_of):
    order = order_components(LETTERS, edges, process_of)
    if order.cycles or order.process_cycles:
        return
    place = {name: index for index, name in enumerate(order.names)}
    for edge in edges:
        if edge.required:
            assert place[edge.producer] < place[edge.reader]
            same = process_of[edge.producer] == process_of[edge.reader]
            assert same or edge.producer in order.after[edge.reader]


@given(edges_lists, processes)
def test_a_reported_cycle_is_made_of_required_inputs(edges, process_of):
    required = {(edge.producer, edge.reader) for edge in edges if edge.required}
    order = order_components(LETTERS, edges, process_of)
    for cycle in order.cycles:
        assert cycle[0] == cycle[-1]
        assert set(pairwise(cycle)) <= required
    for reads in order.process_cycles:
        assert set(reads) <= required
        joints = pairwise([*reads, reads[0]])
        assert all(process_of[left[1]] == process_of[right[0]] for left, right in joints)


@given(st.integers(0, 36525), st.sampled_from(["ns", "us", "ms", "s", "m", "h", "d"]))
def test_a_whole_number_of_any_unit_is_read_to_the_last_bit_of_a_double(number, unit):
    size = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    assert parse_duration(f"{number}{unit}") == number * size


@given(st.text())
def test_no_text_breaks_the_reading_of_a_duration(text):
    with suppress(ValueError):
        assert parse_duration(text) >= 0
