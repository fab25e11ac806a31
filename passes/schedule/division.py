"""A block split in two: an outer one for the loops outside a nest, an inner one for those of it.

    v = i_o*16 + i_i   with i_i inside   →   outer v = i_o of n/16,   inner v = v_outer*16 + i_i

Each iterator's binding is taken apart into a multiple of what the loops inside reach and what they
add. Where that does not go, the loops outside become the outer iterators themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from passes.ir.arith import free_vars, prove, simplify, substitute, symbolic_max, symbolic_min
from passes.ir.expr import Const, Expr, Lt, Var, both, index
from passes.ir.loop.nodes import Block, BlockIter, For, Stmt
from passes.schedule.accesses import Ranges, accesses, iterator_ranges
from passes.schedule.combiner import combiner_of
from passes.schedule.dependence import carried, reachable, steady
from passes.schedule.faults import fault
from passes.schedule.reductions import conjuncts, driving, restarting_loop, starts_through_views
from passes.schedule.tree import iters_in, loaded, written


@dataclass(frozen=True)
class Division:
    """The outer block's iterators, bindings and predicate (over the loops outside), its body and
    init; `ordinal` is the next free one."""

    iters: tuple[BlockIter, ...]
    bindings: tuple[Expr, ...]
    predicate: Expr | None
    body: Stmt
    init: Stmt | None
    ordinal: int


@dataclass(frozen=True)
class _Part:
    """An iterator's value is `quotient*width + inside` (None: it has no part of one kind)."""

    quotient: Expr | None
    width: Expr
    inside: Expr | None


def divided(path: Sequence[Stmt], known: Ranges, ordinal: int, init_label: str) -> Division:
    """The division of all that is under the loop at the end of a path, the loop included.

    `known` has the ranges of the loops of the whole function, `ordinal` is a free one. A reduction
    that starts inside the nest, and can start before it all the same, starts in the init, by a
    block of label `init_label`.
    """
    nest = path[-1]
    assert isinstance(nest, For)
    around = {s.var: (Const(0, s.var.dtype), s.extent - 1) for s in path if isinstance(s, For)}
    known = {**known, **around, **iterator_ranges(iters_in(path))}
    made = _by_iterators(nest, known, ordinal, init_label)
    return made if made is not None else _by_loops(nest, _spoken(path[:-1]), known, ordinal)


