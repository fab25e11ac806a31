"""decompose_reduction: initialisation becomes a block of its own."""

from __future__ import annotations

from passes.ir.arith import free_vars, substitute
from passes.ir.expr import And, Expr, Var, both
from passes.ir.loop.nodes import Block, For, Function, Stmt, seq
from passes.ir.node import Node, rewrite
from passes.schedule.tree import (
    ScheduleError,
    fresh_ordinal,
    loops_in,
    path_to_block,
    replace,
    spell,
)


def decompose_reduction(function: Function, label: str, loop: Var) -> tuple[Function, str]:
    """Moves the init of a reduction before `loop`; gives the function and the init's label.

        for k: for i: block c: init y[i] = 0; y[i] = y[i] + x[i, k]       at k
        → for i: block c_init: y[i] = 0
          for k: for i: block c: y[i] = y[i] + x[i, k]

    No loop outside `loop` may drive a reduce iterator.
    """
    found = path_to_block(function, label, "decompose_reduction")
    block = found[-1]
    assert isinstance(block, Block)
    place = f"block '{label}' at loop {spell(loop)}"
    loops = loops_in(found)
    at = next((one for one in loops if one.var is loop), None)
    if block.init is None or at is None:
        reason = "it has no init" if block.init is None else "the loop is not around it"
        raise ScheduleError("decompose_reduction", place, reason, function)
    pairs = list(zip(block.iters, block.bindings, strict=True))
    reduced: frozenset[Var] = frozenset()
    for it, e in pairs:
        if it.kind == "reduce":
            reduced |= free_vars(e)
    position = loops.index(at)
    for outer in loops[:position]:
        if outer.var in reduced:
            reason = f"loop {spell(outer.var)} outside it drives the reduction"
            raise ScheduleError("decompose_reduction", place, reason, function)
    first = fresh_ordinal(function)
    kept = [(it, e) for it, e in pairs if it.kind != "reduce"]
    needed = frozenset[Var]().union(*[free_vars(e) for _, e in kept])
    copied = [one for one in loops[position:] if one.var in needed]
    fresh: dict[Var, Expr] = {
        one.var: Var(one.var.name, first + k) for k, one in enumerate(copied)
    }
    first += len(copied)
    inner: dict[Var, Expr] = {it.var: Var(it.var.name, first + k) for k, (it, _) in enumerate(kept)}
    iters = tuple(
        [it.replace(var=inner[it.var], extent=substitute(it.extent, inner)) for it, _ in kept]
    )
    bindings = tuple([substitute(e, fresh) for _, e in kept])
    conditions = [c for c in _conjuncts(block.predicate) if not free_vars(c) & reduced]
    predicate = both(*[substitute(c, fresh) for c in conditions])
    name = f"{label}_init"
    body: Stmt = Block(name, iters, bindings, substitute(block.init, inner), None, predicate)
    for one in reversed(copied):
        body = For(_var(fresh[one.var]), substitute(one.extent, fresh), body)
    bare = block.replace(init=None)

    def without_init(node: Node) -> Node | None:
        return bare if node is block else None

    return replace(function, at, seq(body, rewrite(at, without_init))), name


def _var(e: Expr) -> Var:
    assert isinstance(e, Var)
    return e


def _conjuncts(condition: Expr | None) -> list[Expr]:
    if condition is None:
        return []
    if isinstance(condition, And):
        return _conjuncts(condition.a) + _conjuncts(condition.b)
    return [condition]
