"""unroll: iterations of a loop are written out."""

from __future__ import annotations

from passes.ir.expr import Var
from passes.ir.loop.nodes import Function
from passes.schedule.loop_kinds import run_as


def unroll(function: Function, loop: Var) -> Function:
    """`for i in range(4)` → `for i in unrolled(4)`: iterations written out one after another.

    Raises ScheduleError if the extent is not a constant.
    """
    return run_as(function, loop, "unrolled", "unroll")
