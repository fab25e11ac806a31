"""Sums of products of factors that both lie along the summed axis, for few rows: lanes run along
that axis, and are summed at the end.

    for tile of rows and columns, in parallel:
        acc = 0                                       # rows x columns vectors, in registers
        for k in steps of a vector: acc += x[rows, k…] * w[columns, k…]
        y[rows, columns] = sum of the lanes of acc
        epilogue
"""

from __future__ import annotations

from passes.ir.expr import Var
from passes.schedule.schedule import Schedule
from passes.search.defaults.contraction.dots import Dot
from passes.search.defaults.contraction.nests import Axis, Nests, cut_in_sizes, shared
from passes.search.defaults.contraction.tile import falling
from passes.search.defaults.shape import constant, driven, own_loops
from passes.search.defaults.target import Target


def schedule_inner(
    s: Schedule, nests: Nests, axes: tuple[Axis, ...], tile: dict[Axis, int], dot: Dot | None,
    target: Target,
) -> None:  # fmt: skip
    """Schedules sums and the block that ends them, the loops over tiles by the axes in order,
    some of them in tiles of so many."""
    parts = [(nests, dict[Axis, int]())]
    for axis, size in tile.items():
        whole = constant(nests[-1].extent(s, axis))
        cut = [(cut_in_sizes(s, part, axis, falling(whole, size)), done) for part, done in parts]
        parts = [(one, {**done, axis: n}) for pieces, done in cut for one, n in pieces]
    for part, sizes in parts:
        _part(s, part, axes, sizes, dot, target)


def _part(
    s: Schedule, nests: Nests, axes: tuple[Axis, ...], sizes: dict[Axis, int], dot: Dot | None,
    target: Target,
) -> None:  # fmt: skip
    *sums, end = nests
    loops = end.loops(s)
    inside: list[Var] = []
    for axis, size in sizes.items():
        loops[axis], inner = s.split(loops[axis], size)
        inside.append(inner)
    outside = [loops[axis] for axis in axes]
    s.reorder(*outside, *inside)
    at = shared(s, outside)
    innermost = s.loops(end.label)[-len(inside) - 1]
    for nest in sums:
        s.compute_at(nest.label, innermost)
        _sum(s, nest.label, dot, target)
    for loop in inside:
        s.unroll(loop)
    s.parallel(at)


def _sum(s: Schedule, label: str, dot: Dot | None, target: Target) -> None:
    """One sum of a tile, over the lanes of its partial sums."""
    last = driven(s, label, "reduce")[-1]
    count = 1 if dot is None else dot.count
    _, lane = s.split(last, target.lanes * count)
    word: list[Var] = []
    if dot is not None:
        lane, *word = s.split(lane, count)
    partial = s.rfactor(label, lane, "register")
    along = driven(s, partial, "reduce")
    kept = driven(s, partial, "spatial")
    s.reorder(*[loop for loop in along if loop not in word], *kept, *word)
    init = s.decompose_reduction(partial, along[0])
    if dot is not None:
        s.tensorize(word[0], dot.name)
    *tile, vector = own_loops(s, label)
    s.decompose_reduction(label, vector)
    s.vectorize(vector)
    for loop in tile:
        s.unroll(loop)
    for one in (init, partial):
        *tile, vector = [loop for loop in own_loops(s, one) if loop not in along]
        s.vectorize(vector)
        for loop in tile:
            s.unroll(loop)
