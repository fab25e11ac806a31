"""parallel: iterations of a loop are divided among threads."""

from __future__ import annotations

from passes.ir.expr import Var
from passes.ir.loop.nodes import Function
from passes.schedule.loop_kinds import run_as


def parallel(function: Function, loop: Var) -> Function:
    """`for i in range(n)` → `for i in parallel(n)`: iterations divided among the threads.

    Legal if no iteration touches what another one stores to, and of thread-private buffers reads
    only what it stored itself. Raises ScheduleError otherwise.
    """
    return run_as(function, loop, "parallel", "parallel")
