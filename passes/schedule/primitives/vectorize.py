"""vectorize: iterations of a loop become lanes."""

from __future__ import annotations

from passes.ir.expr import Var
from passes.ir.loop.nodes import Function
from passes.schedule.loop_kinds import run_as


def vectorize(function: Function, loop: Var) -> Function:
    """`for i in range(16)` → `for i in vectorized(16)`: iterations become lanes.

    The loop has a constant extent and holds no loops but vectorized and unrolled ones. Statements
    inside run one after the other, each for all lanes, so no lane may touch what another one stores
    to. The target of a reduction that starts in the first lane may be: lanes are combined by a
    horizontal reduction. Raises ScheduleError otherwise.
    """
    return run_as(function, loop, "vectorized", "vectorize")
