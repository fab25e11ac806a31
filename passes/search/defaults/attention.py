"""attention: blocks ordered along a stream of keys, their private state in vectors.

for sequence, key head, block of queries, in parallel:
    for block of keys, in order:
        products with keys and values tiled over registers, as [rows, columns]
        running maxima and sums reduced in vectors, the rest mapped in vectors
"""

from __future__ import annotations

from passes.ir.arith import free_vars
from passes.ir.expr import Mul, Var
from passes.ir.loop.nodes import Block, For, Function, Load
from passes.ir.node import postorder
from passes.schedule.combiner import combiner_of
from passes.schedule.schedule import Schedule
from passes.search.defaults.lanes import vectorize_map, vectorize_reduction
from passes.search.defaults.shape import (
    blocks,
    chain,
    constant,
    driven,
    extent,
    own_loops,
    parallel_outer,
    reduces,
    top_nests,
    vectorize_lanes,
)
from passes.search.defaults.target import Target


def schedule(function: Function, target: Target) -> Schedule | None:
    """None unless the program is one nest around blocks ordered along the same loop."""
    s = Schedule(function)
    nests = top_nests(function)
    ordered = [b for b in blocks(s) if any(it.kind == "ordered" for it in b.iters)]
    if len(nests) != 1 or not isinstance(nests[0], For) or not ordered:
        return None
    for buffer in function.allocs:
        s.set_scope(f"{buffer.name}{buffer.ordinal}", "local")
    parallel_outer(s, chain(nests[0]))
    for block in blocks(s):
        if not reduces(block):
            vectorize_map(s, block.label, target)
        elif _columns_are_lanes(block):
            _tile_product(s, block.label, target)
        else:
            vectorize_reduction(s, block.label, target)
    return s


def _columns_are_lanes(block: Block) -> bool:
    """Whether the block reduces a product, and neighbours along the last stored axis are
    neighbours in memory for one factor and the same element for the other."""
    combiner = combiner_of(block)
    if combiner is None or not isinstance(combiner.value, Mul):
        return False
    column = combiner.indices[-1]
    assert isinstance(column, Var)
    loads = [n for n in postorder(combiner.value) if isinstance(n, Load)]
    touched = [load for load in loads if column in free_vars(load)]
    reduced = {it.var for it in block.iters if it.kind == "reduce"}
    return len(touched) == 1 and not free_vars(touched[0].indices[-1]) & reduced


def _tile_product(s: Schedule, label: str, target: Target) -> None:
    """Accumulates [rows, columns] in registers, as many rows at once as fit."""
    (along,) = driven(s, label, "reduce")
    *rows, column = [loop for loop in own_loops(s, label) if loop is not along]
    vectors = max(1, (constant(extent(s, column)) or 1) // target.lanes)
    room = (target.vector_registers - 8) // vectors
    inside: list[Var] = []
    while rows and (count := constant(extent(s, rows[-1]))) is not None and count <= room:
        inside.insert(0, rows.pop())
        room //= count
    copy = s.cache_write(label, "register")
    for mine, other in zip(rows, own_loops(s, copy), strict=False):
        s.merge(mine, other)
    s.reorder(along, *inside, column)
    init = s.decompose_reduction(label, along)
    for one in (init, label, copy):
        *around, lanes = own_loops(s, one)
        vectorize_lanes(s, lanes, target.lanes)
        for loop in around:
            if loop is not along:
                s.unroll(loop)
