"""wide_vector: reductions whose results lie side by side, whole rows of them in vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from passes.schedule.schedule import Schedule
from passes.schedule.tree import get_block
from passes.search.defaults.choose import choose
from passes.search.defaults.lanes import reduction_axis, vectorize_columns
from passes.search.defaults.shape import attempt, constant, driven, extent, reduces
from passes.search.defaults.target import Target
from passes.search.space.rule import Context
from passes.search.space.rules.attempts import attempted
from passes.search.space.rules.facts import is_in_lanes, kind


@dataclass(frozen=True)
class WideVector:
    """Vectors of results, in registers while they are reduced; how many of them is decided.

    for i: for j: for k: y[i, j] += x[i, k, j]
    → for i: for j_o: acc = 0; for k: acc += x[i, k, j_o*64 + lanes]; y[i, j_o*64 + lanes] = acc

    Short loops that are reduced, as those of a window, are written out.
    """

    vectors: tuple[int, ...] = (1, 2, 4, 8)
    written_out: int = 16
    name: str = "wide_vector"
    group: str = "vector"

    def apply(self, s: Schedule, label: str, context: Context) -> list[Schedule]:
        if not reduces(get_block(s.function, label, self.name)) or is_in_lanes(s, label):
            return [s]
        axis = reduction_axis(s, label)
        if axis is None or axis.kind != "spatial":
            return [s]
        steps = partial(self._in_vectors, label=label, target=context.target)
        return attempted(s, self.name, label, steps)

    def _in_vectors(self, s: Schedule, label: str, target: Target) -> None:
        axis = reduction_axis(s, label)
        assert axis is not None
        count = constant(extent(s, axis.loop))
        few = [n for n in self.vectors if n < target.vector_registers]
        fitting = [n for n in few if count is None or n == 1 or n * target.lanes <= count]
        vectors = choose(s, f"{label}: vectors", fitting, 1)
        wide = replace(target, vector_bits=target.vector_bits * vectors)
        vectorize_columns(s, label, axis.loop, wide)
        copies = vectors
        for loop in reversed(driven(s, label, "reduce")):
            copies *= constant(extent(s, loop)) or self.written_out + 1
            if kind(s, loop) != "serial" or copies > self.written_out:
                break
            attempt(s, partial(s.unroll, loop))
