"""Where the term of a reduction is its identity: in the margins of what it reads.

t[j] = select(1 <= j, x[max(j - 1, 0)], 0.0)
y[i] = y[i] + t[i + k]*w[k]                      the term is 0 unless 1 <= i + k
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from passes.ir.arith import free_vars, prove, simplify, substitute
from passes.ir.expr import Cast, Const, Expr, Mul, Not, Or, Select, Var, index
from passes.ir.loop.nodes import Block, Buffer, For, Function, Load, Stmt, Store
from passes.schedule.accesses import accesses, iterator_ranges, loads_in, ranges
from passes.schedule.combiner import combiner_of
from passes.schedule.limits import Limits
from passes.schedule.reductions import conjuncts
from passes.schedule.tree import loaded, loops_in


@dataclass(frozen=True)
class Span:
    """Values from `first` on, below `end`, of the iterator of `block` that a loop is bound to; in
    terms of other iterators."""

    block: Block
    iterator: Var
    first: Expr
    end: Expr

    def outside(self) -> tuple[Expr, Expr]:
        """Both in terms of what stands around the loop."""
        bound = zip(self.block.iters, self.block.bindings, strict=True)
        values = {it.var: e for it, e in bound}
        return substitute(self.first, values), substitute(self.end, values)


def needed(function: Function, path: Sequence[Stmt], at: For) -> Span | None:
    """The part of loop `at` that may change what the reduction at the end of the path makes.

    None if that is no sum, maximum or minimum with an iterator for the loop alone, or each
    iteration may change something.
    """
    block = path[-1]
    combiner = combiner_of(block) if isinstance(block, Block) else None
    if not isinstance(block, Block) or combiner is None:
        return None
    inside = {loop.var for loop in loops_in(tuple(path[path.index(at) :]))}
    bound = list(zip(block.iters, block.bindings, strict=True))
    moving = {it.var for it, e in bound if free_vars(e) & inside}
    mine = [it for it, e in bound if at.var in free_vars(e)]
    identity = combiner.identity
    if len(mine) != 1 or (mine[0], at.var) not in bound or not isinstance(identity, Const):
        return None
    (own,) = mine
    known, around = iterator_ranges(block.iters), ranges(function)
    values: dict[Var, Expr] = {it.var: e for it, e in bound}
    limits = Limits(own.extent)
    found = False
    for condition in _where_not(function, combiner.value, identity.value):
        for one in conjuncts(simplify(condition, known)):
            mine_alone = free_vars(one) & moving == {own.var}
            if mine_alone and not prove(substitute(one, values), around):
                found = limits.narrow(one, own.var) or found
    first, end = limits.low(known), limits.high(known)
    whole = simplify(own.extent, known)
    if not found or (first is index(0) and end is whole):
        return None
    return Span(block, own.var, first, end)


def _where_not(
    function: Function, e: Expr, neutral: float, seen: frozenset[Buffer] = frozenset()
) -> list[Expr]:
    """Conditions all of which hold wherever `e` is not `neutral`.

    A product of finite numbers is 0 where one of them is. What a temporary holds is that which its
    only store puts there, which may depend on the place.
    """
    match e:
        case Select(cond, then, other):
            if _is(other, neutral):
                return conjuncts(cond) + _where_not(function, then, neutral, seen)
            if _is(then, neutral):
                return [Not(c) for c in _disjuncts(cond)] + _where_not(
                    function, other, neutral, seen
                )
        case Mul(a, b) if neutral == 0:
            return [c for part in (a, b) for c in _where_not(function, part, neutral, seen)]
        case Cast(value) if neutral == 0 or (math.isinf(neutral) and value.dtype.is_float):
            return _where_not(function, value, neutral, seen)
        case Load(buffer, indices) if buffer not in seen:
            store = _only_store(function, buffer)
            if store is not None:
                place = dict(zip(store.indices, indices, strict=True))
                inner = _where_not(function, store.value, neutral, seen | {buffer})
                return [
                    substitute(c, place)
                    for c in inner
                    if free_vars(c) <= set(place) and not loads_in(c)
                ]
    return []


def _only_store(function: Function, buffer: Buffer) -> Store | None:
    """The one store to a temporary, at iterators that tell its place."""
    if buffer not in function.allocs:
        return None
    stores = [a for a in accesses(function.body) if a.is_store and a.buffer is buffer]
    block = stores[0].block if len(stores) == 1 else None
    if block is None or block.init is not None or not isinstance(block.body, Store):
        return None
    store = block.body
    plain = store.buffer is buffer and buffer not in loaded(block)
    apart = len(set(store.indices)) == len(store.indices)
    return store if plain and apart and all(isinstance(i, Var) for i in store.indices) else None


def _is(e: Expr, neutral: float) -> bool:
    return isinstance(e, Const) and e.value == neutral


def _disjuncts(e: Expr) -> list[Expr]:
    return _disjuncts(e.a) + _disjuncts(e.b) if isinstance(e, Or) else [e]
