"""The steps of a schedule that a mapping stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from passes.ir.expr import Const, Dim, Expr, Var, index
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import Block, Buffer, Load, Store
from passes.ir.node import postorder
from passes.schedule.combiner import combiner_of
from passes.schedule.intrinsics import INTRINSICS
from passes.schedule.primitives.reindex_cache_read import factors_of, uncast
from passes.schedule.regions import row_major
from passes.schedule.schedule import Schedule
from passes.schedule.tensorization import mapping as m
from passes.schedule.tensorization.shape import Kin, readings, shape_of
from passes.schedule.tree import Refusal, ScheduleError, get_block


def apply(s: Schedule, label: str, mapping: m.Mapping) -> None:
    """Computes the block by the mapping's intrinsic.

    1. `transform_block_layout`: the iterators of a group become one
    2. `reindex`: operands that do not lie as described get buffers of their own
    3. `pad_einsum`: axes that no whole number of tiles fills are padded
    4. `transform_layout`: those buffers hold whole tiles, one after the other
    5. `split`, `reorder`, `tensorize`

    The block then has the loops of `mapping.outer` and one over the tiles of each group, spatial
    ones outermost. Raises ScheduleError, and leaves the schedule as it was, where a step does not
    apply.
    """
    count = len(s.trace)
    try:
        _Steps(s, label, mapping).run()
    except ScheduleError:
        s.undo(count)
        raise


class _Steps:
    def __init__(self, s: Schedule, label: str, mapping: m.Mapping) -> None:
        self.s, self.label, self.mapping = s, label, mapping
        place = f"block '{label}' by '{mapping.intrinsic}'"
        self.refuse = Refusal("apply", place, s.function, label)
        shape = shape_of(INTRINSICS[mapping.intrinsic], {}, self.refuse)
        used = {v for axis in mapping.axes for v in axis.group} | set(mapping.outer)
        if shape is None or used != {it.var for it in self._block().iters}:
            raise self.refuse("the mapping is of another block")
        self.shape = shape
        self.outer = list(mapping.outer)
        self.axes: dict[Kin, Var] = {}  # the iterator that a group has become

    def run(self) -> None:
        self._fuse_groups()
        operands = self.mapping.operands
        staging = {one: self._reindex(one.param) for one in operands if one.reindexed is not None}
        self._pad(staging)
        for one in operands:
            if one.reindexed is not None or one.padded:
                self._lay_out(one.param)
        self._tensorize()

    # Where things are

    def _block(self) -> Block:
        return get_block(self.s.function, self.label, "apply")

    def _tiled(self) -> list[tuple[Kin, m.Axis]]:
        """The instruction's iterators that something of the block becomes."""
        pairs = zip(self.shape.kins, self.mapping.axes, strict=True)
        return [(kin, axis) for kin, axis in pairs if axis.group]

    def _param(self, name: str) -> Buffer:
        return next(b for b in self.shape.places if b.name == name)

    def _operand(self, param: str) -> Expr:
        """What plays a parameter by now."""
        store = self._block().body
        assert isinstance(store, Store)
        (reading,) = readings(self.shape, store, self.mapping.turned)
        return reading.roles[self._param(param)]

    # Steps

    def _fuse_groups(self) -> None:
        """One iterator for each group, after those that stay outside."""
        tiled = self._tiled()
        if all(len(axis.group) == 1 for _, axis in tiled):
            self.axes = {kin: axis.group[0] for kin, axis in tiled}
            return
        extents = {it.var: it.extent for it in self._block().iters}

        def layout(iters: Sequence[Expr]) -> list[Expr]:
            at = dict(zip(extents, iters, strict=True))
            places = [at[v] for v in self.outer]
            for _, axis in tiled:
                whole = index(0)
                for var in axis.group:
                    whole = whole * extents[var] + at[var]
                places.append(whole)
            return places

        self.s.transform_block_layout(self.label, layout)
        made = [it.var for it in self._block().iters]
        self.outer, fused = made[: len(self.outer)], made[len(self.outer) :]
        self.axes = {kin: var for (kin, _), var in zip(tiled, fused, strict=True)}

    def _reindex(self, param: str) -> str:
        """Gives an operand a buffer of the block's own order; the label of the block that fills
        or empties it."""
        block, value = self._block(), self._operand(param)
        if param == self.shape.result.name:
            assert isinstance(value, Load)
            return self.s.reindex(self.label, name_of(value.buffer), "write")
        reads = [n for n in postorder(block) if isinstance(n, Load)]
        if isinstance(value, Load) and sum(n.buffer is value.buffer for n in reads) == 1:
            return self.s.reindex(self.label, name_of(value.buffer), "read")
        combiner = combiner_of(block)
        factors = [] if combiner is None else [uncast(e) for e in factors_of(combiner.value)]
        if value not in factors:
            raise self.refuse(f"{print_expr(value)} is no factor of a product that it sums up")
        return self.s.reindex_cache_read(self.label, factors.index(value), "global")

    def _pad(self, staging: Mapping[m.Operand, str]) -> None:
        """Pads the axes. The block that puts an operand in order then only feeds, or empties, the
        padded copy, and dissolves in it where it can."""
        tiles = {self.axes[kin]: _size(axis) for kin, axis in self._tiled() if _is_padded(axis)}
        if not tiles:
            return
        padding = [tiles.get(it.var, 1) for it in self._block().iters]
        copies = self.s.pad_einsum(self.label, padding)
        for operand, label in staging.items():
            if operand.padded:
                written = operand.param == self.shape.result.name
                with suppress(ScheduleError):
                    self.s.compute_inline(copies[-1] if written else label)

    def _lay_out(self, param: str) -> None:
        """Makes an operand's buffer one of whole tiles, those along reduce iterators innermost.

        Results may stay in rows if their rows may be anywhere.
        """
        value, described = self._operand(param), row_major(self._param(param))
        assert isinstance(value, Load)
        axes = [i for i in value.indices if isinstance(i, Var)]
        own = value.buffer in self.s.function.allocs and len(axes) == len(value.indices)
        digits = self._digits(param)
        rows = all(isinstance(e, Dim) for e in described[:-1]) and axes[-1:] == [digits[-1][0]]
        if not own or (rows and param == self.shape.result.name):
            return
        sizes = {self.axes[kin]: _size(axis) for kin, axis in self._tiled()}
        kinds = {it.var: it.kind for it in self._block().iters}
        order = sorted(axes, key=lambda v: (kinds[v] != "spatial", v in sizes))

        def layout(iters: Sequence[Expr]) -> list[Expr]:
            at = dict(zip(axes, iters, strict=True))
            tiles = [at[v] // sizes.get(v, 1) for v in order]
            return [*tiles, *[at[v] % above // step for v, above, step in digits]]

        self.s.transform_layout(name_of(value.buffer), layout)

    def _digits(self, param: str) -> list[tuple[Var, int, int]]:
        """What each axis of a parameter is of the block's iterators: (iterator % above) // step."""
        found: dict[Var, tuple[Var, int, int]] = {}
        for kin, axis in self._tiled():
            step = 1
            for var, extent in reversed(list(zip(kin.iters, _numbers(axis.tile), strict=True))):
                found[var] = self.axes[kin], step * extent, step
                step *= extent
        return [found[v] for v in self.shape.places[self._param(param)] if v in found]

    def _tensorize(self) -> None:
        """Splits off the tiles, and puts the instruction in the place of one."""
        block = self._block()
        loops = dict(zip([it.var for it in block.iters], block.bindings, strict=True))
        inner: list[Var] = []
        for kin, axis in self._tiled():
            if _size(axis) > 1:
                loop = loops[self.axes[kin]]
                assert isinstance(loop, Var)
                loops[self.axes[kin]], *parts = self.s.split(loop, (None, *_numbers(axis.tile)))
                inner += parts
        kinds = {it.var: it.kind for it in block.iters}
        order = sorted(
            [*self.outer, *self.axes.values()],
            key=lambda v: (kinds[v] != "spatial", v not in self.outer),
        )
        around = [e for v in order if isinstance(e := loops[v], Var)]
        self.s.reorder(*around, *inner)
        self.s.tensorize(inner[0] if inner else self.label, self.mapping.intrinsic)


def _numbers(tile: Sequence[Expr]) -> tuple[int, ...]:
    return tuple([int(e.value) for e in tile if isinstance(e, Const)])


def _size(axis: m.Axis) -> int:
    """How far the instruction goes along an axis."""
    size = 1
    for extent in _numbers(axis.tile):
        size *= extent
    return size


def _is_padded(axis: m.Axis) -> bool:
    return axis.padding is not index(0)
