"""Who waits for whom at the start, who goes before whom at the end: the data flow between processes.

Components that share a process may close a cycle between processes although there is none between components.
Such an edge orders nothing: its processes start and stop without waiting for each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dolphin_mp.plan import ComponentPlan, Plan

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """The order that the data flow implies; all names stand in the order of the plan.

    ``waits_for``: process -> the components outside it that its first start waits for; ``gates``, its
    inverse: component -> processes. ``producers``: process -> the processes it waits for; ``readers`` is its
    inverse. ``consumers``: process -> the processes with an input on one of its channels, ordered or not.
    """

    waits_for: Mapping[str, Names]
    gates: Mapping[str, Names]
    producers: Mapping[str, Names]
    readers: Mapping[str, Names]
    consumers: Mapping[str, Names]


def members_of(plan: Plan) -> dict[str, list[ComponentPlan]]:
    """Group the components by process."""
    processes: dict[str, list[ComponentPlan]] = {}
    for component in plan.components:
        processes.setdefault(component.process, []).append(component)
    return processes


def flow_of(plan: Plan) -> Flow:
    """Read the order off a plan, or off what is left of one without those that were changing."""
    process_of = {c.name: c.process for c in plan.components}
    members = members_of(plan)
    after = {
        p: _unique(a for m in ms for a in m.after if process_of.get(a, p) != p) for p, ms in members.items()
    }
    producers = _acyclic({p: _unique(process_of[a] for a in names) for p, names in after.items()})
    waits_for = {p: tuple(a for a in after[p] if process_of[a] in producers[p]) for p in members}
    read = {
        p: _unique(process_of[c] for m in ms for c in _components_read(m) if process_of.get(c, p) != p)
        for p, ms in members.items()
    }
    return Flow(
        waits_for=waits_for,
        gates=_inverse(waits_for, process_of),
        producers=producers,
        readers=_inverse(producers, members),
        consumers=_inverse(read, members),
    )


def part_of(flow: Flow, processes: frozenset[str]) -> Flow:
    """Give the order among some of the processes."""

    def among(graph: Mapping[str, Names]) -> dict[str, Names]:
        return {p: tuple(q for q in names if q in processes) for p, names in graph.items() if p in processes}

    return Flow({}, {}, among(flow.producers), among(flow.readers), among(flow.consumers))


def _components_read(component: ComponentPlan) -> Iterable[str]:
    return (read.channel.rpartition(".")[0] for read in component.inputs)


def _unique(names: Iterable[str]) -> Names:
    return tuple(dict.fromkeys(names))


def _inverse(graph: Mapping[str, Names], targets: Iterable[str]) -> dict[str, Names]:
    found: dict[str, list[str]] = {target: [] for target in targets}
    for source, names in graph.items():
        for name in names:
            found[name].append(source)
    return {target: tuple(sources) for target, sources in found.items()}


def _acyclic(graph: dict[str, Names]) -> dict[str, Names]:
    """Leave out each edge that is part of a cycle."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError:
        return {p: tuple(q for q in names if p not in _reach(graph, q)) for p, names in graph.items()}
    return graph


def _reach(graph: Mapping[str, Names], start: str) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(graph[name])
    return seen


class Gates:
    """Who still waits for whom; a component once proven (ready, or done) holds nobody up again.

    Attributes: proven.
    """

    def __init__(self, flow: Flow) -> None:
        self._gates = flow.gates
        self._blockers = {process: dict.fromkeys(names) for process, names in flow.waits_for.items()}
        self.proven: set[str] = set()

    def blockers(self, process: str) -> Names:
        """Give the components that the process still waits for."""
        return tuple(self._blockers[process])

    def prove(self, component: str) -> Names:
        """Note that a component is proven; give the processes that waited for it until now."""
        self.proven.add(component)
        waiting = tuple(p for p in self._gates[component] if component in self._blockers[p])
        for process in waiting:
            del self._blockers[process][component]
        return waiting


class Ebb:
    """The order of a shutdown: a process' turn comes when all that read from it, at any remove, are down."""

    def __init__(self, flow: Flow) -> None:
        self._producers = flow.producers
        self._readers_up = {process: len(readers) for process, readers in flow.readers.items()}
        self._down: set[str] = set()

    def first(self) -> Names:
        """Give the processes from which nobody reads."""
        return tuple(process for process, readers in self._readers_up.items() if not readers)

    def went_down(self, process: str) -> Names:
        """Note that a process is down; give those whose turn has come by that.

        One that is down before its turn holds its producers up until then, for the sake of its readers; it is
        to be noted again at its turn.
        """
        if process in self._down or self._readers_up[process]:
            return ()
        self._down.add(process)
        for producer in self._producers[process]:
            self._readers_up[producer] -= 1
        return tuple(p for p in self._producers[process] if not self._readers_up[p])

    @property
    def is_over(self) -> bool:
        """True if all are down."""
        return len(self._down) == len(self._readers_up)
