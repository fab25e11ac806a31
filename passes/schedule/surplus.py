"""What may go wrong where a block computes more of a buffer than before, or runs elsewhere.

for i in range(4): block a: t[i*2] = x[ids[i*2]]                     of which others read all
→ for j in range(7): block a: t[j] = x[ids[j]]                       and ids[1] may be anything
"""

from __future__ import annotations

from collections.abc import Mapping

from passes.ir.arith import prove, substitute
from passes.ir.expr import TRUE, Expr, Var
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import Block, For, Function, Stmt
from passes.schedule.accesses import Ranges, accesses, loads_in, ranges
from passes.schedule.faults import divisors, fault, inside
from passes.schedule.filling import runs_over
from passes.schedule.footprints import unfilled
from passes.schedule.tree import statements


def trouble_beyond(
    function: Function, label: str, value: Expr, iters: Ranges, bindings: Mapping[Var, Expr]
) -> str | None:
    """Why block `label`, which fills a buffer, may fail where no other block reads it; None if it
    cannot, or if all that it fills is read.

    It computes `value`, of iterators with these ranges and bindings.
    """
    found, known = accesses(function.body), ranges(function)
    mine = [a for a in found if a.block is not None and a.block.label == label]
    filled = next(a for a in mine if a.is_store)
    lasts = {v: last for v, (_, last) in iters.items()}
    trouble = None
    for load in loads_in(value):
        name, shape = name_of(load.buffer), load.buffer.shape
        there = [substitute(i, bindings) for i in load.indices]
        pairs = zip(load.indices, shape, strict=True)
        whole = all(isinstance(i, Var) and lasts.get(i) is extent - 1 for i, extent in pairs)
        if not (whole or inside(load.indices, shape, iters) or inside(there, shape, known)):
            trouble = f"'{name}' may not reach so far"
        elif load.buffer in function.allocs and load.buffer is not filled.buffer:
            stores = [a for a in found if a.is_store and a.buffer is load.buffer]
            loads = [a for a in mine if a.buffer is load.buffer and not a.is_store]
            if unfilled(loads, stores, known):
                trouble = f"'{name}' may not be all computed"
    for divisor in divisors(value, iters):
        placed = substitute(divisor, bindings)
        if not prove(placed >= 1, known) and not prove(placed <= -1, known):
            trouble = f"the divisor {print_expr(divisor)} may be 0"
    if trouble is None:
        return None
    reads = [a for a in found if a.buffer is filled.buffer and not a.is_store and a not in mine]
    return None if any(runs_over(read, filled, known) for read in reads) else trouble


def fault_below(root: Stmt, known: Ranges) -> str | None:
    """Why it may fail to tell which instances there are below a statement that stands where these
    ranges are known: by the extents of its loops, or what its blocks are bound to and ask."""
    limits = {**known, **ranges(root)}
    for stmt in statements(root):
        asked: tuple[Expr, ...] = ()
        if isinstance(stmt, For):
            asked = (stmt.extent,)
        elif isinstance(stmt, Block):
            asked = (*stmt.bindings, stmt.predicate or TRUE)
        for e in asked:
            trouble = fault(e, limits)
            if trouble is not None:
                return trouble
    return None
