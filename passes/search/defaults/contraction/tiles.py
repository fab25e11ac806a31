"""Sums of products tiled over registers, each over all of k at once.

    for panel of columns, tile of rows, in parallel:
        acc = 0                                   # rows x columns, in registers
        for k: acc += x[rows, k] * w[k, columns]
        epilogue

Columns that are left are done by smaller tiles, in nests of their own; so are rows, of which those
left of a number that is not known share one loop over the panels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from passes.ir.expr import Var
from passes.schedule.schedule import Schedule
from passes.search.defaults.contraction.dots import Dot
from passes.search.defaults.contraction.nests import (
    Axis,
    Nests,
    cut_in_sizes,
    into_registers,
    shared,
)
from passes.search.defaults.contraction.tile import Tile, falling, widths
from passes.search.defaults.shape import constant, driven, extent, own_loops, vectorize_lanes
from passes.search.defaults.target import Target

_WRITTEN_OUT = 256  # multiply-adds of a tile whose summed loops are unrolled, at most
_TAPS = 8  # steps of a summed loop that is unrolled, at most
_SHARES = 256  # iterations of a parallel loop that keep any number of threads busy


@dataclass(frozen=True)
class Order:
    """The loops over tiles, by the axes of the result, outermost first, without that of the rows if
    they are done one after the other; which axes are cut into rows and lanes; how many rows, if
    not all, an iteration of the parallel loop takes; the instruction that does the sums, if not
    multiply-adds.
    """

    axes: tuple[Axis, ...]
    row: Axis | None
    lanes: Axis
    block: int | None = None
    dot: Dot | None = None


def schedule_tiles(
    s: Schedule, nests: Nests, copies: int, order: Order, tile: Tile, target: Target
) -> None:
    """Schedules nests: as many `copies` of vector factors, sums, the block that ends them.

    A factor is copied panel by panel, for the rows of a block. Rows are a multiple of these.
    """
    end = nests[-1]
    columns = constant(end.extent(s, order.lanes))
    sizes = widths(columns, tile.vectors * target.lanes, target.lanes)
    for piece, width in cut_in_sizes(s, nests, order.lanes, sizes):
        if order.row is None or order.block is not None:
            s.parallel(_tile(s, piece, copies, order, (tile.rows, width), target))
            continue
        heights = falling(constant(piece[-1].extent(s, order.row)), tile.rows)
        (whole, height), *left = cut_in_sizes(s, piece, order.row, heights)
        s.parallel(_tile(s, whole, copies, order, (height, width), target))
        around = tuple([axis for axis in order.axes if axis != order.row])
        last = replace(order, axes=around)
        made = [_tile(s, part, copies, last, (height, width), target) for part, height in left]
        for other in made[1:]:
            s.merge(made[0], other)
        for loop in made[:1]:
            s.parallel(loop)


def _tile(
    s: Schedule, nests: Nests, copies: int, order: Order, size: tuple[int, int], target: Target
) -> Var:
    """One part, whose extents are multiples of the tile's `size`; gives the loop to be made
    parallel."""
    end = nests[-1]
    loops = end.loops(s)
    loops[order.lanes], *inside = s.split(loops[order.lanes], size[1])
    tiles: list[Var] = []
    if order.row is not None:
        if order.block is not None:
            loops[order.row], within = s.split(loops[order.row], order.block)
            within, row = s.split(within, size[0])
            tiles = [within]
        else:
            loops[order.row], row = s.split(loops[order.row], size[0])
            tiles = [] if order.row in order.axes else [loops[order.row]]
        inside = [row, *inside]
    outside = [loops[axis] for axis in order.axes]
    s.reorder(*outside, *tiles, *inside)
    fused, at = _fused(s, end.label, outside, all_of_them=bool(copies))
    at = tiles[0] if tiles else at
    done = [end.label]
    for nest in nests[copies:-1]:
        s.compute_at(nest.label, at)
        if order.dot is None:
            summed = driven(s, nest.label, "reduce")
            s.reorder(*summed, *driven(s, nest.label, "spatial"))
            done += [s.decompose_reduction(nest.label, summed[0]), nest.label]
            _unroll_summed(s, summed, prod(size) // target.lanes)
        else:
            done += _dots(s, nest.label, order.dot)
    for nest in nests[:copies]:
        s.compute_at(nest.label, fused)
    for label in done:
        into_registers(s, label, at, size[1], target)
    for nest in nests[:copies]:
        vectorize_lanes(s, own_loops(s, nest.label)[-1], target.lanes)
    return fused


def _dots(s: Schedule, label: str, dot: Dot) -> list[str]:
    """Sums by an instruction; gives the labels whose loops are still to be written out."""
    *outer, last = driven(s, label, "reduce")
    tile = driven(s, label, "spatial")
    steps, word = s.split(last, dot.count)
    if not dot.whole:
        s.reorder(*outer, steps, *tile, word)
        init = s.decompose_reduction(label, [*outer, steps][0])
        s.tensorize(word, dot.name)
        return [init, label]
    s.reorder(*outer, *tile, steps, word)
    init = s.decompose_reduction(label, [*outer, *tile, steps][0])
    s.tensorize([*tile, steps][0], dot.name)
    return [init]


def _fused(s: Schedule, label: str, loops: Sequence[Var], all_of_them: bool) -> tuple[Var, Var]:
    """The leading loops as one, as many as give each thread its share; it and the innermost."""
    count, shares = 0, 1
    while count < len(loops) and (shares < _SHARES or all_of_them):
        shares *= constant(extent(s, loops[count])) or 1
        count += 1
    whole = shared(s, loops[:count])
    inside = [loop for loop in loops if loop in s.loops(label)]
    return whole, inside[-1] if inside else whole


def _unroll_summed(s: Schedule, loops: Sequence[Var], tile: int) -> None:
    """Writes out short sums: the innermost loops, as long as the code stays small."""
    for loop in reversed(loops):
        steps = constant(extent(s, loop))
        if steps is None or steps > _TAPS or tile * steps > _WRITTEN_OUT:
            break
        tile *= steps
        s.unroll(loop)
