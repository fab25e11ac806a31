"""rewrite_reductions: inits leave the loops of their reductions."""

from __future__ import annotations

from functools import partial

from passes.ir.arith import free_vars
from passes.ir.loop.nodes import Block
from passes.schedule.schedule import Schedule
from passes.schedule.tree import loops_in, path_to_block
from passes.search.defaults.shape import attempt, blocks
from passes.search.space.rule import Context


def rewrite_reductions(s: Schedule, context: Context) -> Schedule:
    """A reduction that still asks at each step whether it is the first.

    for k: init y[i] = 0; y[i] += x[i, k]   →   y[i] = 0;  for k: y[i] += x[i, k]

    One whose init cannot leave its loops stays as it is.
    """
    for block in blocks(s):
        if block.init is not None:
            _decompose(s, block)
    return s


def _decompose(s: Schedule, block: Block) -> None:
    pairs = zip(block.iters, block.bindings, strict=True)
    used = frozenset().union(*[free_vars(e) for it, e in pairs if it.kind == "reduce"])
    around = loops_in(path_to_block(s.function, block.label, "rewrite_reductions"))
    driving = [loop for loop in around if loop.var in used]
    if driving:
        attempt(s, partial(s.decompose_reduction, block.label, driving[0].var))
