"""decompose_padding: a padded copy becomes a fill and a copy of what is not padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from passes.ir.arith import free_vars, simplify, substitute
from passes.ir.dtypes import INDEX
from passes.ir.expr import (
    TRUE,
    Expr,
    Not,
    Or,
    Select,
    Var,
    both,
    index,
    maximum,
    minimum,
)
from passes.ir.loop.nodes import AsyncGroup, Block, For, Function, Load, LoopKind, Stmt, Store, seq
from passes.ir.node import postorder, rewrite
from passes.schedule.accesses import Ranges, ranges
from passes.schedule.coverage import in_iterators, runs
from passes.schedule.dataflow import stores_apart
from passes.schedule.dependence import steady
from passes.schedule.legality import checked
from passes.schedule.limits import Limits
from passes.schedule.reductions import conjuncts
from passes.schedule.renaming import renamed
from passes.schedule.surplus import fault_below
from passes.schedule.tree import (
    Refusal,
    fresh_label,
    fresh_ordinal,
    loaded,
    loops_in,
    own_nest,
    path_to_block,
    replace,
    spell,
)


def decompose_padding(function: Function, label: str, loop: Var) -> tuple[Function, str]:
    """Splits a block that pads; gives the function and the label of the block that fills.

        for i: block p: t[i] = select(1 <= i and i < n + 1, x[max(i - 1, 0)], 0.0)     at i
        → for i: block p_fill: t[i] = 0.0
          for i in range(n): block p: t[i + 1] = x[i]

    The loops from `loop` inwards hold the block alone. The fill keeps them; the copy has one loop
    for each iterator they drive, over the values within the bounds that the condition sets,
    parallel if the loop that drives it is, else serial. What else the condition says stays as a
    predicate.

    Raises ScheduleError if the block stores no such select, or the bounds are not known before the
    loops.
    """
    found = path_to_block(function, label, "decompose_padding")
    block = found[-1]
    assert isinstance(block, Block)
    refuse = Refusal("decompose_padding", f"block '{label}' at loop {spell(loop)}", function, label)
    nest = own_nest(found)
    at = next((s for s in nest if isinstance(s, For) and s.var is loop), None)
    if at is None:
        raise refuse("the loop is not around it alone")
    if any(isinstance(s, AsyncGroup) for s in found):
        raise refuse("it is part of a group of asynchronous copies")
    padded = _padded(refuse, block)
    for one in loops_in(nest[nest.index(at) :]):
        if not steady(one.extent, {padded.store.buffer}):
            raise refuse(f"the extent of loop {spell(one.var)} reads what it stores")
    name = fresh_label(function, f"{label}_fill")
    filling = block.replace(label=name, body=padded.store.replace(value=padded.pad))
    fill, first = renamed(
        rewrite(at, lambda n: filling if n is block else None), fresh_ordinal(function), ""
    )
    loops = loops_in(nest[nest.index(at) :])
    copy = _copy(refuse, padded, loops, ranges(function), first)
    trouble = fault_below(copy, ranges(function))
    if trouble is not None:
        raise refuse(f"what is not padding may not be known before the loops: {trouble}")
    return checked(replace(function, at, seq(fill, copy)), refuse), name


@dataclass(frozen=True)
class _Padded:
    """`store` of `inside` where the `conditions` hold, of `pad` elsewhere."""

    block: Block
    store: Store
    conditions: list[Expr]
    inside: Expr
    pad: Expr


def _padded(refuse: Refusal, block: Block) -> _Padded:
    store = block.body
    if not isinstance(store, Store) or block.init is not None or block.views:
        raise refuse("its body is not one plain store")
    if not isinstance(store.value, Select):
        raise refuse("it does not store a select between a value and padding")
    if any(it.kind != "spatial" or it.var.dtype != INDEX for it in block.iters):
        raise refuse("it has iterators that are not spatial and of type index")
    if not stores_apart(block):
        raise refuse("two of its instances may store to one place")
    if store.buffer in loaded(block):
        raise refuse("it reads what it stores")
    cond, then, other = store.value.children
    assert isinstance(cond, Expr) and isinstance(then, Expr) and isinstance(other, Expr)
    if _constant(then) and not _constant(other):
        outside = [simplify(Not(c)) for c in _disjuncts(cond)]
        return _Padded(block, store, outside, other, then)
    return _Padded(block, store, [simplify(c) for c in conjuncts(cond)], then, other)


def _constant(e: Expr) -> bool:
    return not any(isinstance(n, Load) for n in postorder(e))


def _disjuncts(e: Expr) -> list[Expr]:
    return _disjuncts(e.a) + _disjuncts(e.b) if isinstance(e, Or) else [e]


def _copy(
    refuse: Refusal, padded: _Padded, loops: Sequence[For], known: Ranges, first: int
) -> Stmt:
    """Loops over what is inside, in the order of `loops`, with the block that copies it."""
    block = padded.block
    own = {one.var: one for one in loops}
    bindings = {it.var: e for it, e in zip(block.iters, block.bindings, strict=True)}
    moving = [v for v, e in bindings.items() if free_vars(e) & set(own)]
    found = runs([bindings[v] for v in moving], {v: x.extent for v, x in own.items()}, known)
    asked = in_iterators(block, frozenset(own))
    if found is None or asked is None:
        raise refuse("the loops may not run each of its instances once")
    limits = {it.var: Limits(it.extent) for it in block.iters}
    kept = [c for c in padded.conditions if not _narrows(c, limits) or free_vars(c) - set(moving)]
    inner = {v: (limits[v].low(), limits[v].high() - 1) for v in limits}
    kept += [c for c in asked if not _narrows(c, limits) or free_vars(c) - set(moving)]
    values: dict[Var, Expr] = dict(bindings)
    made: list[For] = []
    rank = list(own)
    spans = sorted(
        zip(moving, found, strict=True),
        key=lambda span: min(rank.index(v) for v in free_vars(bindings[span[0]]) & set(own)),
    )
    for v, run in spans:
        low = simplify(maximum(run.first, limits[v].low()), known)
        high = simplify(minimum(run.end, limits[v].high()), known)
        driving = [own[u] for u in free_vars(bindings[v]) if u in own]
        kind: LoopKind = "parallel" if any(one.kind == "parallel" for one in driving) else "serial"
        extent = simplify(maximum(high - low, 0), known)
        made.append(For(v.replace(ordinal=first + len(made)), extent, block, kind))
        values[v] = simplify(low + made[-1].var, known)
    inside = {**known, **{one.var: (index(0), one.extent - 1) for one in made}}
    needed = [simplify(substitute(c, values), inside) for c in kept]
    copy: Stmt = block.replace(
        bindings=tuple([values[v] for v in bindings]),
        body=padded.store.replace(value=simplify(padded.inside, inner)),
        predicate=both(*dict.fromkeys(c for c in needed if c is not TRUE)),
    )
    for one in reversed(made):
        copy = one.replace(body=copy)
    return copy


def _narrows(condition: Expr, limits: Mapping[Var, Limits]) -> bool:
    """Takes a condition that bounds one iterator into its limits; False if it is none."""
    sides = free_vars(condition)
    if len(sides) != 1 or not sides <= set(limits):
        return False
    (v,) = sides
    return limits[v].narrow(condition, v)
