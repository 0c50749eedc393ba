from itertools import pairwise

from dolphin_mp.checking.dataflow import Edge, order_components


def order(names, *edges, **processes):
    edges = [Edge(*edge) for edge in edges]
    return order_components(list(names), edges, {name: processes.get(name, name) for name in names})


def test_a_reader_starts_after_its_producer():
    found = order("ba", ("a", "b"))
    assert found.names == ("a", "b")
    assert found.after == {"a": (), "b": ("a",)}


def test_the_configurations_order_stays_where_the_flow_leaves_it_free():
    assert order("dcba").names == tuple("dcba")
    assert order("dcba", ("a", "d")).names == tuple("cbad")


def test_a_diamond_starts_once_from_its_source():
    found = order("dcba", ("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"))
    assert found.names == tuple("acbd")
    assert found.after["d"] == ("c", "b")


def test_an_input_that_is_not_required_gives_way_when_it_closes_a_cycle():
    found = order("ab", ("a", "b", True), ("b", "a", False))
    assert found.names == ("a", "b")
    assert found.after == {"a": (), "b": ("a",)}
    assert not found.cycles


def test_of_inputs_that_are_not_required_the_later_one_gives_way():
    assert order("ab", ("a", "b"), ("b", "a")).names == ("a", "b")
    assert order("ab", ("b", "a"), ("a", "b")).names == ("b", "a")


def test_a_cycle_of_required_inputs_is_named_along_the_flow():
    found = order("abc", ("a", "b", True), ("b", "c", True), ("c", "a", True))
    (cycle,) = found.cycles
    assert cycle[0] == cycle[-1]
    flow = {("a", "b"), ("b", "c"), ("c", "a")}
    assert set(pairwise(cycle)) == flow


def test_each_required_cycle_is_found():
    found = order("abcd", ("a", "b", True), ("b", "a", True), ("c", "d", True), ("d", "c", True))
    assert len(found.cycles) == 2


def test_a_component_that_requires_its_own_output_is_a_cycle_and_one_that_merely_reads_it_is_none():
    assert order("a", ("a", "a", True)).cycles == (("a", "a"),)
    assert order("a", ("a", "a")).cycles == ()


def test_members_of_a_process_stand_together_and_do_not_wait_for_one_another():
    found = order("axb", ("a", "b"), a="p", b="p")
    assert found.names == ("a", "b", "x")
    assert found.after["b"] == ()


def test_a_flow_that_leaves_a_process_and_returns_by_required_inputs_is_a_cycle_of_processes():
    found = order("abc", ("a", "b", True), ("b", "c", True), a="p", c="p")
    assert not found.cycles
    (reads,) = found.process_cycles
    assert set(reads) == {("a", "b"), ("b", "c")}


def test_a_flow_that_leaves_a_process_and_returns_by_a_free_input_starts_without_it():
    found = order("abc", ("a", "b", True), ("b", "c", False), a="p", c="p")
    assert not found.process_cycles
    assert found.names == ("a", "c", "b")
    assert found.after == {"a": (), "b": ("a",), "c": ()}


def test_unknown_names_are_left_out():
    assert order("a", ("nobody", "a", True)).names == ("a",)


def test_a_thousand_components_in_a_chain_are_ordered():
    names = [f"c{number}" for number in range(1000)]
    edges = [Edge(producer, reader, True) for producer, reader in pairwise(names)]
    found = order_components(names[::-1], edges, {name: name for name in names})
    assert list(found.names) == names
