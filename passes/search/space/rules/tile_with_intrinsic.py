"""tile_with_intrinsic: what an instruction of the target computes is left to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from passes.schedule.schedule import Schedule
from passes.schedule.tensorization.apply import apply
from passes.schedule.tensorization.candidates import candidates
from passes.schedule.tensorization.mapping import Mapping
from passes.schedule.tree import get_block
from passes.search.defaults.contraction import group_of
from passes.search.defaults.contraction.dots import Dot, dot_of
from passes.search.defaults.contraction.extents import extents_of
from passes.search.defaults.contraction.panels import can_fold
from passes.search.defaults.shape import reduces
from passes.search.defaults.target import Target
from passes.search.space.rule import Context
from passes.search.space.rules.attempts import attempted
from passes.search.space.rules.facts import is_untouched
from passes.search.space.rules.tiling import Tiling


@dataclass(frozen=True)
class TileWithIntrinsic:
    """A sum by one of the instructions that fit, or by none, which is a decision.

    Instructions that sum a few small numbers in each lane do so in tiles of registers, as
    `multi_level_tiling` makes them. Others, and operands that lie in any other way, go through
    automatic tensorization: the best mapping to each of the intrinsics of the target.

    acc[i, j] += i32(x[i, k]) * i32(w[k, j])   →   acc[i, j] = dot4(acc[i, j], x[i, 4*k…], p[…])
    """

    structure: str = "SSRSRS"
    most_mappings: int = 4
    name: str = "tile_with_intrinsic"
    group: str = "intrinsic"

    def apply(self, s: Schedule, label: str, context: Context) -> list[Schedule]:
        if not is_untouched(s, label) or not reduces(get_block(s.function, label, self.name)):
            return [s]
        ways: list[Dot | Mapping] = [
            *_dots(s, label, context),
            *self._mappings(s, label, context.target),
        ]
        if not ways:
            return [s]
        steps = partial(self._by, label=label, ways=ways, context=context)
        return attempted(s, self.name, label, steps)

    def _mappings(self, s: Schedule, label: str, target: Target) -> list[Mapping]:
        found = [candidates(s.function, label, one.name)[:1] for one in target.intrinsics]
        best = sorted([one for some in found for one in some], key=lambda m: (m.cost, str(m)))
        return best[: self.most_mappings]

    def _by(self, s: Schedule, label: str, ways: Sequence[Dot | Mapping], context: Context) -> None:
        """None of them is number 0; mappings, which leave sums in memory, are seldom the best."""
        likely = [1.0, *[1.0 if isinstance(way, Dot) else 0.1 for way in ways]]
        site, best = f"{label}: instruction", int(isinstance(ways[0], Dot))
        number = int(s.sample_categorical(range(len(likely)), likely, site=site, suggested=best))
        if number == 0:
            return
        way = ways[number - 1]
        if isinstance(way, Mapping):
            apply(s, label, way)
            return
        group = group_of(s, label)
        assert group is not None
        Tiling(s, label, context, self.structure, dot=way).run(*group)


def _dots(s: Schedule, label: str, context: Context) -> list[Dot]:
    """The instructions that do all the sums of the group in their lanes; before them those for
    whole sums, which take panels of a tile's width: constants lie in narrower ones."""
    trial = s.at(len(s.trace))
    group = group_of(trial, label)
    if group is None:
        return []
    nests, sums = group
    columns = extents_of(trial, nests, sums[0]).columns
    target = context.target
    folded = all(can_fold(trial, one, context.constants) for one in sums)
    even = columns is not None and columns % target.lanes == 0 and not folded
    found: list[Dot] = []
    for whole in (True, False) if even else (False,):
        pairs = [(get_block(trial.function, one.label, "dots"), one) for one in sums]
        dots = {dot_of(block, one, target, whole) for block, one in pairs}
        dot = dots.pop()
        if not dots and dot is not None and dot not in found:
            found.append(dot)
    return found
