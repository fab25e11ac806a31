"""add_rfactor: long reductions with few results become partial results of chunks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import prod

from passes.ir.arith import upper_bound
from passes.schedule.schedule import Schedule
from passes.schedule.tree import get_block
from passes.search.defaults.choose import choose_whether
from passes.search.defaults.shape import constant, driven, extent, own_loops, reduces
from passes.search.space.rule import Context
from passes.search.space.rules.attempts import attempted
from passes.search.space.rules.facts import is_untouched

_FEW = 64  # results that keep threads busy enough
_SHORT = 64  # terms that are not worth cutting


@dataclass(frozen=True)
class AddRfactor:
    """Chunks of the terms go to threads; their partial results are combined at the end.

    for k in range(1000000): s[0] += x[k]
    → for c in range(32): for k in range(31250): r[c] += x[c*31250 + k]
      for c in range(32): s[0] += r[c]

    Decided: whether to, and how long chunks are. Reassociates.
    """

    worth: int = 1 << 15
    max_chunk: int = 1 << 20
    name: str = "add_rfactor"
    group: str = "rfactor"

    def apply(self, s: Schedule, label: str, context: Context) -> list[Schedule]:
        if not reduces(get_block(s.function, label, self.name)) or not is_untouched(s, label):
            return [s]
        results = prod([constant(extent(s, v)) or _FEW for v in driven(s, label, "spatial")])
        loop = driven(s, label, "reduce")[0]
        terms = upper_bound(extent(s, loop))
        if results >= _FEW or terms is None or terms < _SHORT:
            return [s]
        return attempted(s, self.name, label, partial(self._cut, label=label))

    def _cut(self, s: Schedule, label: str) -> None:
        along = driven(s, label, "reduce")
        count = constant(extent(s, along[0]))
        inner = prod([constant(extent(s, loop)) or 1 for loop in along[1:]])
        terms = (upper_bound(extent(s, along[0])) or 1) * inner
        if not choose_whether(s, f"{label}: chunks", terms >= 4 * self.worth):
            return
        fits = [d for d in range(1, self.worth + 1) if count is not None and count % d == 0]
        size = max([d for d in fits if d * inner <= self.worth], default=self.worth)
        best = (None if count is None else count // size, size)
        factors = s.sample_perfect_tile(
            along[0], 2, self.max_chunk, site=f"{label}: chunk", suggested=best
        )
        chunks, _ = s.split(along[0], factors)
        s.reorder(chunks, *[loop for loop in own_loops(s, label) if loop is not chunks])
        s.rfactor(label, chunks)
