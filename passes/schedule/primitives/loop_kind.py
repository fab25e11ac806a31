"""parallel, vectorize, unroll: how the iterations of a loop are run."""

from __future__ import annotations

from passes.ir.expr import Const, Var
from passes.ir.loop.nodes import For, Function, LoopKind
from passes.schedule.legality import objection
from passes.schedule.tree import Refusal, loops_in, path_to_loop, replace, spell


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
    target of a reduction may be: its lanes are combined by a horizontal reduction.
    """
    return _run_as(function, loop, "vectorized", "vectorize")


def unroll(function: Function, loop: Var) -> Function:
    """`for i in range(4)` → `for i in unrolled(4)`: iterations written out one after another."""
    return _run_as(function, loop, "unrolled", "unroll")


def _run_as(function: Function, loop: Var, kind: LoopKind, primitive: str) -> Function:
    found = path_to_loop(function, loop, primitive)
    at = found[-1]
    assert isinstance(at, For)
    refuse = Refusal(primitive, f"loop {spell(loop)}", function, loop)
    if kind == "unrolled" and not isinstance(at.extent, Const):
        raise refuse("its extent is not a constant")
    around = [one for one in loops_in(found[:-1]) if one.kind == "vectorized"]
    if around and kind == "parallel":
        raise refuse(f"it is inside vectorized loop {spell(around[0].var)}")
    new = at.replace(kind=kind)
    changed = replace(function, at, new)
    reason = objection(changed, new)
    if reason is not None:
        raise refuse(reason)
    return changed
