"""multi_level_tiling: sums of products in tiles of tiles, the smallest ones in registers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from passes.schedule.schedule import Schedule
from passes.search.defaults.choose import choose_whether
from passes.search.defaults.contraction import group_of
from passes.search.defaults.contraction.extents import Extents, extents_of
from passes.search.defaults.shape import blocks
from passes.search.space.rule import Context
from passes.search.space.rules.attempts import attempted
from passes.search.space.rules.facts import is_untouched
from passes.search.space.rules.tiling import Tiling

_FEW_ROWS = 4


@dataclass(frozen=True)
class MultiLevelTiling:
    """Sums of products, and the map that ends them, cut by a structure: a letter for each level of
    loops, outermost first, S for the axes of the result and R for those that are summed. The last
    S is the tile in registers.

    SSRS     for tiles of tiles: for tiles: acc = 0; for k: acc += x[tile, k] * w[k, tile]
             y[tile] = acc
    SSRSRS   for tiles of tiles: for tiles: for blocks of k: for tiles in them: acc = 0; …; y += acc

    Decided: the tile in registers; how factors are read (where they lie, or copied into panels, all
    before or each where it is needed); whether sums are made of blocks, whether the map is computed
    with its tile, the order of axes in a level, and the sizes of the levels, which are numbers that
    may stay open. `folds`: constants will be laid out as they are read.
    """

    structure: str = "SSRSRS"
    folds: bool = True
    name: str = "multi_level_tiling"
    group: str = "tiling"

    def apply(self, s: Schedule, label: str, context: Context) -> list[Schedule]:
        if not is_untouched(s, label):
            return [s]
        steps = partial(self._tiled, label=label, context=context)
        return attempted(s, self.name, label, steps)

    def _tiled(self, s: Schedule, label: str, context: Context) -> None:
        trial = s.at(len(s.trace))
        found = group_of(trial, label)
        if found is None or not self._is_worth(s, label, extents_of(trial, found[0], found[1][0])):
            return
        ends = found[0][-1].label in {block.label for block in blocks(s)}
        together = not ends or choose_whether(s, f"{label}: ended in its tile", True)
        group = group_of(s, label, together)
        assert group is not None
        Tiling(s, label, context, self.structure, self.folds).run(*group)

    def _is_worth(self, s: Schedule, label: str, x: Extents) -> bool:
        """Of few results along both axes, lanes along what is summed may be better."""
        few = x.rows is not None and x.rows <= _FEW_ROWS
        return not few or choose_whether(s, f"{label}: tiled", True)
