"""cross_thread_reduction: the threads of a block share the terms of its rows (GPU)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from passes.ir.expr import Var
from passes.schedule.schedule import Schedule
from passes.schedule.tree import get_block
from passes.search.defaults.choose import choose
from passes.search.defaults.shape import driven, reduces
from passes.search.space.rule import Context
from passes.search.space.rules.attempts import attempted
from passes.search.space.rules.facts import is_untouched


@dataclass(frozen=True)
class CrossThreadReduction:
    """A block of the grid for each row, whose threads have partial results in shared memory.

    for i: for k: y[i] += x[i, k]
    → for i in block.x:
          for t in thread.x(64): for k: r[i, t] += x[i, k*64 + t]
          for t in range(64): y[i] += r[i, t]

    Decided: how many threads. Reassociates.
    """

    threads: tuple[int, ...] = (32, 64, 128, 256)
    name: str = "cross_thread_reduction"
    group: str = "rfactor"

    def apply(self, s: Schedule, label: str, context: Context) -> list[Schedule]:
        if not reduces(get_block(s.function, label, self.name)) or not is_untouched(s, label):
            return [s]
        if not driven(s, label, "spatial"):
            return [s]
        return attempted(s, self.name, label, partial(self._shared, label=label))

    def _shared(self, s: Schedule, label: str) -> None:
        count = choose(s, f"{label}: threads", self.threads, self.threads[0])
        along = driven(s, label, "reduce")
        s.reorder(*driven(s, label, "spatial"), *along)
        steps, thread = s.split(along[-1], count)
        s.reorder(*along[:-1], steps, thread)
        partial_sums = s.rfactor(label, thread, "shared")
        lane = get_block(s.function, partial_sums, self.name).bindings[-1]
        assert isinstance(lane, Var)
        outer = [loop for loop in driven(s, partial_sums, "spatial") if loop is not lane]
        s.reorder(*outer, lane, *driven(s, partial_sums, "reduce"))
        for mine, other in zip(outer, driven(s, label, "spatial"), strict=True):
            s.merge(mine, other)
        s.bind(lane, "thread.x")
        s.bind(s.fuse(*outer), "block.x")
