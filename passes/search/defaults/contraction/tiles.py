"""Sums of products tiled over registers, each over all of k at once.

    for panel of columns, tile of rows, in parallel:
        acc = 0                                   # rows x columns, in registers
        for k: acc += x[rows, k] * w[k, columns]
        epilogue

Columns that are left are done by smaller tiles, in nests of their own; so are rows, of which those
left of a number that is not known share one loop over the panels. Where sums are made of parts,
these are tiled in the same way inside one step of the sum.
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
    Nest,
    Nests,
    by_sum,
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
    """The loops over tiles, by the axes of the result, outermost first: `axes`, whose leading ones
    threads share, and inside them `serial`. Which axes are cut into rows and lanes; how many rows,
    if not all, an iteration of the parallel loop takes; the instruction that does the sums, if not
    multiply-adds.
    """

    axes: tuple[Axis, ...]
    row: Axis | None
    lanes: Axis
    serial: tuple[Axis, ...] = ()
    block: int | None = None
    dot: Dot | None = None


def schedule_tiles(
    s: Schedule, nests: Nests, copies: int, order: Order, tile: Tile, target: Target
) -> None:
    """Schedules nests: as many `copies` of vector factors, sums, the block that ends them.

    A factor is copied panel by panel, for the rows of a block, or for all where rows are serial.
    Rows are a multiple of a block.
    """
    columns = constant(nests[-1].extent(s, order.lanes))
    sizes = widths(columns, tile.vectors * target.lanes, target.lanes)
    for piece, width in cut_in_sizes(s, nests, order.lanes, sizes):
        copied = piece[:copies]
        for how, parts in _by_rows(s, piece[copies:], order, tile.rows):
            made = [_tile(s, part, how, (n, width), bool(copied), target) for part, n in parts]
            for other in made[1:]:
                s.merge(made[0], other)
            for nest in copied:
                s.compute_at(nest.label, made[0])
                vectorize_lanes(s, own_loops(s, nest.label)[-1], target.lanes)
            s.parallel(made[0])


def _by_rows(
    s: Schedule, nests: Nests, order: Order, rows: int
) -> list[tuple[Order, list[tuple[Nests, int]]]]:
    """The parts of the nests, each with the rows of a tile, and the order of those that share one
    loop over the panels: all, or, where threads share tiles of rows, those that have fewer."""
    if order.row is None or order.block is not None:
        return [(order, [(nests, rows)])]
    heights = falling(constant(nests[-1].extent(s, order.row)), rows)
    first, *rest = cut_in_sizes(s, nests, order.row, heights)
    if order.row not in order.axes or not rest:
        return [(order, [first, *rest])]
    around = tuple([axis for axis in order.axes if axis != order.row])
    return [(order, [first]), (replace(order, axes=around, serial=(order.row,)), rest)]


def _tile(
    s: Schedule, nests: Nests, order: Order, size: tuple[int, int], fuse_all: bool, target: Target
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
        inside = [row, *inside]
    tiles += [loops[axis] for axis in order.serial]
    outside = [loops[axis] for axis in order.axes]
    s.reorder(*outside, *tiles, *inside)
    fused, at = _fused(s, end.label, outside, fuse_all)
    at = tiles[-1] if tiles else at
    done = [end.label]
    for one in by_sum(nests[:-1]):
        done += _sum(s, one, at, order.dot, prod(size) // target.lanes, target)
    for label in done:
        into_registers(s, label, size[1], target)
    return fused


def _sum(
    s: Schedule, nests: Nests, at: Var, dot: Dot | None, tile: int, target: Target
) -> list[str]:
    """Computes a sum at a loop, the parts it is of in each step; gives the labels whose loops are
    still to be written out."""
    *parts, nest = nests
    s.compute_at(nest.label, at)
    if dot is not None and not parts:
        return _dots(s, nest, dot, tile, target)
    summed = driven(s, nest.label, "reduce")
    s.reorder(*summed, *driven(s, nest.label, "spatial"))
    done = [s.decompose_reduction(nest.label, summed[0]), nest.label]
    if parts:
        return done + _sum(s, tuple(parts), summed[-1], dot, tile, target)
    _unroll_summed(s, summed, tile)
    return done


def _dots(s: Schedule, nest: Nest, dot: Dot, area: int, target: Target) -> list[str]:
    """Sums by an instruction; gives the labels whose loops are still to be written out."""
    label = nest.label
    *outer, last = driven(s, label, "reduce")
    tile = driven(s, label, "spatial")
    staged = [] if nest.staged is None else [s.reindex_cache_read(label, nest.staged, "register")]
    steps, word = s.split(last, dot.count)
    if dot.whole:
        s.reorder(*outer, *tile, steps, word)
        init = s.decompose_reduction(label, [*outer, *tile, steps][0])
        s.tensorize([*tile, steps][0], dot.name)
        return [init]
    s.reorder(*outer, steps, *tile, word)
    init = s.decompose_reduction(label, [*outer, steps][0])
    for read in staged:
        s.compute_at(read, steps)
        *columns, number = own_loops(s, read)
        s.vectorize(number)
        for column in columns:
            vectorize_lanes(s, column, target.lanes)
    s.tensorize(word, dot.name)
    _unroll_summed(s, [*outer, steps], area)
    return [init, label]


def _fused(s: Schedule, label: str, loops: Sequence[Var], fuse_all: bool) -> tuple[Var, Var]:
    """The leading loops as one, as many as give each thread its share; it and the innermost."""
    count, shares = 0, 1
    while count < len(loops) and (shares < _SHARES or fuse_all):
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
