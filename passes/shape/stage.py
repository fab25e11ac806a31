"""The shape stage: bounds, the caches' capacity and the entry points of a recipe → the module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from passes.ir.expr import Dim, Expr, index
from passes.ir.graph.nodes import Weight
from passes.ir.graph.verify import values_of
from passes.ir.module import Module
from passes.ops import OPERATORS
from passes.shape.bind import bind


class ShapeError(ValueError):
    """Bounds or entry points that the model does not have."""


def run(
    *,
    inputs: Mapping[str, Path],
    sources: Mapping[str, Path],
    options: Mapping[str, Any],
    target: Mapping[str, Any],
    out: Path,
    progress: Callable[[float, str], None],
) -> None:
    """`options`: `shapes` (bounds of new and past tokens) and `entries` (names, in order).

    Raises ShapeError.
    """
    progress(0.0, "binding shapes")
    module = Module.load(inputs["import"])
    bound = bind_shapes(module, options["shapes"], options["entries"])
    bound.verify(OPERATORS)
    bound.save(out)


def bind_shapes(
    module: Module, shapes: Mapping[str, Mapping[str, int]], entries: tuple[str, ...] | list[str]
) -> Module:
    """The module with its entry points and dims as a recipe wants them; meta gains `capacity`
    and `dims`. Weights that no entry reads are dropped.

    Raises ShapeError if the module has no such entry, or the model cannot be so long.
    """
    capacity, new, past = shapes["past"]["max"], shapes["new"], shapes["past"]
    context = int(module.meta["model"]["context_length"])
    if capacity > context:
        raise ShapeError(
            f"shapes.past.max is {capacity}, but the model was trained for {context} tokens; "
            f"lower it to {context} or less"
        )
    if new["max"] > capacity:
        raise ShapeError(
            f"shapes.new.max is {new['max']}, but the caches hold {capacity} tokens "
            "(shapes.past.max); lower the one or raise the other"
        )
    if shapes["batch"]["max"] != 1:
        raise ShapeError(f"shapes.batch.max is {shapes['batch']['max']}; only 1 is built yet")
    wanted: dict[str, Expr] = {
        "n": Dim("n", new["min"], new["max"]),
        "m": Dim("m", past["min"], capacity - 1),
        "capacity": index(capacity),
    }
    graphs = {}
    for name in entries:
        if name not in module.graphs:
            raise ShapeError(f"no entry point '{name}'; the model has {', '.join(module.graphs)}")
        graph = module.graphs[name]
        values = {dim: wanted[dim.name] for dim in graph.dims if dim.name in wanted}
        graphs[name] = bind(graph, values, OPERATORS)
    read = {v.name for g in graphs.values() for v in values_of(g) if isinstance(v, Weight)}
    dims = {dim.name: [dim.lo, dim.hi] for graph in graphs.values() for dim in graph.dims}
    return Module(
        graphs,
        {name: entry for name, entry in module.weights.items() if name in read},
        module.functions,
        {**module.meta, "capacity": capacity, "dims": dims},
    )
