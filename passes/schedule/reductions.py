"""Where and how often a reduction starts, and what its guards say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from passes.ir.arith import free_vars, linear, prove, simplify, substitute
from passes.ir.arith.terms import Monomial, atoms, terms
from passes.ir.expr import And, Const, Expr, FloorDiv, FloorMod, Le, Lt, Var
from passes.ir.loop.nodes import Block, Buffer, For
from passes.schedule.accesses import Access, Ranges
from passes.schedule.dependence import inner_loops, never_meet
from passes.schedule.tree import loaded, written


def restarting_loop(
    block: Block, loops: Sequence[For], stores: Sequence[Access], known: Ranges
) -> For | None:
    """The first of `loops` (around the block, outermost first) whose iterations come back to the
    same reduction, starting it again; None if each reduction starts once in all of them.

    Instances that start one have all reduce iterators 0. A loop in which those may differ must
    lead to other elements of `stores`. None also says that each starts in the first iteration of
    all loops that lead to the same element.
    """
    for loop in loops:
        if _is_zero_at_start(block, loop.var, known):
            continue
        free, stored = inner_loops(loop), written(loop)
        if not all(never_meet(s, s, loop.var, free, known, stored) for s in stores):
            return loop
    return None


def _is_zero_at_start(block: Block, loop: Var, known: Ranges) -> bool:
    """Whether reductions start only where `loop` is 0, and it drives nothing else."""
    others = driving(block, "spatial", "ordered", "opaque")
    return loop not in others and loop in starting_loops(block, known)


def starting_loops(block: Block, known: Ranges) -> frozenset[Var]:
    """The loops that are 0 wherever all reduce iterators of the block are.

        reduce(n, a*4 + b), reduce(3, c//2), reduce(2, c%2)  ->  a, b, c
        reduce(8, 7 - a), reduce(n, b + c - 2)               ->  none

    Loops and iterators of blocks around are never negative.
    """
    pairs = zip(block.iters, block.bindings, strict=True)
    pending = [simplify(e, known) for it, e in pairs if it.kind == "reduce"]
    zero: set[Expr] = set()
    while pending:
        e = pending.pop()
        if e in zero:
            continue
        zero.add(e)
        parts = terms(e)
        if len(parts) > 1 or e not in atoms(parts):
            if all(c > 0 and _not_negative(part, known) for part, c in parts.items()):
                pending += [atom for part in parts for atom in _zero_in(part, known)]
        elif isinstance(e, FloorDiv | FloorMod):
            other = (FloorMod if isinstance(e, FloorDiv) else FloorDiv)(e.a, e.b)
            if other in zero and prove(e.b >= 1, known):
                pending.append(e.a)
    return frozenset([e for e in zero if isinstance(e, Var)])


def _not_negative(part: Monomial, known: Ranges) -> bool:
    return all(isinstance(atom, Var) or prove(atom >= 0, known) for atom in part)


def _zero_in(part: Monomial, known: Ranges) -> list[Expr]:
    """The factor of a product 0 that is 0, if all others are not."""
    left = [atom for atom in part if not prove(atom >= 1, known)]
    return left if len(left) == 1 else []


def driving(block: Block, *kinds: str) -> frozenset[Var]:
    """The loops that drive the block's iterators of these kinds."""
    pairs = zip(block.iters, block.bindings, strict=True)
    return frozenset[Var]().union(*[free_vars(e) for it, e in pairs if it.kind in kinds])


def starts_through_views(block: Block) -> bool:
    """Whether the init speaks of the block's views, which are not there outside it."""
    init = block.init
    used = frozenset[Buffer]() if init is None else loaded(init) | written(init)
    return any(view.buffer in used for view in block.views)


def conjuncts(condition: Expr | None) -> list[Expr]:
    """The conditions that an `and` joins; none for no condition."""
    if condition is None:
        return []
    if isinstance(condition, And):
        return conjuncts(condition.a) + conjuncts(condition.b)
    return [condition]


def ends_for_good(condition: Expr, loops: frozenset[Var], known: Ranges) -> bool:
    """Whether a condition that does not hold stays so as any of the loops goes on: if it holds at
    all, it does where they begin."""
    if not isinstance(condition, Lt | Le):
        return False
    form = linear(condition.a - condition.b, loops, known)
    return form is not None and all(prove(step >= 0, known) for step in form[0].values())


def starts_first(
    block: Block,
    leading: Sequence[Expr],
    loops: Iterable[Var],
    asked: Sequence[Expr],
    known: Ranges,
) -> bool:
    """Whether of the instances for one element, of which `leading` says which it is, one that
    starts it runs first: where those `loops` that lead to no other element are 0, and the
    conditions `asked` of instances leave none out before others."""
    moving = frozenset(loops)
    idle = moving.difference(*[free_vars(e) for e in leading])
    begin = {v: Const(0, v.dtype) for v in idle}
    back = idle  # the loops that go back to where the element starts
    for it, e in zip(block.iters, block.bindings, strict=True):
        if it.kind == "reduce" and not prove(substitute(e, begin).equal(0), known):
            digit = _digit(e, leading, known)
            if digit not in moving:
                return False
            back |= {digit}
    for c in asked:
        gone = free_vars(c) & back
        holds = gone <= idle and prove(substitute(c, begin), known)
        if gone and not holds and not ends_for_good(c, gone, known):
            return False
    for v in moving:  # the others are where they were
        last = known[v][1]
        if (gone := free_vars(last) & back) and not (
            v in idle and gone <= idle and prove(substitute(last, begin) >= 0, known)
        ):
            return False
    return True


def _digit(e: Expr, leading: Sequence[Expr], known: Ranges) -> Var | None:
    """The loop along whose one part a reduction runs, and elements along the other."""
    match e:
        case FloorDiv(Var() as loop, width):
            other: Expr = FloorMod(loop, width)
        case FloorMod(Var() as loop, width):
            other = FloorDiv(loop, width)
        case _:
            return None
    apart = all(one is other for one in leading if loop in free_vars(one))
    return loop if apart and prove(width >= 1, known) else None


def only_bounded(block: Block) -> bool:
    """Whether the predicate says no more than that iterators are below their extents."""
    bounds = {
        (simplify(e), simplify(it.extent))
        for it, e in zip(block.iters, block.bindings, strict=True)
    }
    return all(
        isinstance(c, Lt) and (simplify(c.a), simplify(c.b)) in bounds
        for c in conjuncts(block.predicate)
    )
