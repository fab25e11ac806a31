"""Levels of loops around a tile in registers.

SSRS     for level 0: for level 1: acc = 0; for k: acc += x[tile, k] * w[k, tile]
             y[tile] = acc
SSRSRS   for level 0: for level 1: y[…] = 0
             for blocks of k: for level 2: acc = 0; for k: acc += …; y[tile] += acc
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from passes.ir.arith import free_vars
from passes.ir.expr import Var
from passes.ir.loop.nodes import Store
from passes.schedule.schedule import Schedule
from passes.schedule.tree import get_block
from passes.search.defaults.choose import choose_whether
from passes.search.defaults.contraction.dots import Dot
from passes.search.defaults.contraction.extents import Extents
from passes.search.defaults.contraction.nests import Axis, Nest, Nests, by_sum, into_registers
from passes.search.defaults.contraction.tiles import compute_sum
from passes.search.defaults.shape import constant, driven, extent, own_loops, vectorize_lanes
from passes.search.defaults.target import Target

BLOCK = "block"
"""The axis of blocks of k."""

Levels = list[dict[Axis, Var]]


def levels_of(structure: str) -> list[int]:
    """How many levels of S are before the first R, and between two groups of them; the last S is
    the tile itself. Raises ValueError for what is no structure."""
    if set(structure) != {"S", "R"} or not structure.endswith("RS") or structure[0] != "S":
        raise ValueError(f"'{structure}' is no structure of S and R that begins and ends with S")
    return [len(part) for part in structure[:-1].replace("R", " ").split()]


@dataclass(frozen=True)
class Part:
    """A part of the result whose extents are multiples of the tile's `sizes`: nests of sums and of
    the block that ends them."""

    s: Schedule
    label: str
    target: Target
    nests: Nests
    x: Extents
    sizes: dict[Axis, int]
    dot: Dot | None = None

    def run(self, levels: Sequence[int] | None, most: int, copies: Nests) -> None:
        """Schedules it with as many levels, whose sizes are decided, or, if None, one of each kind;
        computes copies of factors where the first level of columns needs them."""
        s, end = self.s, self.nests[-1]
        loops, inside = end.loops(s), list[Var]()
        for axis, size in self.sizes.items():
            loops[axis], inner = s.split(loops[axis], size)
            inside.insert(0, inner)
        outside = {axis: loops[axis] for axis in self._order(levels is not None)}
        s.reorder(*outside.values(), *inside)
        if any(BLOCK in nest.axes for nest in self.nests):
            made = [outside] if levels is None else self._cut(outside, [levels[0], 1], most)
            done = self._blocks(_innermost(made[: levels[0] if levels is not None else 1]))
        else:
            done = self._sums(self.nests[:-1], _innermost([outside]))
            made = [outside] if levels is None else self._cut(outside, levels, most)
        for label in (*done, end.label):
            into_registers(s, label, self.sizes[self.x.lanes], self.target)
        for copy in copies:
            s.compute_at(copy.label, made[0][self.x.lanes])
            self._in_vectors(own_loops(s, copy.label)[-1])

    def _order(self, asks: bool) -> list[Axis]:
        """The axes of the result in a level, outermost first."""
        rows, columns = list(self.x.every_row), [*self.x.outer, self.x.lanes]
        first = bool(rows) and asks and choose_whether(self.s, f"{self.label}: rows outside", False)
        return [*rows, *columns] if first else [*columns, *rows]

    def _cut(self, loops: dict[Axis, Var], levels: Sequence[int], most: int) -> Levels:
        """Cuts loops into levels, of sizes that are decided."""
        s, count = self.s, sum(levels)
        made: Levels = [{} for _ in range(count)]
        for axis, loop in loops.items():
            whole = constant(extent(s, loop))
            parts: Sequence[Var] = (loop,)
            if whole != 1 and count > 1:
                site, best = f"{self.label}: levels along {axis}", (whole, *[1] * (count - 1))
                factors = s.sample_perfect_tile(loop, count, most, site=site, suggested=best)
                parts = s.split(loop, factors)
            for level, part in zip(made, parts, strict=False):
                level[axis] = part
        s.reorder(*[loop for level in made for loop in level.values()])
        return made

    def _sums(self, nests: Nests, at: Var) -> list[str]:
        """Each sum at once, in registers; gives the labels whose loops are to be written out."""
        area = prod(self.sizes.values()) // self.target.lanes
        return [
            label
            for one in by_sum(nests)
            for label in compute_sum(self.s, one, at, self.dot, area, self.target)
        ]

    def _blocks(self, at: Var) -> list[str]:
        """Sums of the sums of blocks of k: a block is gone through tile by tile."""
        s, done = self.s, list[str]()
        for partial, total in by_sum(self.nests[:-1]):
            s.compute_at(total.label, at)
            loops = _axes(s, total)
            (along,) = driven(s, total.label, "reduce")
            around, inside = list[Var](), list[Var]()
            for axis, size in self.sizes.items():
                if axis in loops:
                    outer, inner = s.split(loops.pop(axis), size)
                    around.append(outer)
                    inside.insert(0, inner)
            outside = [along, *loops.values(), *around]
            s.reorder(*outside, *inside)
            done += [*self._sums((replace(partial, partial=False),), outside[-1]), total.label]
            init = s.decompose_reduction(total.label, along)
            self._in_vectors(own_loops(s, init)[-1])
        return done

    def _in_vectors(self, loop: Var) -> None:
        """A loop over whole vectors, whose number may be open."""
        width = self.sizes[self.x.lanes]
        if width % self.target.lanes:
            vectorize_lanes(self.s, loop, width, unroll=False)
        else:
            _, inner = self.s.split(loop, self.target.lanes)
            self.s.vectorize(inner)


def _innermost(levels: Levels) -> Var:
    return [loop for level in levels for loop in level.values()][-1]


def _axes(s: Schedule, nest: Nest) -> dict[Axis, Var]:
    """The block's own loops by the axes of the result along which they run."""
    block = get_block(s.function, nest.label, "levels")
    own, store = own_loops(s, nest.label), block.body
    assert isinstance(store, Store)
    bindings = {it.var: e for it, e in zip(block.iters, block.bindings, strict=True)}
    found: dict[Axis, Var] = {}
    for axis, i in enumerate(store.indices):
        used = [loop for v in free_vars(i) for loop in own if loop in free_vars(bindings[v])]
        if used:
            found[axis] = used[-1]
    return found
