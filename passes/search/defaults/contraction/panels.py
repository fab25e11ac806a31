"""The vector factor in panels: what a tile needs of it lies in one piece.

w[k, j]  →  p[j // 48, k, j % 48]           p[j // 48, k // 4, j % 48, k % 4]   for dot products

It is copied there, or, if its contents are known, lies there in the package. So is the other factor
if it lies across: a tile would read another line for each step.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from passes.fuse.panel import ROWS
from passes.ir.arith import free_vars
from passes.ir.expr import Cast, Expr, Mul, Var
from passes.ir.loop.nodes import Load, Store
from passes.ir.node import postorder
from passes.schedule.combiner import combiner_of
from passes.schedule.layouts import IndexMap
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
    s.transform_layout(_buffer(s, label), _layout(one, one.reach, width, count))
    lanes, last = one.reach.index(one.lanes), one.reach.index(one.summed[-1])
    return Panels(label, lanes, last, width, count, not one.in_place and one.inner)


def _layout(one: Roles, axes: Sequence[Expr], width: int, count: int) -> IndexMap:
    """Where the elements of the vector factor lie in panels, by what its axes are indexed with."""
    lanes, last = axes.index(one.lanes), axes.index(one.summed[-1])
    others = [k for k in range(len(axes)) if k not in (lanes, last)]
    outer = [k for k in others if free_vars(axes[k]) & set(one.summed)]
    kept = [k for k in others if k not in outer]

    def layout(i: Sequence[Expr]) -> tuple[Expr, ...]:
        before = (*[i[k] for k in kept], i[lanes] // width, *[i[k] for k in outer])
        if count == 1:
            return (*before, i[last], i[lanes] % width)
        return (*before, i[last] // count, i[lanes] % width, i[last] % count)

    return layout


def can_fold(s: Schedule, one: Roles, constants: Collection[int]) -> bool:
    """Whether the vector factor is a constant parameter, used nowhere else, the lanes and the last
    summed iterator along axes of their own."""
    load = _factor(s, one)
    if one.paired or load is None or load.buffer not in s.function.params:
        return False
    every = [n for n in postorder(s.function.body) if isinstance(n, Load)]
    alone = [n for n in every if n.buffer is load.buffer] == [load]
    known = s.function.params.index(load.buffer) in constants
    along = {one.lanes, one.summed[-1]}
    apart = sum(bool(free_vars(i) & along) for i in load.indices) == len(along)
    return known and alone and apart and along <= set(load.indices)


def fold_into_panels(s: Schedule, one: Roles, count: int) -> None:
    """Lays out a constant vector factor in panels of `ROWS` columns, whatever the target, so that
    the kernels of all of them read the same weights."""
    load = _factor(s, one)
    assert load is not None
    layout = _layout(one, load.indices, ROWS, count)
    s.transform_layout(f"{load.buffer.name}{load.buffer.ordinal}", layout, 0)


def _factor(s: Schedule, one: Roles) -> Load | None:
    """The element that the vector factor is, perhaps in a wider type."""
    combiner = combiner_of(get_block(s.function, one.label, "panels"))
    assert combiner is not None and isinstance(combiner.value, Mul)
    factor = (combiner.value.a, combiner.value.b)[one.vector]
    while isinstance(factor, Cast):
        factor = factor.value
    return factor if isinstance(factor, Load) else None


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
