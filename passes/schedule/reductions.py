"""Where and how often a reduction starts, and what its guards say."""

from __future__ import annotations

from collections.abc import Sequence

from passes.ir.arith import free_vars, linear, prove, simplify
from passes.ir.expr import And, Expr, Lt, Var
from passes.ir.loop.nodes import Block, For
from passes.schedule.accesses import Access, Ranges
from passes.schedule.dependence import inner_loops, never_meet
from passes.schedule.tree import written


def restarting_loop(
    block: Block, loops: Sequence[For], stores: Sequence[Access], known: Ranges
) -> For | None:
    """The first of `loops` (around the block, outermost first) whose iterations come back to the
    same reduction, starting it again; None if each reduction starts once in all of them.

    Instances that start one have all reduce iterators 0. A loop in which those may differ must
    lead to other elements of `stores`.
    """
    for loop in loops:
        if _is_zero_at_start(block, loop.var, [one.var for one in loops]):
            continue
        free, stored = inner_loops(loop), written(loop)
        if not all(never_meet(s, s, loop.var, free, known, stored) for s in stores):
            return loop
    return None


def _is_zero_at_start(block: Block, loop: Var, around: Sequence[Var]) -> bool:
    """Whether a reduce iterator is 0 only where `loop` is, and the loop drives nothing else."""
    starts = False
    for it, e in zip(block.iters, block.bindings, strict=True):
        if loop not in free_vars(e):
            continue
        form = linear(e, around)
        if form is None or it.kind != "reduce":
            return False
        starts = starts or (
            prove(form[0][loop] >= 1) and all(prove(c >= 0) for c in form[0].values())
        )
    return starts


def driving(block: Block, *kinds: str) -> frozenset[Var]:
    """The loops that drive the block's iterators of these kinds."""
    pairs = zip(block.iters, block.bindings, strict=True)
    return frozenset[Var]().union(*[free_vars(e) for it, e in pairs if it.kind in kinds])


def conjuncts(condition: Expr | None) -> list[Expr]:
    """The conditions that an `and` joins; none for no condition."""
    if condition is None:
        return []
    if isinstance(condition, And):
        return conjuncts(condition.a) + conjuncts(condition.b)
    return [condition]


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
