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

from passes.ir.expr import Dim, Var
from passes.schedule.decisions import Decision
from passes.schedule.schedule import Schedule
from passes.search.defaults.choose import choose
from passes.search.defaults.contraction.dots import Dot
from passes.search.defaults.contraction.margins import trim
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
_MOST_WRITTEN_OUT = 1024  # what may be tried all the same
_TAPS = 8  # steps of a summed loop that is unrolled, at most
_SHARES = 256  # iterations of a parallel loop that keep any number of threads busy
_MOST_TOGETHER = 64  # tiles of a number that is not known which a thread takes at a time

Shares = dict[Axis, tuple[Decision | Dim | None, ...]]


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
            shares: Shares = {}
            made = [
                _tile(s, part, how, (n, width), shares, bool(copied), target) for part, n in parts
            ]
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
    s: Schedule,
    nests: Nests,
    order: Order,
    size: tuple[int, int],
    shares: Shares,
    fuse_all: bool,
    target: Target,
) -> Var:
    """One part, whose extents are multiples of the tile's `size`; gives the loop to be made
    parallel. Parts in one such loop have the same `shares`."""
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
    cut = (order.lanes,) if order.row is None or order.block else (order.row, order.lanes)
    shared_out = [axis for axis in order.axes if axis in cut]
    together = [_together(s, end.label, loops, axis, shares) for axis in shared_out]
    tiles = [*[loop for loop in together if loop is not None], *tiles]
    outside = [loops[axis] for axis in order.axes]
    s.reorder(*outside, *tiles, *inside)
    fused, at = _fused(s, end.label, outside, fuse_all)
    at = tiles[-1] if tiles else at
    done = [end.label]
    for one in by_sum(nests[:-1]):
        done += compute_sum(s, one, at, order.dot, prod(size) // target.lanes, target)
    for label in done:
        into_registers(s, label, size[1], target)
    return fused


def _together(
    s: Schedule, label: str, loops: dict[Axis, Var], axis: Axis, shares: Shares
) -> Var | None:
    """Cuts the loop over tiles along an axis: how many of them an iteration of the parallel loop
    takes is decided; suggested is one. Gives the loop over these, None for one."""
    loop = loops[axis]
    whole = constant(extent(s, loop))
    if whole in (0, 1):
        return None
    if axis not in shares:
        most, alone = whole or _MOST_TOGETHER, (whole, 1)
        site = f"{label}: together along {axis}"
        shares[axis] = s.sample_perfect_tile(loop, 2, most, site=site, suggested=alone)
    inner = shares[axis][1]
    assert inner is not None
    if isinstance(inner, int) and inner == 1:
        return None
    loops[axis], together = s.split(loop, inner)
    return together


def compute_sum(
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
        return done + compute_sum(s, tuple(parts), summed[-1], dot, tile, target)
    _unroll_summed(s, nest.label, summed, tile)
    trim(s, nest.label, summed)
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
        trim(s, label, outer)
        s.tensorize([*tile, steps][0], dot.name)
        return [init]
    s.reorder(*outer, steps, *tile, word)
    init = s.decompose_reduction(label, [*outer, steps][0])
    count = constant(extent(s, steps))
    if count is None or count > _TAPS:  # else the outer loops may be written out, too
        trim(s, label, outer)
    for read in staged:
        s.compute_at(read, steps)
        *columns, number = own_loops(s, read)
        s.vectorize(number)
        for column in columns:
            vectorize_lanes(s, column, target.lanes)
    s.tensorize(word, dot.name)
    _unroll_summed(s, label, [*outer, steps], area)
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


def _unroll_summed(s: Schedule, label: str, loops: Sequence[Var], tile: int) -> None:
    """Writes out short sums: the innermost loops, suggested as long as the code stays small; or a
    few steps of a long one."""
    best, most, size = 0, 0, tile
    for loop in reversed(loops):
        steps = constant(extent(s, loop))
        if steps is None or steps > _TAPS or size * steps > _MOST_WRITTEN_OUT:
            break
        size *= steps
        most += 1
        best = most if size <= _WRITTEN_OUT else best
    count = choose(s, f"{label}: unroll", range(most + 1), best)
    for loop in list(reversed(loops))[:count]:
        tile *= constant(extent(s, loop)) or 1
        s.unroll(loop)
    if count == len(loops):
        return
    steps = constant(extent(s, loops[-1 - count])) or 1
    few = [n for n in (1, 2, 4, 8) if steps % n == 0 and tile * n <= _MOST_WRITTEN_OUT]
    at_once = choose(s, f"{label}: steps", few, 1)
    if at_once > 1:
        _, inner = s.split(loops[-1 - count], at_once)
        s.unroll(inner)
