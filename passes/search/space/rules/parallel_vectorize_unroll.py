"""parallel_vectorize_unroll: loops to threads, neighbours to lanes, short loops written out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile

from passes.ir.expr import Var
from passes.ir.loop.nodes import For
from passes.ir.node import postorder
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError, blocks_in, get_block, mentions
from passes.search.defaults.choose import choose
from passes.search.defaults.lanes import reduce_in_lanes, vectorize_axis
from passes.search.defaults.private import touched_bytes
from passes.search.defaults.shape import (
    attempt,
    constant,
    extent,
    is_map,
    is_row,
    own_loops,
    reduces,
)
from passes.search.defaults.target import Target
from passes.search.space.rule import Context
from passes.search.space.rules.attempts import attempted
from passes.search.space.rules.facts import is_in_lanes, kind, nest_loops, nest_of

_ENOUGH = 64  # iterations of a parallel loop that keep any number of threads busy


@dataclass(frozen=True)
class ParallelVectorizeUnroll:
    """A nest under loops that run in parallel, what other rules left scalar in it in lanes.

    for i: for j: y[i, j] = …
    → for i in parallel: for j_o in unrolled(2): for j_i in vectorized(16): y[i, j_o*16 + j_i] = …

    Decided: lanes of a block (some vectors' worth of them), how much code of it is written out, how
    many of the outer loops are shared by threads as one. It takes a nest at its last block.
    """

    unroll_steps: tuple[int, ...] = (1, 4, 16, 64)
    vectors: tuple[int, ...] = (1, 2, 4)
    name: str = "parallel_vectorize_unroll"
    group: str = "parallel"

    def apply(self, s: Schedule, label: str, context: Context) -> list[Schedule]:
        nest = nest_of(s, label)
        found = blocks_in(nest)
        if not isinstance(nest, For) or found[-1].label != label or _is_parallel(nest):
            return [s]
        for block in found:
            if not is_in_lanes(s, block.label):
                steps = partial(self._in_lanes, label=block.label, target=context.target)
                attempted(s, self.name, block.label, steps)
        _keep_private(s, label, context.target)
        attempted(s, self.name, label, partial(self._in_parallel, label=label))
        return [s]

    def _in_lanes(self, s: Schedule, label: str, target: Target) -> None:
        block, own = get_block(s.function, label, self.name), own_loops(s, label)
        if not own:
            return
        if is_map(block):
            count = choose(s, f"{label}: vectors", self.vectors, 1)
            wide = replace(target, vector_bits=target.vector_bits * count)
            shared = any(loop not in own for loop in s.loops(label))
            vectorize_axis(s, own[-1], wide, unroll=False)
            steps = choose(s, f"{label}: unrolled", self.unroll_steps, self.unroll_steps[1])
            _unroll(s, label, steps, 0 if shared else 1)
        elif reduces(block):
            reduce_in_lanes(s, label, target)

    def _in_parallel(self, s: Schedule, label: str) -> None:
        nest = nest_of(s, label)
        loops = [loop.var for loop in nest_loops(nest) if loop.kind == "serial"]
        if len(blocks_in(nest)) > 1:
            loops = list(takewhile(lambda loop: is_row(s, loop), loops))
        most = _fused(s.at(len(s.trace)), loops)
        best = _enough(s, loops[:most])
        _fused(s, loops[: choose(s, f"{label}: parallel", range(most + 1), best)])


def _is_parallel(nest: For) -> bool:
    return any(isinstance(node, For) and node.kind == "parallel" for node in postorder(nest))


def _fused(s: Schedule, loops: Sequence[Var]) -> int:
    """Makes the leading loops one parallel one; gives how many may be."""
    whole: Var | None = None
    for number, loop in enumerate(loops):
        before = len(s.trace)
        try:
            s.parallel(loop)
            whole = loop if whole is None else s.fuse(whole, loop)
        except ScheduleError:
            s.undo(before)
            return number
    return len(loops)


def _enough(s: Schedule, loops: Sequence[Var]) -> int:
    """How many of them have iterations enough for threads, if their number is known."""
    shares = 1
    for number, loop in enumerate(loops, 1):
        shares *= constant(extent(s, loop)) or 1
        if shares >= _ENOUGH:
            return number
    return len(loops)


def _unroll(s: Schedule, label: str, most: int, kept: int) -> None:
    """Writes out the innermost serial loops that the block has alone, up to so many copies of it;
    the first `kept` of them stay loops for threads."""
    own = [loop for loop in own_loops(s, label) if kind(s, loop) == "serial"][kept:]
    copies = 1
    for loop in reversed(own):
        copies *= constant(extent(s, loop)) or most + 1
        if copies > most or not attempt(s, partial(s.unroll, loop)):
            return


def _keep_private(s: Schedule, label: str, target: Target) -> None:
    """Temporaries that only this nest uses are local to a thread while there is room for what an
    iteration of its loops over rows touches of them."""
    nest = nest_of(s, label)
    around = list(takewhile(lambda v: is_row(s, v), [loop.var for loop in nest_loops(nest)]))
    room = target.private_bytes
    for buffer in s.function.allocs:
        inside = len(mentions(nest, buffer))
        if buffer.scope != "global" or not inside or not around:
            continue
        if inside < len(mentions(s.function.body, buffer)):
            continue
        size = touched_bytes(s, buffer, around)
        name = f"{buffer.name}{buffer.ordinal}"
        if size is not None and size <= room and attempt(s, partial(s.set_scope, name, "local")):
            room -= size
