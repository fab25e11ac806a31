"""How far the loops of a group of sums run: what their schedule is chosen by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from passes.ir.expr import Expr, Var
from passes.schedule.schedule import Schedule
from passes.schedule.tree import get_block
from passes.search.defaults.contraction.margins import spared
from passes.search.defaults.contraction.nests import Axis, Nest, Nests
from passes.search.defaults.contraction.roles import Roles
from passes.search.defaults.shape import constant, extent


@dataclass(frozen=True)
class Extents:
    """Constant extents, None where unknown: all rows, those of the axis `tiled`, columns, steps
    along k, and along the last of its axes.

    `tiled` is the innermost axis with more than one row, `others` are those of the other rows, of
    which those come last at whose ends sums are shortest: so all threads have as much to do.
    `outer` those of batches and of columns besides the lanes. `plain`: those have extent 1.
    """

    rows: int | None
    row: int | None
    columns: int | None
    steps: int | None
    last: int | None
    lanes: Axis
    tiled: Axis | None
    others: tuple[Axis, ...]
    outer: tuple[Axis, ...]
    plain: bool

    @property
    def every_row(self) -> tuple[Axis, ...]:
        """The axes of rows, `tiled` last."""
        return (*self.others, *([] if self.tiled is None else [self.tiled]))


def extents_of(s: Schedule, nests: Nests, one: Roles) -> Extents:
    """Those of the sum `one`, first of the nests; the last ends it."""
    end = nests[-1]
    places = _axes(s, nests[0])
    known = {v: constant(end.extent(s, places[v])) for v in (*one.rows, *one.columns, *one.batch)}
    loops = nests[0].loops(s)
    summed = [constant(extent(s, loop)) for axis, loop in loops.items() if isinstance(axis, str)]
    tall = [v for v in one.rows if known[v] != 1]
    uneven = spared(s, nests[0].label)
    others = [places[v] for v in one.rows if v not in tall[-1:]]
    outer = (*one.batch, *[v for v in one.columns if v is not one.lanes])
    return Extents(
        rows=_product([known[v] for v in one.rows]),
        row=known[tall[-1]] if tall else 1,
        columns=known[one.lanes],
        steps=_product(summed),
        last=summed[-1],
        lanes=places[one.lanes],
        tiled=places[tall[-1]] if tall else None,
        others=tuple(sorted(others, key=lambda axis: uneven.get(loops[axis], 0))),
        outer=tuple([places[v] for v in outer]),
        plain=all(known[v] == 1 for v in outer),
    )


def divisor(number: int, most: int) -> int:
    """The largest divisor that is not more than `most`."""
    return next(d for d in range(most, 0, -1) if number % d == 0)


def _product(numbers: Sequence[int | None]) -> int | None:
    known = [n for n in numbers if n is not None]
    return prod(known) if len(known) == len(numbers) else None


def _axes(s: Schedule, nest: Nest) -> dict[Var, Axis]:
    """The axis that each iterator runs along."""
    block = get_block(s.function, nest.label, "extents")
    axes: dict[Expr, Axis] = {loop: axis for axis, loop in nest.loops(s).items()}
    return {it.var: axes[e] for it, e in zip(block.iters, block.bindings, strict=True)}
