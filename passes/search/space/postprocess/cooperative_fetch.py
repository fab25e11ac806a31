"""cooperative_fetch: all threads of a block copy what they share (GPU)."""

from __future__ import annotations

from passes.ir.loop.nodes import Block, For, Store, ThreadAxis
from passes.schedule.schedule import Schedule
from passes.schedule.tree import loops_in, path_to_block, statements
from passes.search.defaults.shape import blocks, constant, is_map, own_loops
from passes.search.space.rule import Context

_AXIS: ThreadAxis = "thread.x"


def cooperative_fetch(s: Schedule, context: Context) -> Schedule:
    """A copy into shared memory that one thread would make goes to as many as the block has.

    for i: for j: t[i, j] = x[i, j]       (t shared, beside a loop over 64 threads)
    → for f_o: for f_i in thread.x(64): t[…] = x[…]

    Raises ScheduleError if it cannot be shared out.
    """
    for block in blocks(s):
        threads = _threads(s, block)
        loops = own_loops(s, block.label)
        if threads is not None and loops:
            whole = s.fuse(*loops)
            _, lane = s.split(whole, threads)
            s.bind(lane, _AXIS)
    return s


def _threads(s: Schedule, block: Block) -> int | None:
    """How many threads the blocks beside it have; None for one that is no such copy."""
    store = block.body
    if not is_map(block) or not isinstance(store, Store) or store.buffer.scope != "shared":
        return None
    around = loops_in(path_to_block(s.function, block.label, "cooperative_fetch"))
    if any(loop.kind == _AXIS for loop in around):
        return None
    grids = [loop for loop in around if loop.kind.startswith("block.")]
    inside = [n for grid in grids[:1] for n in _loops(grid) if n.kind == _AXIS]
    counts = {constant(loop.extent) for loop in inside}
    return counts.pop() if len(counts) == 1 else None


def _loops(grid: For) -> list[For]:
    return [stmt for stmt in statements(grid) if isinstance(stmt, For)]
