"""software_pipeline: the statements of a loop overlap, each busy with another iteration."""

from __future__ import annotations

from collections.abc import Sequence

from passes.ir.expr import Var
from passes.ir.loop.nodes import Function
from passes.schedule.pipelining import NOTES, notes, planned
from passes.schedule.tree import Refusal, get_loop, replace, spell


def software_pipeline(
    function: Function,
    loop: Var,
    stages: Sequence[int],
    order: Sequence[int],
    asynchronous: Sequence[int] = (),
) -> Function:
    """Notes on a loop that its statements are to run in stages; the lowering does it.

        for i in range(n): a(i); b(i)          stages 0, 1    order 0, 1
        → for i in range(n, pipeline_stages="0 1", pipeline_order="0 1"): a(i); b(i)
        → a(0); for i in range(n - 1): a(i + 1); b(i)
          b(n - 1)                             # when lowered, if n >= 1

    A statement of stage s works on iteration t - s at time t, and comes at its place of the order
    within that time. Temporaries that each iteration has for itself get as many versions as
    iterations are under way; those in registers can where the loop is unrolled. The statements of
    `asynchronous` stages are copies that are issued and, before a later stage reads what they
    copied, waited for; each iteration of a parallel loop around has its own. The loop is serial or
    unrolled. Legal if whatever meets in an element comes in the same order as before. Raises
    ScheduleError otherwise.
    """
    at = get_loop(function, loop, "software_pipeline")
    refuse = Refusal("software_pipeline", f"loop {spell(loop)}", function, loop)
    planned(function, at, stages, order, asynchronous, refuse)
    kept = [note for note in at.annotations if note[0] not in NOTES]
    noted = (*kept, *notes(stages, order, asynchronous))
    return replace(function, at, at.replace(annotations=noted))
