"""Long reductions with few results: chunks of their terms go to threads.

    for j in range(10000000):               for j_o in range(306):
        s[0] += x[0, j]              →          for j_i in range(32768):      # the last: fewer
                                                    r[0, j_o] += x[0, j_o*32768 + j_i]
                                            for j_o in range(306):
                                                s[0] += r[0, j_o]

How long a chunk is does not depend on how many threads there are, and so neither does the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from passes.ir.arith import upper_bound
from passes.ir.expr import Expr
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError, get_block, written
from passes.search.defaults.lanes import reduction_axis
from passes.search.defaults.shape import constant, driven, extent
from passes.search.defaults.target import Target

# Results that keep threads busy enough without chunks.
FEW = 16
# Terms of a chunk: what a thread begins costs far less than they do.
_CHUNK = 1 << 15
# Chunks that there are to be at least: the results of chunks have to be combined, too.
_LEAST = 4


def cut_into_chunks(s: Schedule, label: str, target: Target) -> str | None:
    """Gives the block of partial results, one for each chunk; None, and the schedule as it was, if
    the reduction has results enough for threads, or is short, or cannot be cut. Reassociates."""
    axis, size = reduction_axis(s, label), _chunk(s, label, target)
    if size is None:
        return None
    before = len(s.trace)
    try:
        chunks, _ = s.split(driven(s, label, "reduce")[0], size)
        partial = s.rfactor(label, chunks)
        if axis is not None and axis.kind == "spatial":  # neighbours stay neighbours
            for buffer in written(get_block(s.function, partial, "chunks")):
                s.transform_layout(f"{buffer.name}{buffer.ordinal}", _last_first)
    except ScheduleError:
        s.undo(before)
        return None
    return partial


def _last_first(place: Sequence[Expr]) -> Sequence[Expr]:
    return place[-1], *place[:-1]


def _chunk(s: Schedule, label: str, target: Target) -> int | None:
    """Iterations of the outermost reduce loop that a chunk takes; None if there are to be none."""
    along = driven(s, label, "reduce")
    kept = [constant(extent(s, loop)) for loop in driven(s, label, "spatial")]
    inner = [constant(extent(s, loop)) for loop in along[1:]]
    if not along or None in kept or None in inner:
        return None
    axis = reduction_axis(s, label)
    lanes = target.lanes if axis is not None and axis.kind == "spatial" else 1
    results = prod([count for count in kept if count is not None])
    if results >= FEW * lanes:
        return None
    size = max(1, _CHUNK // max(1, results * prod([count for count in inner if count is not None])))
    most = upper_bound(extent(s, along[0]))
    return None if most is not None and most < _LEAST * size else size
