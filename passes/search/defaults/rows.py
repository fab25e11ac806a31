"""rows: reductions along rows and what is computed from them, one row at a time."""

from __future__ import annotations

from passes.ir.loop.nodes import For, Function
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError, get_block
from passes.search.defaults.shape import (
    blocks,
    constant,
    driven,
    extent,
    inline_maps,
    is_map,
    own_loops,
    parallel_outer,
    reduces,
    top_nests,
    vector_factor,
    vectorize_lanes,
)
from passes.search.defaults.target import Target

_UNROLLED = 8


def schedule(function: Function, target: Target) -> Schedule | None:
    """All nests under one parallel loop over rows, their temporaries private to it.

        for r: ss[r] += x[r, k]²     for r: y[r, k] = x[r, k] * f(ss[r])
        → for r in parallel: (lanes of ss, then ss) ; y[r, …] in vectors

    None if the nests do not share their first axis, or nothing reduces.
    """
    s = Schedule(function)
    inline_maps(s)
    nests = top_nests(s.function)
    if not any(reduces(b) for b in blocks(s)) or not all(isinstance(n, For) for n in nests):
        return None
    rows = [n.var for n in nests if isinstance(n, For)]
    try:
        for other in rows[1:]:
            s.merge(rows[0], other)
    except ScheduleError:
        return None
    for buffer in s.function.allocs:
        s.set_scope(f"{buffer.name}{buffer.ordinal}", "local")
    for block in blocks(s):
        if is_map(block):
            vectorize_map(s, block.label, target)
        elif reduces(block):
            vectorize_reduction(s, block.label, target)
    # Last: only then is every temporary, partial results too, made where it is used.
    parallel_outer(s, rows[:1])
    return s


def vectorize_map(s: Schedule, label: str, target: Target) -> None:
    """The innermost loop of a map in vectors."""
    loops = own_loops(s, label)
    count = constant(extent(s, loops[-1])) if loops else None
    if count is not None:
        vectors = count // vector_factor(count, target.lanes)
        vectorize_lanes(s, loops[-1], target.lanes, unroll=vectors <= _UNROLLED)


def vectorize_reduction(s: Schedule, label: str, target: Target) -> None:
    """One vector of partial results along the innermost reduce loop, combined at the end.

    Reassociates.
    """
    along = driven(s, label, "reduce")
    count = constant(extent(s, along[-1])) if along else None
    factor = 1 if count is None else vector_factor(count, target.lanes)
    if count is None or factor == 1:
        return
    if factor == count and len(along) == 1:
        s.vectorize(along[-1])
        return
    _, lanes = s.split(along[-1], factor)
    partial = s.rfactor(label, lanes, "register")
    spatial = driven(s, label, "spatial")
    if spatial:
        s.compute_at(partial, spatial[-1])
    steps, kept = driven(s, partial, "reduce"), driven(s, partial, "spatial")
    s.reorder(*steps, *kept)
    init = s.decompose_reduction(partial, steps[0])
    for one in (init, partial, label):
        s.vectorize(own_loops(s, one)[-1])
    if get_block(s.function, label, "rows").init is not None:
        s.decompose_reduction(label, own_loops(s, label)[-1])
