"""rfactor: a reduction becomes independent partial reductions and a final one."""

from __future__ import annotations

from dataclasses import dataclass

from passes.ir.arith import free_vars, prove, substitute
from passes.ir.expr import Expr, Var
from passes.ir.expr_text import name_of, print_expr
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
from passes.ir.node import rewrite
from passes.schedule.accesses import accesses, ranges
from passes.schedule.combiner import Combiner, combiner_of
from passes.schedule.dependence import steady
from passes.schedule.legality import checked
from passes.schedule.reductions import driving, restarting_loop
from passes.schedule.tree import (
    Refusal,
    fresh_label,
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

    The loops that drive the reduction hold nothing else. Reassociates: exact for integers and
    for max and min.
    """
    found = path_to_block(function, label, "rfactor")
    block = found[-1]
    assert isinstance(block, Block)
    place = f"block '{label}' at loop {spell(loop)}"
    refuse = Refusal("rfactor", place, function, label)
    nest = own_nest(found)
    loops = loops_in(nest)
    at = next((one for one in loops if one.var is loop), None)
    combiner = combiner_of(block)
    if at is None:
        raise refuse("the loop is not around it alone")
    if combiner is None:
        raise refuse("it does not combine its own element with a new value by +, max or min")
    _check(refuse, function, block, at, loops, combiner)
    first = fresh_ordinal(function)
    shape = (*combiner.target.shape, at.extent)
    partial = Buffer(f"{combiner.target.name}_rf", first, shape, combiner.target.dtype, scope)
    parts = _Parts(block, at, loops, combiner, partial)
    name = fresh_label(function, f"{label}_rf")
    lanes, first = parts.lanes(name, first + 1)
    final = parts.final(first)
    inner = rewrite(nest[0], lambda n: lanes if n is block else None)
    function = replace(function, nest[0], seq(inner, final))
    return checked(function.replace(allocs=(*function.allocs, partial)), refuse), name


def _check(
    refuse: Refusal,
    function: Function,
    block: Block,
    at: For,
    loops: list[For],
    combiner: Combiner,
) -> None:
    if block.predicate is not None:
        raise refuse("it is guarded by a predicate")
    kept, reduced = driving(block, "spatial", "ordered"), driving(block, "reduce")
    if at.var in kept or at.var not in reduced:
        raise refuse("the loop does not drive a reduce iterator, and nothing else")
    known = ranges(function)
    around = [one for one in loops if one.var in kept]
    own = {one.var for one in loops}
    for var in sorted(reduced - own, key=name_of):
        raise refuse(f"loop {spell(var)}, which it does not have alone, drives the reduction")
    for one in loops:
        strangers = free_vars(one.extent) & own
        if one.var in kept and not strangers <= {o.var for o in around}:
            raise refuse(f"the extent of loop {spell(one.var)} depends on the reduction")
        if one.var in reduced and (strangers or not prove(one.extent >= 1, known)):
            raise refuse(f"loop {spell(one.var)} may be empty, or depends on another one")
    if free_vars(at.extent) or not steady(at.extent, {*function.params, *function.allocs}):
        raise refuse(f"the loop's extent {print_expr(at.extent)} is not the same everywhere")
    if driving(block, "reduce") & kept:
        raise refuse("a loop drives a reduce iterator and another one")
    stores = [a for a in accesses(function.body) if a.is_store and a.block is block]
    again = restarting_loop(block, loops, stores, known)
    if again is not None:
        raise refuse(f"loop {spell(again.var)} comes back to the same elements and restarts them")


@dataclass(frozen=True)
class _Parts:
    """The two blocks that the reduction becomes; `partial` has one more axis, the loop's."""

    block: Block
    at: For
    loops: list[For]
    combiner: Combiner
    partial: Buffer

    @property
    def pairs(self) -> list[tuple[BlockIter, Expr]]:
        return list(zip(self.block.iters, self.block.bindings, strict=True))

    def lanes(self, label: str, first: int) -> tuple[Block, int]:
        """The partial block: reduce iterators driven by the loop are rebuilt around its lane.

        Gives the next free ordinal too.
        """
        loop, combiner = self.at.var, self.combiner
        lane = Var(loop.name, first)
        first += 1
        values: dict[Var, Expr] = {}
        iters, bindings = [], []
        for it, e in self.pairs:
            if loop not in free_vars(e):
                iters.append(it)
                bindings.append(e)
                continue
            others = [one for one in self.loops if one.var in free_vars(e) - {loop}]
            fresh = {one.var: Var(one.var.name, first + k) for k, one in enumerate(others)}
            first += len(others)
            values[it.var] = substitute(e, {**fresh, loop: lane})
            for one in others:
                iters.append(BlockIter(fresh[one.var], one.extent, "reduce"))
                bindings.append(one.var)
        place = (*combiner.indices, lane)
        value = combiner.combine(Load(self.partial, place), substitute(combiner.value, values))
        block = Block(
            label,
            (*iters, BlockIter(lane, self.at.extent)),
            (*bindings, loop),
            Store(self.partial, place, value),
            Store(self.partial, place, combiner.identity),
        )
        return block, first

    def final(self, first: int) -> Stmt:
        """The loops of the result again, then the lanes; it starts as the old block did."""
        kept = [(it, e) for it, e in self.pairs if it.kind != "reduce"]
        needed = frozenset[Var]().union(*[free_vars(e) for _, e in kept])
        around = [one for one in self.loops if one.var in needed]
        again = {one.var: Var(one.var.name, first + k) for k, one in enumerate(around)}
        first += len(around)
        own = {it.var: Var(it.var.name, first + k) for k, (it, _) in enumerate(kept)}
        first += len(kept)
        outer, inner = Var(self.at.var.name, first), Var(self.at.var.name, first + 1)
        target = self.combiner.target
        place = tuple([substitute(i, own) for i in self.combiner.indices])
        value = self.combiner.combine(Load(target, place), Load(self.partial, (*place, inner)))
        iters = [it.replace(var=own[it.var], extent=substitute(it.extent, own)) for it, _ in kept]
        body: Stmt = Block(
            self.block.label,
            (*iters, BlockIter(inner, self.at.extent, "reduce")),
            (*[substitute(e, again) for _, e in kept], outer),
            Store(target, place, value),
            None if self.block.init is None else substitute(self.block.init, own),
        )
        body = For(outer, self.at.extent, body)
        for one in reversed(around):
            body = For(again[one.var], substitute(one.extent, again), body)
        return body
