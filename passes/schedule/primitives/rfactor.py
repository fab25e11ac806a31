"""rfactor: a reduction becomes independent partial reductions and a final one."""

from __future__ import annotations

from passes.ir.arith import free_vars, substitute
from passes.ir.expr import Expr, Var
from passes.ir.loop.nodes import (
    Block,
    BlockIter,
    Buffer,
    For,
    Function,
    Load,
    Scope,
    Stmt,
    Store,
    seq,
)
from passes.ir.node import Node, rewrite
from passes.schedule.combiner import combiner_of
from passes.schedule.tree import (
    ScheduleError,
    fresh_ordinal,
    loops_in,
    own_nest,
    path_to_block,
    replace,
    spell,
)


def rfactor(
    function: Function, label: str, loop: Var, scope: Scope = "global"
) -> tuple[Function, str]:
    """Splits a reduction along one of its reduce loops; gives the label of the partial block.

        for k_o: for k_i in range(16): block s: t[] = t[] + x[k_o*16 + k_i]       at k_i
        → for k_o: for k_i in range(16): block s_rf: r[k_i] = r[k_i] + x[k_o*16 + k_i]
          for k_i in range(16): block s: t[] = t[] + r[k_i]

    Reassociates: exact for integers and for max and min.
    """
    found = path_to_block(function, label, "rfactor")
    block = found[-1]
    assert isinstance(block, Block)
    place = f"block '{label}' at loop {spell(loop)}"
    loops = loops_in(found)
    at = next((one for one in loops if one.var is loop), None)
    combiner = combiner_of(block)
    if at is None or combiner is None:
        reason = "the loop is not around it" if at is None else "it is no plain reduction"
        raise ScheduleError("rfactor", place, reason, function)
    pairs = list(zip(block.iters, block.bindings, strict=True))
    driven = [(it, e) for it, e in pairs if loop in free_vars(e)]
    if any(it.kind != "reduce" for it, _ in driven) or block.predicate is not None:
        reason = "the loop drives an iterator that is not a reduction, or the block is guarded"
        raise ScheduleError("rfactor", place, reason, function)
    nest = own_nest(found)[0]
    inside = loops_in(own_nest(found))
    first = fresh_ordinal(function)
    target, indices = combiner.target, combiner.indices
    partial = Buffer(f"{target.name}_rf", first, (*target.shape, at.extent), target.dtype, scope)
    lane = Var(loop.name, first + 1)
    lanes = BlockIter(lane, at.extent)
    # The partial block: reduce iterators driven by the loop are rebuilt around the new lane.
    inner: dict[Var, Expr] = {}
    iters, bindings = [], []
    first += 2
    for it, e in pairs:
        if (it, e) not in driven:
            iters.append(it)
            bindings.append(e)
            continue
        others = [one for one in loops if one.var in free_vars(e) and one.var is not loop]
        fresh = {one.var: Var(one.var.name, first + k) for k, one in enumerate(others)}
        first += len(others)
        inner[it.var] = substitute(e, {**fresh, loop: lane})
        for one in others:
            iters.append(BlockIter(fresh[one.var], one.extent, "reduce"))
            bindings.append(one.var)
    place_of = (*indices, lane)
    value = substitute(combiner.value, inner)
    partial_block = Block(
        f"{label}_rf",
        (*iters, lanes),
        (*bindings, loop),
        Store(partial, place_of, combiner.combine(Load(partial, place_of), value)),
        Store(partial, place_of, combiner.identity),
    )
    # The final block: the loops it keeps again, then the lanes; it starts as the old one did.
    spatial = [(it, e) for it, e in pairs if it.kind != "reduce"]
    needed = frozenset[Var]().union(*[free_vars(e) for _, e in spatial])
    around = [one for one in inside if one.var in needed]
    again: dict[Var, Expr] = {one.var: Var(one.var.name, first + k) for k, one in enumerate(around)}
    first += len(around)
    own: dict[Var, Expr] = {it.var: Var(it.var.name, first + k) for k, (it, _) in enumerate(spatial)}
    first += len(spatial)
    last, last_inner = Var(loop.name, first), Var(loop.name, first + 1)
    where = tuple([substitute(i, own) for i in indices])
    final: Stmt = Block(
        label,
        (*[it.replace(var=own[it.var], extent=substitute(it.extent, own)) for it, _ in spatial], BlockIter(last_inner, at.extent, "reduce")),
        (*[substitute(e, again) for _, e in spatial], last),
        Store(target, where, combiner.combine(Load(target, where), Load(partial, (*where, last_inner)))),
        None if block.init is None else substitute(block.init, own),
    )
    final = For(last, at.extent, final)
    for one in reversed(around):
        new = again[one.var]
        assert isinstance(new, Var)
        final = For(new, substitute(one.extent, again), final)

    def swap(node: Node) -> Node | None:
        return partial_block if node is block else None

    function = replace(function, nest, seq(rewrite(nest, swap), final))
    return function.replace(allocs=(*function.allocs, partial)), f"{label}_rf"
