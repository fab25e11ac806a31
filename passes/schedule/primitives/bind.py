"""bind: a loop becomes an axis of the blocks of a grid, or of their threads."""

from __future__ import annotations

from passes.ir.expr import Var
from passes.ir.loop.nodes import BlockAxis, Function, ThreadAxis
from passes.schedule.loop_kinds import run_as


def bind(function: Function, loop: Var, thread: BlockAxis | ThreadAxis) -> Function:
    """`for i in range(n)` → `for i in thread.x(n)`: an iteration for each thread of a block, or,
    bound to `block.x` and its like, for each block of a grid.

    Legal as `parallel` is, but that the threads of a block have its `shared` buffers in common (and
    those of a warp what is spread over it). Of loops inside each other each has an axis of its own,
    those of blocks outside those of threads. Raises ScheduleError otherwise.
    """
    return run_as(function, loop, thread, "bind")
