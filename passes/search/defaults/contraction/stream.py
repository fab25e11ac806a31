"""Sums whose vector factor is large and serves few rows: it is read where it lies, block by block.

    for chunk of columns, in parallel:
        for block of k:                                  # the next one is fetched meanwhile
            for tile of columns, tile of rows:
                y[rows, columns] += the block's sum      # in registers
        epilogue

A block of k has few rows of the factor, of which each is read along: as many streams as the
hardware follows. Of panels it has a piece.
"""

from __future__ import annotations

from dataclasses import dataclass

from passes.ir.arith import upper_bound
from passes.ir.expr import Var, product
from passes.ir.loop.nodes import Scope, Store
from passes.schedule.schedule import Schedule
from passes.schedule.tree import get_block
from passes.search.defaults.contraction.nests import (
    Axis,
    Nest,
    Nests,
    by_sum,
    cut_in_sizes,
    into_registers,
    shared,
)
from passes.search.defaults.contraction.tile import falling, widths
from passes.search.defaults.shape import constant, driven, extent, own_loops, vectorize_lanes
from passes.search.defaults.target import Target

_UNROLLED = 8  # steps of a block that are written out
_LANE_BYTES = 4


@dataclass(frozen=True)
class Stream:
    """Blocks of `steps` along the last axis of k; tiles of up to `rows` × `columns`, `tiles` of
    them side by side in a chunk. Rows along the axes `apart` are done one after the other, each
    with the whole factor."""

    steps: int
    rows: int
    columns: int
    tiles: int
    apart: tuple[Axis, ...] = ()


def schedule_stream(
    s: Schedule, nests: Nests, lanes: Axis, row: Axis | None, stream: Stream, target: Target
) -> None:
    """Schedules sums and the block that ends them; all axes of the result but `lanes` are rows,
    of which `row` is tiled."""
    *sums, end = nests
    scope = _scope_of_sums(s, nests, lanes, stream, target)
    parts = [_in_blocks(s, nest, stream.steps, scope) for nest in sums]
    sizes = widths(constant(end.extent(s, lanes)), stream.columns, target.lanes)
    if stream.tiles > 1:
        sizes = [stream.columns * stream.tiles, *sizes]
    every = (*[nest for pair in parts for nest in pair], end)
    for piece, width in cut_in_sizes(s, every, lanes, sizes):
        chunk = _Chunk(s, lanes, row, stream, width, target)
        made = [chunk.sum(partial, total) for partial, total in by_sum(piece[:-1])]
        made.append(chunk.end(piece[-1]))
        for other in made[1:]:
            _merge(s, made[0], other)
        s.parallel(shared(s, made[0]))


def _scope_of_sums(s: Schedule, nests: Nests, lanes: Axis, stream: Stream, target: Target) -> Scope:
    """A thread keeps the sums of a chunk to itself, side by side, if they stay in its cache: of
    all sums, rows may lie a power of two apart, and meet in too few of its sets."""
    *sums, end = nests
    rows = [axis for axis in end.axes if axis not in (lanes, *stream.apart)]
    most = upper_bound(product([end.extent(s, axis) for axis in rows]))
    row = len(sums) * stream.tiles * stream.columns * _LANE_BYTES
    return "local" if most is not None and most * row <= target.l2_bytes // 4 else "global"


def _in_blocks(s: Schedule, nest: Nest, steps: int, scope: Scope) -> Nests:
    """The sums of each block of k, and the sum of them, kept in a scope."""
    store = get_block(s.function, nest.label, "stream").body
    assert isinstance(store, Store)
    s.set_scope(f"{store.buffer.name}{store.buffer.ordinal}", scope)
    *others, last = driven(s, nest.label, "reduce")
    outer, _ = s.split(last, steps)
    partial = s.rfactor(nest.label, outer, "register")
    spatial = tuple([axis for axis in nest.axes if not isinstance(axis, str)])
    inner = [f"step {k}" for k in range(len(others))]
    axes: tuple[Axis, ...] = (*spatial, *inner, "block", "step")
    return Nest(partial, axes, partial=True), Nest(nest.label, (*spatial, "block"))


def _merge(s: Schedule, loops: list[Var], others: list[Var]) -> None:
    """Loops nested in each other with those of a nest directly behind."""
    for one, other in zip(loops, others, strict=True):
        s.merge(one, other)


@dataclass(frozen=True)
class _Chunk:
    """The part of the result in chunks of `width` columns. Its nests have the loop over chunks and
    those over rows that are apart outermost, which each method gives."""

    s: Schedule
    lanes: Axis
    row: Axis | None
    stream: Stream
    width: int
    target: Target

    def sum(self, partial: Nest, total: Nest) -> list[Var]:
        """One sum, its tiles of rows side by side in the same loops."""
        s = self.s
        pieces: list[tuple[Nests, int]] = [((partial, total), 1)]
        if self.row is not None:
            heights = falling(constant(total.extent(s, self.row)), self.stream.rows)
            pieces = cut_in_sizes(s, (partial, total), self.row, heights)
        made = [self._tiled(part, within, height) for (part, within), height in pieces]
        first, _ = made[0]
        for other, _ in made[1:]:
            _merge(s, first, other)
        *outside, along, _ = first
        s.annotate(along, "prefetch", 1)
        for (part, within), _ in pieces:
            self._in_registers(part, within, along)
        return outside

    def end(self, nest: Nest) -> list[Var]:
        """The block that ends the sums."""
        loops = nest.loops(self.s)
        chunk, inner = self.s.split(loops.pop(self.lanes), self.width)
        outside = [chunk, *[loops.pop(axis) for axis in self.stream.apart]]
        self.s.reorder(*outside, *loops.values(), inner)
        vectorize_lanes(self.s, inner, self.target.lanes, unroll=False)
        return outside

    def _tiled(self, partial: Nest, total: Nest, height: int) -> tuple[list[Var], Var]:
        """The loops around the tiles of rows, over blocks and tiles of columns last, and the
        innermost loop around a tile."""
        s, loops = self.s, total.loops(self.s)
        along = loops.pop("block")
        chunk, columns = s.split(loops.pop(self.lanes), self.width)
        panel, *inside = s.split(columns, min(self.width, self.stream.columns))
        tiles: list[Var] = []
        if self.row is not None:
            tile, within = s.split(loops.pop(self.row), height)
            tiles, inside = [tile], [within, *inside]
        outside = [chunk, *[loops.pop(axis) for axis in self.stream.apart], along, panel]
        s.reorder(*outside, *loops.values(), *tiles, *inside)
        at = [*outside, *loops.values(), *tiles][-1]
        s.compute_at(partial.label, at)
        return outside, at

    def _in_registers(self, partial: Nest, total: Nest, along: Var) -> None:
        s, width = self.s, min(self.width, self.stream.columns)
        init = s.decompose_reduction(total.label, along)
        if width > 1:
            vectorize_lanes(s, own_loops(s, init)[-1], self.target.lanes, unroll=False)
        steps = driven(s, partial.label, "reduce")
        s.reorder(*steps, *driven(s, partial.label, "spatial"))
        start = s.decompose_reduction(partial.label, steps[0])
        for label in (start, partial.label, total.label):
            into_registers(s, label, width, self.target)
        if (constant(extent(s, steps[-1])) or 0) <= _UNROLLED:
            s.unroll(steps[-1])
