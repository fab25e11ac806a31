"""attention: blocks ordered along a stream of keys, their private state in vectors.

for sequence, key head, block of queries, in parallel:
    for block of keys, in order:
        products with keys and values tiled over registers, as [rows, columns]
        running maxima and sums reduced in vectors, the rest mapped in vectors
"""

from __future__ import annotations

from functools import partial
from itertools import takewhile

from passes.ir.arith import free_vars
from passes.ir.expr import Mul, Var
from passes.ir.loop.nodes import For, Load
from passes.ir.node import postorder
from passes.schedule.combiner import combiner_of
from passes.schedule.schedule import Schedule
from passes.schedule.tree import get_block
from passes.search.defaults.lanes import reduce_in_lanes, vectorize_map
from passes.search.defaults.private import keep_private
from passes.search.defaults.shape import (
    attempt,
    blocks,
    chain,
    constant,
    driven,
    extent,
    is_row,
    own_loops,
    parallel_outer,
    reduces,
    top_nests,
    vectorize_lanes,
)
from passes.search.defaults.target import Target

# Vector registers that a tile leaves to what it is computed from.
_OPERANDS = 8


def schedule(s: Schedule, target: Target) -> Schedule | None:
    """None unless the program is one nest in which blocks have an order and some reduce."""
    nests = top_nests(s.function)
    ordered = any(it.kind == "ordered" for b in blocks(s) for it in b.iters)
    if len(nests) != 1 or not isinstance(nests[0], For) or not ordered:
        return None
    if not any(map(reduces, blocks(s))):
        return None
    rows = list(takewhile(partial(is_row, s), chain(nests[0])))
    keep_private(s, rows, target)
    parallel_outer(s, rows)
    for block in blocks(s):
        if not reduces(block):
            vectorize_map(s, block.label, target)
        elif (column := _column(s, block.label, target)) is None or not attempt(
            s, partial(_tile, s, block.label, column, target)
        ):
            reduce_in_lanes(s, block.label, target)
    return s


def _column(s: Schedule, label: str, target: Target) -> Var | None:
    """The loop along the last stored axis of a sum of products, if one factor has neighbours there
    (in memory or in panels) and the other one element, in whole vectors that fit into registers."""
    block = get_block(s.function, label, "attention")
    combiner = combiner_of(block)
    if combiner is None or not isinstance(combiner.value, Mul) or not combiner.indices:
        return None
    column = combiner.indices[-1]
    bound = {it.var: binding for it, binding in zip(block.iters, block.bindings, strict=True)}
    loop = bound.get(column) if isinstance(column, Var) else None
    if not isinstance(loop, Var) or loop not in own_loops(s, label):
        return None
    loads = [n for n in postorder(combiner.value) if isinstance(n, Load)]
    touched = [load for load in loads if column in free_vars(load)]
    reduced = {it.var for it in block.iters if it.kind == "reduce"}
    if len(touched) != 1 or free_vars(touched[0].indices[-1]) & reduced:
        return None
    count = constant(extent(s, loop))
    if count is None or count % target.lanes:
        return None
    return loop if count <= _room(target) else None


def _room(target: Target) -> int:
    """Elements of a tile."""
    return (target.vector_registers - _OPERANDS) * target.lanes


def _tile(s: Schedule, label: str, column: Var, target: Target) -> None:
    """Accumulates [rows, columns] in registers, as many rows at once as fit."""
    along = driven(s, label, "reduce")
    rows = [loop for loop in own_loops(s, label) if loop not in (*along, column)]
    room = _room(target) // (constant(extent(s, column)) or 1)
    inside: list[Var] = []
    while rows and (count := constant(extent(s, rows[-1]))) is not None and count <= room:
        inside.insert(0, rows.pop())
        room //= count
    copy = s.cache_write(label, "register")
    for mine, other in zip(rows, own_loops(s, copy), strict=False):
        s.merge(mine, other)
    s.reorder(*along, *inside, column)
    init = s.decompose_reduction(label, along[0])
    for one in (init, label, copy):
        *around, lanes = own_loops(s, one)
        vectorize_lanes(s, lanes, target.lanes)
        for loop in around:
            if loop not in along:
                s.unroll(loop)
