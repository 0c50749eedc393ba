"""In which order components can start, from who reads whom; pure, on names."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Edge:
    """A reader that waits for a producer; an edge that is not required gives way when it closes a cycle."""

    producer: str
    reader: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """A start order, whom each component waits for, and what makes it impossible.

    A cycle of components begins and ends with the same name; one of processes is given as its reads.
    """

    names: tuple[str, ...]
    after: Mapping[str, tuple[str, ...]]
    cycles: tuple[tuple[str, ...], ...] = ()
    process_cycles: tuple[tuple[tuple[str, str], ...], ...] = ()


def order_components(names: Sequence[str], edges: Iterable[Edge], process_of: Mapping[str, str]) -> Order:
    """Give the order in which components can start, process by process.

    Processes are what starts, so no cycle may remain among them, even where the components have none: with a
    and c in one process and b in another, a -> b -> c is such a cycle. Members of a process stand together;
    `after` names only components of other processes.

    Args:
        names: all components, in the order to keep where the edges leave it free.
        edges: who reads whom; of those not required the later are dropped first. Unknown names are left out.
        process_of: the process of each component.
    """
    known = set(names)
    edges = [edge for edge in edges if edge.producer in known and edge.reader in known]
    edges, cycles = _break_cycles(edges, {name: name for name in names})
    inner = [edge for edge in edges if process_of[edge.producer] == process_of[edge.reader]]
    outer, process_cycles = _break_cycles([edge for edge in edges if edge not in inner], process_of)

    processes = list(dict.fromkeys(process_of[name] for name in names))
    ranked = _sorted(processes, [(process_of[edge.producer], process_of[edge.reader]) for edge in outer])
    rank = {process: place for place, process in enumerate(ranked)}
    flow = _sorted(names, [(edge.producer, edge.reader) for edge in inner + outer])
    ordered = sorted(flow, key=lambda name: rank[process_of[name]])
    producers: dict[str, set[str]] = {name: set() for name in names}
    for edge in outer:
        producers[edge.reader].add(edge.producer)
    after = {name: tuple(other for other in ordered if other in producers[name]) for name in names}
    return Order(
        tuple(ordered),
        after,
        tuple(tuple(name for name, _ in [*_reads(cycle), _reads(cycle)[0]]) for cycle in cycles),
        tuple(_reads(cycle) for cycle in process_cycles),
    )


def _break_cycles(
    edges: Sequence[Edge], node_of: Mapping[str, str]
) -> tuple[list[Edge], list[list[list[Edge]]]]:
    """Drop edges until no cycle is left among the nodes.

    Gives the edges that stay, and of each cycle that only required edges close the edges between its nodes.
    """
    kept = list(edges)
    required: list[list[list[Edge]]] = []
    while cycle := _find_cycle(kept, node_of):
        links = [
            [edge for edge in kept if (node_of[edge.producer], node_of[edge.reader]) == link]
            for link in itertools.pairwise(cycle)
        ]
        soft = [link for link in links if not any(edge.required for edge in link)]
        if not soft:
            required.append(links)
        last = max(soft or links, key=lambda link: kept.index(link[-1]))
        kept = [edge for edge in kept if edge not in last]
    return kept, required


def _reads(cycle: list[list[Edge]]) -> tuple[tuple[str, str], ...]:
    """Give the producer and the reader of one required edge per link."""
    edges = [next(edge for edge in link if edge.required) for link in cycle]
    return tuple((edge.producer, edge.reader) for edge in edges)


def _find_cycle(edges: Iterable[Edge], node_of: Mapping[str, str]) -> list[str]:
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for edge in edges:
        sorter.add(node_of[edge.reader], node_of[edge.producer])
    try:
        sorter.prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        # graphlib gives each node before the one that follows it in the flow; a test holds this.
        return cycle
    return []


def _sorted(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> list[str]:
    """Sort topologically, of the free nodes always the first as given (Kahn 1962, with a heap)."""
    place = {node: index for index, node in enumerate(nodes)}
    follows: dict[str, set[str]] = {node: set() for node in nodes}
    waits = dict.fromkeys(nodes, 0)
    for producer, reader in set(edges):
        if producer != reader and reader not in follows[producer]:
            follows[producer].add(reader)
            waits[reader] += 1
    free = [place[node] for node in nodes if not waits[node]]
    heapq.heapify(free)
    result: list[str] = []
    while free:
        node = nodes[heapq.heappop(free)]
        result.append(node)
        for reader in follows[node]:
            waits[reader] -= 1
            if not waits[reader]:
                heapq.heappush(free, place[reader])
    return result
