"""pointwise: nests of maps. Outer loops over threads, the innermost over lanes."""

from __future__ import annotations

from passes.ir.loop.nodes import For, Function
from passes.schedule.schedule import Schedule
from passes.schedule.tree import blocks_in
from passes.search.defaults.shape import (
    constant,
    extent,
    inline_maps,
    is_map,
    own_loops,
    parallel_outer,
    top_nests,
    vector_factor,
    vectorize_lanes,
)
from passes.search.defaults.target import Target

# Vectors of one row written out: enough to hide latency, few enough to keep code small.
_UNROLLED = 8


def schedule(function: Function, target: Target) -> Schedule:
    """Takes any function; a nest that is no map, or cannot be parallel, stays serial."""
    s = Schedule(function)
    inline_maps(s)
    for nest in top_nests(s.function):
        found = blocks_in(nest)
        if len(found) == 1 and isinstance(nest, For):
            _nest(s, found[0].label, is_map(found[0]), target)
    return s


def _nest(s: Schedule, label: str, maps: bool, target: Target) -> None:
    loops = own_loops(s, label)
    if maps and len(loops) > 1:
        inner = loops.pop()
        count = constant(extent(s, inner))
        if count is not None:
            vectors = count // vector_factor(count, target.lanes)
            vectorize_lanes(s, inner, target.lanes, unroll=vectors <= _UNROLLED)
    parallel_outer(s, loops if maps else loops[:1])
