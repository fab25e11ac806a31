"""random_compute_location: a temporary is computed where its readers need it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from passes.ir.arith import free_vars
from passes.ir.expr import Var
from passes.ir.loop.nodes import Load
from passes.ir.node import postorder
from passes.schedule.locations import locations, place_of
from passes.schedule.sampling import ROOT
from passes.schedule.schedule import Schedule
from passes.schedule.tree import get_block, written
from passes.search.defaults.shape import own_loops
from passes.search.space.rule import Context
from passes.search.space.rules.attempts import attempted
from passes.search.space.rules.facts import is_untouched, readers


@dataclass(frozen=True)
class RandomComputeLocation:
    """Where a block is computed that all have left alone so far: at a loop around its readers, or
    where it is.

    for i: for k: m[i] = max(m[i], x[i, k])        for i: for k: m[i] = max(m[i], x[i, k])
    for i: for k: y[i, k] = x[i, k] - m[i]     →          for k: y[i, k] = x[i, k] - m[i]

    Suggested: the innermost loop but for that of the lanes at which nothing is computed twice.
    """

    name: str = "random_compute_location"
    group: str = "location"

    def apply(self, s: Schedule, label: str, context: Context) -> list[Schedule]:
        block = get_block(s.function, label, self.name)
        if not readers(s, block) or not is_untouched(s, label):
            return [s]
        possible = locations(s.function, label)
        if not any(number >= 0 for number in possible):
            return [s]
        return attempted(s, self.name, label, partial(_placed, label=label))


def _placed(s: Schedule, label: str) -> None:
    found = locations(s.function, label)
    once = [n for n in found if n >= 0 and _is_computed_once(s, label, n)]
    best = once[-1] if once else ROOT
    where = s.sample_compute_location(label, site=f"{label}: location", suggested=best)
    s.place(label, where)


def _is_computed_once(s: Schedule, label: str, number: int) -> bool:
    """Whether iterations of the loop, and of those around it, need other elements each; and a loop
    is left inside for lanes."""
    block = get_block(s.function, label, "location")
    at = place_of(s.function, label, number)
    for reader in readers(s, block):
        around = s.loops(reader.label)
        assert isinstance(at, Var)
        outside, inside = around[: around.index(at) + 1], around[around.index(at) + 1 :]
        if not inside and at in own_loops(s, reader.label):
            return False
        bindings = {it.var: e for it, e in zip(reader.iters, reader.bindings, strict=True)}
        loads = [n for n in postorder(reader.body) if isinstance(n, Load)]
        for load in (n for n in loads if n.buffer in written(block)):
            used = {v for i in load.indices for it in free_vars(i) if it in bindings
                    for v in free_vars(bindings[it])}  # fmt: skip
            if not used >= set(outside):
                return False
    return True
