"""The vector factor copied into panels: what a tile needs of it lies in one piece.

w[k, j]  →  p[j // 48, k, j % 48]           p[j // 48, k // 4, j % 48, k % 4]   for dot products
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from passes.ir.expr import Expr, Var
from passes.ir.loop.nodes import Store
from passes.schedule.schedule import Schedule
from passes.schedule.tree import get_block
from passes.search.defaults.contraction.extents import divisor
from passes.search.defaults.contraction.nests import Axis, Nest, shared
from passes.search.defaults.contraction.roles import Roles
from passes.search.defaults.shape import constant, extent, own_loops, vectorize_lanes
from passes.search.defaults.target import Target

_NARROW, _PIECE = 8, 64


@dataclass(frozen=True)
class Panels:
    """The block that copies the whole factor into panels of `width` along its axis `lanes`, in
    them `count` neighbours along its axis `last` side by side. `turned`: neighbours along that
    axis, not along the lanes, lie side by side where they come from."""

    label: str
    lanes: int
    last: int
    width: int
    count: int
    turned: bool

    def finish(self, s: Schedule, target: Target) -> None:
        """Copies in parallel, in vectors."""
        bindings = get_block(s.function, self.label, "panels").bindings
        column, last = bindings[self.lanes], bindings[self.last]
        assert isinstance(column, Var)
        others = [loop for loop in own_loops(s, self.label) if loop is not column]
        panel, lane = s.split(column, self.width)
        word: list[Var] = []
        if self.count > 1:
            assert isinstance(last, Var)
            others.remove(last)
            outer, inner = s.split(last, self.count)
            others, word = [*others, outer], [inner]
        lanes = target.lanes
        around = [panel, *others]
        if self.turned and self.width % _NARROW == 0:
            # Rows are read side by side, all of a line while it is near: as few of them as may
            # lie a power of two apart, and a piece of them at a time.
            lanes = _NARROW
            lane, narrow = s.split(lane, lanes)
            along = others.pop()
            steps = constant(extent(s, along))
            piece, step = s.split(along, 1 if steps is None else divisor(steps, _PIECE))
            around = [panel, *others, piece]
            s.reorder(*around, lane, step, narrow, *word)
            lane = narrow
        else:
            s.reorder(*around, lane, *word)
        for loop in word:
            s.vectorize(loop)
        vectorize_lanes(s, lane, lanes)
        s.parallel(shared(s, around))


def into_panels(s: Schedule, one: Roles, width: int, count: int = 1) -> Panels:
    """Copies the vector factor before the sum; `count` neighbours along the last summed axis side
    by side."""
    label = s.reindex_cache_read(one.label, one.vector, "global")
    lanes = one.reach.index(one.lanes)
    summed = [k for k, v in enumerate(one.reach) if v in one.summed]
    kept = [k for k in range(len(one.reach)) if k != lanes and k not in summed]
    *outer, last = summed

    def layout(i: Sequence[Expr]) -> tuple[Expr, ...]:
        before = (*[i[k] for k in kept], i[lanes] // width, *[i[k] for k in outer])
        if count == 1:
            return (*before, i[last], i[lanes] % width)
        return (*before, i[last] // count, i[lanes] % width, i[last] % count)

    s.transform_layout(_buffer(s, label), layout)
    return Panels(label, lanes, last, width, count, not one.in_place and one.inner)


def beside(s: Schedule, one: Roles, lanes: Axis) -> Nest:
    """Copies the vector factor before the sum, so that it can be cut along the lanes, too, and
    then be computed panel by panel where it is used."""
    label = s.reindex_cache_read(one.label, one.vector, "local")
    last = one.reach.index(one.lanes)
    order = [k for k in range(len(one.reach)) if k != last]
    s.transform_layout(_buffer(s, label), lambda i: (*[i[k] for k in order], i[last]))
    names = [lanes if v is one.lanes else f"{v.name}{v.ordinal}" for v in one.reach]
    return Nest(label, tuple(names))


def _buffer(s: Schedule, label: str) -> str:
    store = get_block(s.function, label, "panels").body
    assert isinstance(store, Store)
    return f"{store.buffer.name}{store.buffer.ordinal}"
