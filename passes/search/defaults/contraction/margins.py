"""Sums whose windows reach into margins leave the taps out that would meet nothing but zeros.

for u in range(7): acc += padded[y*2 + u, …] * w[u, …]
→ for u in range(max(0, 3 - y*2), min(7, 227 - y*2)): …
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from passes.ir.arith import free_vars
from passes.ir.evaluate import Array, evaluate
from passes.ir.expr import Dim, Var, maximum
from passes.schedule.margins import needed
from passes.schedule.schedule import Schedule
from passes.schedule.tree import get_loop, loops_in, path_to_block
from passes.search.defaults.shape import constant, driven, extent


def trim(s: Schedule, label: str, loops: Sequence[Var]) -> None:
    """Leaves out what is known to add nothing of each loop that is not written out or cut."""
    for loop in loops:
        path = path_to_block(s.function, label, "margins")
        at = next((one for one in loops_in(path) if one.var is loop), None)
        if at is not None and at.kind == "serial" and needed(s.function, path, at) is not None:
            s.trim(label, loop)


def spared(s: Schedule, label: str) -> dict[Var, float]:
    """The share of its products that a sum in loops of its own is spared, by the loops that decide
    which those are, where the extents of these are constant."""
    path = path_to_block(s.function, label, "margins")
    found: dict[Var, float] = {}
    for loop in driven(s, label, "reduce"):
        at = get_loop(s.function, loop, "margins")
        span, steps = needed(s.function, path, at), constant(at.extent)
        if span is None or steps is None:
            continue
        first, end = span.outside()
        count = maximum(end - first, 0)
        deciding = sorted(free_vars(count), key=lambda v: v.ordinal)
        extents = [constant(extent(s, v)) for v in deciding]
        known = [n for n in extents if n is not None]
        if len(known) == len(deciding):
            places = np.indices(known, sparse=True)
            values: dict[Dim | Var, Array | int] = dict(zip(deciding, places, strict=True))
            share = 1 - float(np.mean(evaluate(count, values))) / steps
            for v in deciding:
                found[v] = found.get(v, 0) + share
    return found
