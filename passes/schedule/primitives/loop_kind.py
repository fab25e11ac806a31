"""parallel, vectorize, unroll, bind: how the iterations of a loop are run."""

from __future__ import annotations

from passes.ir.expr import Const, Var
from passes.ir.loop.nodes import (
    BLOCK_AXES,
    CONCURRENT,
    THREAD_AXES,
    AsyncGroup,
    AsyncWait,
    Barrier,
    BlockAxis,
    For,
    Function,
    LoopKind,
    ThreadAxis,
)
from passes.schedule.copying import objection_to_copies
from passes.schedule.legality import may_nest, objection
from passes.schedule.pipelining import kept_pipelines
from passes.schedule.tree import Refusal, loops_in, path_to_loop, replace, spell, statements


def parallel(function: Function, loop: Var) -> Function:
    """`for i in range(n)` → `for i in parallel(n)`: iterations divided among the threads.

    Legal if no iteration touches what another one stores to, and of thread-private buffers
    reads only what it stored itself.
    """
    return _run_as(function, loop, "parallel", "parallel")


def vectorize(function: Function, loop: Var) -> Function:
    """`for i in range(16)` → `for i in vectorized(16)`: iterations become lanes.

    The loop has a constant extent and holds no loop of another kind. Statements inside run one
    after the other, each for all lanes, so no lane may touch what another one stores to. The
    target of a reduction that starts in the first lane may be: lanes are combined by a horizontal
    reduction.
    """
    return _run_as(function, loop, "vectorized", "vectorize")


def unroll(function: Function, loop: Var) -> Function:
    """`for i in range(4)` → `for i in unrolled(4)`: iterations written out one after another."""
    return _run_as(function, loop, "unrolled", "unroll")


def bind(function: Function, loop: Var, thread: BlockAxis | ThreadAxis) -> Function:
    """`for i in range(n)` → `for i in thread.x(n)`: an iteration for each thread of a block, or,
    bound to `block.x` and its like, for each block of a grid.

    Legal as `parallel` is, but that the threads of a block have its `shared` buffers in common
    (and those of a warp what is spread over it). Of loops inside each other each has an axis of
    its own, those of blocks outside those of threads.
    """
    return _run_as(function, loop, thread, "bind")


def _run_as(function: Function, loop: Var, kind: LoopKind, primitive: str) -> Function:
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
