"""What tiles of a sum are made of: which factors are copied, whether sums are cut into blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from passes.fuse.panel import ROWS
from passes.schedule.schedule import Schedule
from passes.search.defaults.choose import choose, choose_whether
from passes.search.defaults.contraction.dots import Dot
from passes.search.defaults.contraction.extents import Extents, extents_of
from passes.search.defaults.contraction.nests import Nest, Nests, cut_in_sizes
from passes.search.defaults.contraction.panels import (
    Panels,
    beside,
    can_fold,
    fold_into_panels,
    into_panels,
)
from passes.search.defaults.contraction.roles import Roles
from passes.search.defaults.contraction.tile import Tile, Work, chosen_tile, falling, widths
from passes.search.defaults.shape import constant, driven, extent
from passes.search.space.rule import Context
from passes.search.space.rules.levels import BLOCK, Part, levels_of

_WHERE_THEY_LIE, _IN_PANELS, _PANEL_BY_PANEL = range(3)


@dataclass(frozen=True)
class Tiling:
    """Tiles of the sum `label`, and of those with it, by a structure of levels as
    `multi_level_tiling` describes it; sums by the instruction `dot`, if not by multiply-adds.

    `folds`: constants may lie in any order, for they will be laid out as they are read.
    """

    s: Schedule
    label: str
    context: Context
    structure: str
    folds: bool = True
    most: int = 64
    dot: Dot | None = None

    def run(self, nests: Nests, sums: Sequence[Roles]) -> None:
        """Schedules the nests, of which the last one ends the sums."""
        s, lanes = self.s, self.context.target.lanes
        x = extents_of(s, nests, sums[0])
        way = self._way(sums)
        tile = self._tile(nests, sums, x)
        if way == _WHERE_THEY_LIE:
            nests = self._read_where_they_lie(nests, sums)
        unpaired = [one for one in sums if not one.paired]
        panels, copies = list[Panels](), list[Nest]()
        if way == _IN_PANELS:
            count = 1 if self.dot is None else self.dot.count
            panels = [into_panels(s, one, tile.vectors * lanes, count) for one in unpaired]
        elif way == _PANEL_BY_PANEL:
            copies = [beside(s, one, x.lanes) for one in unpaired]
        if self._can_be_in_blocks(nests, x) and choose_whether(
            s, f"{self.label}: blocks of k", False
        ):
            parts = [part for nest in nests[:-1] for part in self._in_blocks(nest)]
            nests = (*parts, nests[-1])
        self._in_parts((*copies, *nests), len(copies), x, tile)
        for copy in panels:
            copy.finish(s, self.context.target)

    def _in_parts(self, nests: Nests, copies: int, x: Extents, tile: Tile) -> None:
        """Cuts off what whole tiles leave of rows and columns; the first part has the decisions."""
        s, target = self.s, self.context.target
        levels = levels_of(self.structure)
        sizes = widths(x.columns, tile.vectors * target.lanes, target.lanes)
        leads = True
        for piece, columns in cut_in_sizes(s, nests, x.lanes, sizes):
            parts = [(piece[copies:], 1)]
            if x.tiled is not None:
                heights = falling(x.row, tile.rows)
                parts = cut_in_sizes(s, piece[copies:], x.tiled, heights)
            first = piece[:copies] if len(parts) == 1 else ()
            for part, rows in parts:
                size = {x.lanes: columns, **({} if x.tiled is None else {x.tiled: rows})}
                made = Part(s, self.label, target, part, x, size, self.dot)
                made.run(levels if leads else None, self.most, first)
                leads = False

    def _tile(self, nests: Nests, sums: Sequence[Roles], x: Extents) -> Tile:
        target = self.context.target
        whole = self.dot is not None and self.dot.whole
        work = Work(x.row, x.columns, x.steps, len(sums), sums[0].paired, even=whole)
        if any(one.decoded for one in sums) or any(nest.partial for nest in nests):
            unit = max(1, ROWS // target.lanes)
            work = replace(work, most=4 * unit, unit=unit, even=False)
        return chosen_tile(self.s, self.label, target, work)

    # Factors

    def _way(self, sums: Sequence[Roles]) -> int:
        """How factors are read, which is decided."""
        target = self.context.target
        if all(one.in_panels for one in sums):
            return _WHERE_THEY_LIE
        folded = self._all_fold(sums)
        plain = self.dot is None and all(one.in_place for one in sums)
        ways = [_WHERE_THEY_LIE] if folded or plain else []
        if not all(one.paired for one in sums):
            ways.append(_IN_PANELS)
            if self.dot is None:
                ways.append(_PANEL_BY_PANEL)
        near = all((one.nbytes or target.l2_bytes) <= target.l2_bytes // 2 for one in sums)
        best = ways[0] if folded or near or len(ways) == 1 else _IN_PANELS
        return choose(self.s, f"{self.label}: factors", ways, best)

    def _all_fold(self, sums: Sequence[Roles]) -> bool:
        known = self.context.constants
        return self.folds and all(can_fold(self.s, one, known) for one in sums)

    def _read_where_they_lie(self, nests: Nests, sums: Sequence[Roles]) -> Nests:
        """Constants for an instruction get the order that this needs; packed numbers are decoded
        for each."""
        if self.dot is None:
            return nests
        if all(one.in_panels for one in sums):
            staged = {one.label: one.vector for one in sums if one.decoded}
            return tuple([replace(nest, staged=staged.get(nest.label)) for nest in nests])
        for one in sums:
            fold_into_panels(self.s, one, self.dot.count)
        return nests

    # Blocks of k

    def _can_be_in_blocks(self, nests: Nests, x: Extents) -> bool:
        parts = any(nest.partial for nest in nests)
        long = x.last is not None and x.last > self.most
        return long and not parts and self.dot is None and len(levels_of(self.structure)) > 1

    def _in_blocks(self, nest: Nest) -> Nests:
        """The sums of each block of k, and the sum of them."""
        s, most = self.s, 4 * self.most
        s.set_scope(s.buffers(nest.label)[0], "global")
        *others, last = driven(s, nest.label, "reduce")
        whole = constant(extent(s, last))
        assert whole is not None
        steps = max([d for d in range(1, most + 1) if whole % d == 0])
        site, best = f"{nest.label}: block of k", (whole // steps, steps)
        factors = s.sample_perfect_tile(last, 2, most, site=site, suggested=best)
        outer, _ = s.split(last, factors)
        partial = s.rfactor(nest.label, outer, "register")
        spatial = tuple([axis for axis in nest.axes if not isinstance(axis, str)])
        inside = [f"step {k}" for k in range(len(others))]
        return (
            Nest(partial, (*spatial, *inside, BLOCK, "step"), partial=True),
            Nest(nest.label, (*spatial, BLOCK)),
        )
