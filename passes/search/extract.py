"""The kernels of a program as tuning tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from passes.ir.graph.nodes import CallLoops
from passes.ir.module import Module
from passes.ir.node import postorder
from passes.search.fold import constants_of
from passes.search.task import Task


@dataclass(frozen=True)
class Point:
    """Sizes that a graph of a program is called at, by dim, and how often beside the others."""

    graph: str
    sizes: Mapping[str, int]
    weight: float = 1.0


@dataclass(frozen=True)
class Kernel:
    """What is to be tuned: a task at one point of its dims, how often a run of the program calls
    it, and what users call it."""

    name: str
    task: Task
    sizes: Mapping[str, int]
    calls: float = 1.0


def kernels_of(module: Module, facts: Mapping[str, Any], points: Sequence[Point]) -> list[Kernel]:
    """The kernels that the module's graphs call at the points, each once for the same sizes."""
    constants = constants_of(module)
    found: dict[tuple[str, tuple[tuple[str, int], ...]], Kernel] = {}
    for point in points:
        for call in postorder(module.graphs[point.graph]):
            if not isinstance(call, CallLoops):
                continue
            function = call.function
            task = Task.of(function, constants[function], facts)
            sizes = {dim.name: point.sizes[dim.name] for dim in function.dims}
            key = task.workload, tuple(sorted(sizes.items()))
            before = found.get(key)
            calls = point.weight + (0.0 if before is None else before.calls)
            name = function.name if before is None else before.name
            found[key] = Kernel(name, task, sizes, calls)
    return list(found.values())
