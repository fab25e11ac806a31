"""A loop whose iterations are run in another way: at once, as lanes, or written out.

Raises ScheduleError in the name of the primitive that does it.
"""

from __future__ import annotations

from passes.ir.expr import Const, Var
from passes.ir.loop.nodes import (
    BLOCK_AXES,
    CONCURRENT,
    THREAD_AXES,
    AsyncGroup,
    AsyncWait,
    Barrier,
    For,
    Function,
    LoopKind,
)
from passes.schedule.copying import objection_to_copies
from passes.schedule.legality import may_nest, objection
from passes.schedule.pipelining import kept_pipelines
from passes.schedule.tree import Refusal, loops_in, path_to_loop, replace, spell, statements


def run_as(function: Function, loop: Var, kind: LoopKind, primitive: str) -> Function:
    """The function with a loop of another kind. Raises ScheduleError if it may not be one."""
    found = path_to_loop(function, loop, primitive)
    at = found[-1]
    assert isinstance(at, For)
    refuse = Refusal(primitive, f"loop {spell(loop)}", function, loop)
    if kind == "unrolled" and not isinstance(at.extent, Const):
        raise refuse("its extent is not a constant")
    if kind in CONCURRENT:
        _check_threads(refuse, loops_in(found[:-1]), at, kind)
    new = at.replace(kind=kind)
    changed = replace(function, at, new)
    reason = objection(changed, new) or objection_to_copies(function, changed)
    if reason is not None:
        raise refuse(reason)
    return kept_pipelines(changed, refuse)


def _check_threads(refuse: Refusal, around: list[For], at: For, kind: LoopKind) -> None:
    """Threads are no lanes, have each axis once, and do not wait for each other alone.

    The iterations of a parallel loop, and thread blocks, have copies of their own.
    """
    for one in around:
        if one.kind == "vectorized" or not may_nest(one.kind, kind):
            raise refuse(f"it is inside {one.kind} loop {spell(one.var)}")
    inside = statements(at.body)
    if kind not in BLOCK_AXES and any(isinstance(s, Barrier) for s in inside):
        raise refuse("it holds a barrier that all its iterations wait for together")
    if kind in THREAD_AXES and any(isinstance(s, AsyncGroup | AsyncWait) for s in inside):
        raise refuse("it holds copies that all its iterations wait for together")
