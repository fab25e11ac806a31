"""fuse: two nested loops become one."""

from __future__ import annotations

from collections.abc import Sequence

from passes.ir.arith import free_vars, prove, simplify, substitute
from passes.ir.dtypes import INDEX
from passes.ir.expr import Const, Expr, Var, index, maximum
from passes.ir.loop.nodes import CONCURRENT, For, Function, Stmt
from passes.schedule.accesses import iterator_ranges, ranges
from passes.schedule.dependence import steady
from passes.schedule.faults import fault
from passes.schedule.pipelining import kept_pipelines
from passes.schedule.reductions import driving
from passes.schedule.tree import (
    Refusal,
    blocks_in,
    fresh_ordinal,
    iters_in,
    loops_in,
    path_to_loop,
    replace,
    spell,
    written,
)


def fuse(function: Function, outer: Var, inner: Var) -> tuple[Function, Var]:
    """One loop over the product of two perfectly nested ones of the same kind.

    for i in range(n):
        for j in range(4): s(i, j)
    → for i_j in range(n*4): s(i_j // 4, i_j % 4)

    It has the annotations of both; where both note the same, those of the outer one. Raises
    ScheduleError if they are no such loops, or the inner extent depends on the outer loop or reads
    memory that changes.
    """
    found = path_to_loop(function, outer, "fuse")
    at = found[-1]
    assert isinstance(at, For)
    inside = at.body
    refuse = Refusal("fuse", f"loops {spell(outer)}, {spell(inner)}", function, outer)
    if not isinstance(inside, For) or inside.var is not inner:
        raise refuse("they are not perfectly nested")
    if outer in free_vars(inside.extent):
        raise refuse("the inner extent depends on the outer loop")
    if at.kind != inside.kind:
        raise refuse(f"the outer one is {at.kind}, the inner one {inside.kind}")
    if outer.dtype != INDEX or inner.dtype != INDEX:
        raise refuse("a variable is not of type index")
    if not steady(inside.extent, written(function)):
        raise refuse("the inner extent reads memory that the function stores to")
    check_orders(refuse, found, inside.extent, {outer, inner}, "the inner extent")
    known = {**ranges(function), **iterator_ranges(iters_in(found))}
    trouble = None if prove(at.extent >= 1, known) else fault(inside.extent, known)
    if trouble is not None:
        raise refuse(f"loop {spell(outer)} may be empty, and {trouble}")
    fused = Var(f"{outer.name}_{inner.name}", fresh_ordinal(function))
    # A loop that runs once takes no part in the arithmetic.
    values: dict[Var, Expr] = {outer: fused // inside.extent, inner: fused % inside.extent}
    if _once(at):
        values = {outer: index(0), inner: fused}
    elif _once(inside):
        values = {outer: fused, inner: index(0)}
    body = substitute(inside.body, values)
    signed = not any(prove(one.extent >= 0, known) for one in (at, inside))
    times = maximum(at.extent, 0) if signed else at.extent  # two loops below 0 run never
    extent = simplify(times * inside.extent)
    kept = tuple({**dict(inside.annotations), **dict(at.annotations)}.items())
    made = replace(function, at, For(fused, extent, body, at.kind, kept))
    return kept_pipelines(made, refuse), fused


def check_orders(
    refuse: Refusal, found: Sequence[Stmt], size: Expr, loops: set[Var], what: str
) -> None:
    """What blocks below the loop at the end of a path do in an order along `loops`, they may do in
    one that a size tells: that is the same in all iterations that run at once."""
    at_once = {one.var for one in loops_in(tuple(found[:-1])) if one.kind in CONCURRENT}
    for block in blocks_in(found[-1]) if free_vars(size) & at_once else ():
        if driving(block, "reduce", "ordered", "opaque") & loops:
            raise refuse(
                f"{what} depends on a loop whose iterations run at once, and block"
                f" '{block.label}' has an order along them"
            )


def _once(loop: For) -> bool:
    return isinstance(loop.extent, Const) and loop.extent.value == 1
