"""trim: a reduction leaves out the margins of what it reads."""

from __future__ import annotations

from passes.ir.arith import prove, simplify, substitute
from passes.ir.expr import Var, maximum, minimum
from passes.ir.loop.nodes import Block, For, Function, Stmt
from passes.schedule.accesses import iterator_ranges, ranges
from passes.schedule.combiner import combiner_of
from passes.schedule.faults import fault
from passes.schedule.legality import checked
from passes.schedule.margins import needed
from passes.schedule.tree import (
    Refusal,
    iters_in,
    loops_in,
    own_nest,
    path_to_block,
    replace,
    spell,
)


def trim(function: Function, label: str, loop: Var) -> Function:
    """Leaves out the first and the last iterations of a loop in which a reduction combines its
    elements with the identity alone.

        block p: t[i] = select(1 <= i and i < n + 1, x[…], 0.0)
        for k in range(3): block c: y[i] = y[i] + t[i + k]*w[k]                     at k
        → for k in range(min(3, n + 1 - i) - max(0, 1 - i)):
              block c: y[i] = y[i] + t[i + (k + max(0, 1 - i))]*w[k + max(0, 1 - i)]

    The term, or a factor of a sum's term, is a select whose other value is the identity, or an
    element of a temporary whose one store puts such there; of its conditions those count that
    nothing inside the loop decides. The loop is serial and holds the block alone, whose init is
    another block. Where no iteration is left, elements keep what they were started with.

    Exact where all factors are finite; infinite ones that meet zeros in a margin, and those that
    are no numbers, are left out like the others. Raises ScheduleError if one of these does not
    hold, or each iteration may change something.
    """
    found = path_to_block(function, label, "trim")
    block = found[-1]
    assert isinstance(block, Block)
    refuse = Refusal("trim", f"block '{label}' at loop {spell(loop)}", function, label)
    at = next((s for s in own_nest(found) if isinstance(s, For) and s.var is loop), None)
    if at is None:
        raise refuse("the loop is not around it alone")
    if at.kind != "serial":
        raise refuse(f"the loop is {at.kind}, not serial")
    if combiner_of(block) is None:
        raise refuse("it does not combine one element by +, max or min")
    if block.views:
        raise refuse("it has views")
    if block.init is not None:
        raise refuse("its init would not run where it changes nothing; decompose_reduction first")
    span = needed(function, found, at)
    if span is None:
        raise refuse("each of its iterations may change something")
    first, end = span.outside()
    known = {**ranges(function), **iterator_ranges(iters_in(found[:-1]))}
    for bound in (first, end):
        trouble = fault(bound, known)
        if trouble is not None:
            raise refuse(f"what changes something may not be known before the loop: {trouble}")
    extent = simplify(minimum(at.extent, end) - first, known)
    if not prove(extent >= 0, known):
        extent = simplify(maximum(extent, 0), known)
    later = {loop: simplify(loop + first, known)}
    asked = None if block.predicate is None else substitute(block.predicate, later)
    inside = substitute(block.body, {span.iterator: simplify(span.iterator + span.first)})
    body: Stmt = block.replace(body=inside, predicate=asked)
    for one in reversed(loops_in(found[found.index(at) + 1 :])):
        body = one.replace(extent=substitute(one.extent, later), body=body)
    return checked(replace(function, at, at.replace(extent=extent, body=body)), refuse)