def _by_iterators(nest: For, known: Ranges, ordinal: int, init_label: str) -> Division | None:
    loops, block = _chain(nest)
    if block is None:
        return None
    inner = {loop.var: loop.extent for loop in loops}
    parts = [_part(e, inner, known) for e in block.bindings]
    pairs = list(zip(block.iters, block.bindings, parts, strict=True))
    outer: list[tuple[BlockIter, Expr]] = []
    values: list[Expr] = []
    outside: list[Expr] = []  # conditions on the outer block's instances
    whole: dict[Var, Expr] = {}  # loops outside that are iterators as they are
    for it, _, part in pairs:
        if part is None or (free_vars(it.extent) and part.inside is not None):
            return None
        if part.quotient is None:
            assert part.inside is not None
            values.append(part.inside)
            continue
        if part.inside is None:
            made = it
        else:
            extent = simplify((it.extent + part.width - 1) // part.width, known)
            made = BlockIter(Var(it.var.name, ordinal, it.var.dtype), extent, it.kind)
            ordinal += 1
            if block.predicate is not None and not prove(part.quotient < extent, known):
                outside.append(part.quotient < extent)  # beyond it no instance is inside
        outer.append((made, part.quotient))
        values.append(made.var * part.width + part.inside if part.inside else made.var)
        if isinstance(part.quotient, Var):
            whole.setdefault(part.quotient, made.var)
    # The outer block keeps the variables of iterators that it takes as they are
    names: dict[Var, Expr] = {}
    for it, _, part in pairs:
        if part is not None and part.inside is None:
            names[it.var] = Var(it.var.name, ordinal, it.var.dtype)
            ordinal += 1
    taken = {it.var for it, _ in outer}
    if any(not free_vars(it.extent) <= taken for it, _ in outer):
        return None
    spoken = set(inner) | taken
    bounds = {simplify(e): value for (_, e, _), value in zip(pairs, values, strict=True)}
    inside = []
    for condition in conjuncts(block.predicate):
        if free_vars(condition) & set(inner):
            inside.append(_respelled(condition, bounds, whole))
        else:
            outside.append(condition)
    extents = [substitute(loop.extent, whole) for loop in loops]
    if any(not free_vars(e) <= spoken for e in (*inside, *extents)):
        return None
    moved = (*outside, *[e for _, e in outer])
    if not all(steady(e, written(nest)) for e in moved):
        return None  # outside, they would be what they are at the start
    runs = all(prove(loop.extent >= 1, known) for loop in loops)
    if not runs and any(fault(e, known) is not None for e in moved):
        return None
    again = [loop.replace(extent=e) for loop, e in zip(loops, extents, strict=True)]
    own = substitute(block, names).replace(
        bindings=tuple([simplify(v) for v in values]), predicate=both(*inside)
    )
    init = None
    reduced = {it.var: index(0) for it, _ in outer if it.kind == "reduce"}
    first = {**reduced, **{loop.var: index(0) for loop in loops}}
    starts = [substitute(e, first).equal(0) for it, e in _pairs(own) if it.kind == "reduce"]
    if all(prove(e, known) for e in starts) and _starts_before(block, loops, known):
        init, ordinal = _started(own, again, reduced, ordinal, init_label)
        own = own.replace(init=None)
    iters, bindings = [it for it, _ in outer], [e for _, e in outer]
    body = _nested(again, own)
    return Division(tuple(iters), tuple(bindings), both(*outside), body, init, ordinal)


def _chain(nest: For) -> tuple[list[For], Block | None]:
    """The loops nested without gaps, and the block directly in them."""
    loops = [nest]
    while isinstance(loops[-1].body, For):
        loops.append(loops[-1].body)
    last = loops[-1].body
    return loops, last if isinstance(last, Block) else None


def _pairs(block: Block) -> list[tuple[BlockIter, Expr]]:
    return list(zip(block.iters, block.bindings, strict=True))


def _part(e: Expr, inner: Mapping[Var, Expr], known: Ranges) -> _Part | None:
    used = free_vars(e) & set(inner)
    if not used:
        return _Part(e, index(1), None)
    base = simplify(substitute(e, {v: Const(0, v.dtype) for v in used}), known)
    inside = simplify(e - base, known)
    low, top = symbolic_min(inside, inner, known), symbolic_max(inside, inner, known)
    if not free_vars(inside) <= set(inner) or low is None or top is None:
        return None
    width = simplify(top + 1, known)
    if not prove(low.equal(0), known) or free_vars(width) or not prove(width >= 1, known):
        return None
    if prove(base.equal(0), known):
        return _Part(None, width, inside)
    if not prove((base % width).equal(0), known):
        return None
    return _Part(simplify(base // width, known), width, inside)


def _respelled(condition: Expr, bounds: Mapping[Expr, Expr], whole: Mapping[Var, Expr]) -> Expr:
    """A condition on loops as one on the outer block's iterators, as far as that goes."""
    if isinstance(condition, Lt) and simplify(condition.a) in bounds:
        condition = Lt(bounds[simplify(condition.a)], condition.b)
    return simplify(substitute(condition, whole))


def _starts_before(block: Block, loops: Sequence[For], known: Ranges) -> bool:
    """Whether all elements may start before the loops: each does once in them, at the first
    iteration of those that do not lead to others, none of them is empty, and nothing in the block
    needs an element but the one that it updates."""
    changing = written(block)
    if combiner_of(block) is None or block.init is None or loaded(block.init) & changing:
        return False
    if starts_through_views(block):
        return False
    others = driving(block, "spatial", "ordered", "opaque")
    if driving(block, "reduce") & others & {loop.var for loop in loops}:
        return False
    placed = (*block.bindings, *conjuncts(block.predicate), *[loop.extent for loop in loops])
    if not all(steady(e, changing) for e in placed):
        return False
    if not all(prove(loop.extent >= 1, known) for loop in loops):
        return False
    stores = [a for a in accesses(loops[0]) if a.is_store and a.block is block]
    return restarting_loop(block, loops, stores, known) is None


def _started(
    block: Block, loops: Sequence[For], reduced: Mapping[Var, Expr], ordinal: int, label: str
) -> tuple[Stmt, int]:
    """The inner block's init over copies of the loops that drive its other iterators."""
    assert block.init is not None
    kept = [(it, e) for it, e in _pairs(block) if it.kind != "reduce"]
    needed = frozenset[Var]().union(*[free_vars(e) for _, e in kept])
    names: dict[Var, Expr] = dict(reduced)
    copies = []
    for loop in loops:
        if loop.var in needed:
            names[loop.var] = Var(loop.var.name, ordinal, loop.var.dtype)
            ordinal += 1
        else:
            names[loop.var] = Const(0, loop.var.dtype)
    for loop in loops:
        var = names[loop.var]
        if isinstance(var, Var):
            copies.append(loop.replace(var=var, extent=substitute(loop.extent, names)))
    asked = both(*[simplify(substitute(c, names)) for c in conjuncts(block.predicate)])
    if not copies and asked is None:
        return substitute(block.init, {it.var: e for it, e in kept}), ordinal
    own: dict[Var, Expr] = {}
    for it, _ in kept:
        own[it.var] = Var(it.var.name, ordinal, it.var.dtype)
        ordinal += 1
    iters = tuple([substitute(it, own) for it, _ in kept])
    bindings = tuple([substitute(e, names) for _, e in kept])
    init = Block(label, iters, bindings, substitute(block.init, own), None, asked)
    return _nested(copies, init), ordinal


def _nested(loops: Sequence[For], body: Stmt) -> Stmt:
    for loop in reversed(loops):
        body = loop.replace(body=body)
    return body


def _spoken(around: Sequence[Stmt]) -> list[Var]:
    """The variables of the loops and blocks on a path, outermost first."""
    found: list[Var] = []
    for stmt in around:
        if isinstance(stmt, For):
            found.append(stmt.var)
        elif isinstance(stmt, Block):
            found += [it.var for it in stmt.iters]
    return found


def _by_loops(nest: For, spoken: Sequence[Var], known: Ranges, ordinal: int) -> Division:
    """The loops outside that the nest speaks of, or that such a loop does, become iterators:
    spatial where their iterations never meet, else ordered. Nothing moves into an init."""
    iters: list[BlockIter] = []
    bindings: list[Expr] = []
    names: dict[Var, Expr] = {}
    needed = reachable([nest], known)
    for var in (v for v in spoken if v in needed):
        free = carried(For(var, known[var][1] + 1, nest), known) is None
        extent = simplify(substitute(known[var][1] + 1, names))
        made = BlockIter(
            Var(var.name, ordinal, var.dtype), extent, "spatial" if free else "ordered"
        )
        ordinal += 1
        names[var] = made.var
        iters.append(made)
        bindings.append(var)
    return Division(tuple(iters), tuple(bindings), None, substitute(nest, names), None, ordinal)
