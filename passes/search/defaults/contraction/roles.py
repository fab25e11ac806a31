"""What the iterators of a sum of products are to its two factors.

y[i, j] += x[i, k] * w[k, j]

rows      i    the vector factor w lacks them: one vector of it serves several rows
columns   j    the other factor lacks them; the last one of several values runs along the lanes
batch     –    both factors have them
summed    k

A sum may add up its products in parts, of which another block makes the whole:

t[i, j, s] += x[i, s, k] * w[s, k, j]        y[i, j] += scale(t[i, j, s])        summed: s, k
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from passes.fuse.panel import ROWS
from passes.ir.arith import Env, free_vars, linear, simplify, substitute
from passes.ir.expr import Cast, Const, Expr, Mul, Var, const, product
from passes.ir.loop.nodes import Block, Load
from passes.ir.node import postorder
from passes.schedule.combiner import Combiner, combiner_of

_PANEL, _LANE = Var("panel", -1), Var("lane", -1)
_LANE_BYTES = 4


@dataclass(frozen=True)
class Roles:
    """Iterators of the block `label` by role, those of the result in the order of its memory; the
    block `whole` stores that, another one if this one sums parts.

    `vector` is the factor (0 or 1) that is read as vectors. The other one is broadcast to all
    lanes, or `paired` with them, as the channels of a depthwise convolution are. `in_place` says
    that the vector factor has its lanes side by side in memory, `inner` that both factors have the
    last summed axis so; `in_panels` that the vector factor has the lanes of each panel of `ROWS`
    columns together, one panel behind the other; `decoded` that it is computed, not just read.
    `reach` are the iterators that it depends on, in the block's order, `nbytes` is what its values
    take, if that is constant. `apart` is the power of two in the bytes from one step of the last
    summed axis to the next, 0 if unknown: of a cache, steps of a panel share the sets that lie so
    far apart. `across` are those of the other factor if that is a matrix with neighbours along the
    last row axis, not along what is summed, side by side; else there are none.
    """

    label: str
    whole: str
    vector: int
    paired: bool
    in_place: bool
    inner: bool
    in_panels: bool
    decoded: bool
    lanes: Var
    rows: tuple[Var, ...]
    columns: tuple[Var, ...]
    batch: tuple[Var, ...]
    summed: tuple[Var, ...]
    reach: tuple[Var, ...]
    across: tuple[Var, ...]
    nbytes: int | None
    apart: int

    def turned(self) -> Roles:
        """The same with the other factor, which lies across, read as vectors of rows."""
        return replace(
            self,
            vector=1 - self.vector,
            in_place=True,
            lanes=self.rows[-1],
            reach=self.across,
        )


def roles_of(block: Block, whole: Block | None = None) -> Roles | None:
    """None for a block that is no sum of products, whose result has no axis for lanes, or whose
    vectors are the same all along the last summed axis; or, given another block, that does not
    store parts of sums of which that one makes the whole."""
    combiner = combiner_of(block)
    if combiner is None or not isinstance(combiner.value, Mul) or not _sums_up(block):
        return None
    factors = (combiner.value.a, combiner.value.b)
    if not all(any(isinstance(n, Load) for n in postorder(factor)) for factor in factors):
        return None
    extents = {it.var: it.extent for it in block.iters}
    used = tuple([free_vars(factor) for factor in factors])
    order, lanes = _result(block, whole)
    if order is None or lanes is None or lanes not in used[0] | used[1]:
        return None
    paired = lanes in used[0] and lanes in used[1]
    fewer = sum(v in used[1] for v in order) < sum(v in used[0] for v in order)
    vector = int(fewer) if paired else int(lanes in used[1])
    if paired and not side_by_side(factors[1 - vector], lanes):
        return None
    mine, other = used[vector], used[1 - vector]
    reduced = [it.var for it in block.iters if it.kind == "reduce"]
    summed = (*[v for v in extents if v not in order and v not in reduced], *reduced)
    if summed[-1] not in mine:
        return None
    in_place = side_by_side(factors[vector], lanes)
    rows = tuple([v for v in order if v not in mine])
    across = rows and summed[-1] in other and _lies_across(factors[1 - vector], rows[-1])
    return Roles(
        block.label,
        block.label if whole is None else whole.label,
        vector,
        paired,
        in_place,
        inner=all(side_by_side(factor, summed[-1]) for factor in factors),
        in_panels=not paired and not in_place and _in_panels(factors[vector], lanes),
        decoded=not isinstance(without_casts(factors[vector]), Load),
        lanes=lanes,
        rows=rows,
        columns=tuple([v for v in order if v in mine and (v not in other or v is lanes)]),
        batch=tuple([v for v in order if v in mine and v in other and v is not lanes]),
        summed=summed,
        reach=tuple([v for v in extents if v in mine]),
        across=tuple([v for v in extents if v in other]) if across else (),
        nbytes=_size(factors[vector], [extents[v] for v in extents if v in mine]),
        apart=_apart(factors[vector], summed[-1]),
    )


def side_by_side(value: Expr, var: Var) -> bool:
    """Whether neighbours along `var` read neighbours in memory wherever the value depends on it."""
    steps = [stride(load, var) for load in _loads_along(value, var)]
    return bool(steps) and all(isinstance(s, Const) and s.value == 1 for s in steps)


def stride(load: Load, var: Var, env: Env | None = None) -> Expr | None:
    """How many elements one step of `var` moves in the buffer; None if that is not constant."""
    strides = load.buffer.strides
    if strides is None:
        shape = load.buffer.shape
        strides = tuple([product(shape[k + 1 :]) for k in range(len(shape))])
    place = sum([i * s for i, s in zip(load.indices, strides, strict=True)], start=const(0))
    form = linear(place, [var], env)
    return None if form is None else simplify(form[0].get(var, const(0)))


def without_casts(e: Expr) -> Expr:
    """The number that a factor is, perhaps in a wider type."""
    while isinstance(e, Cast):
        e = e.value
    return e


def _in_panels(value: Expr, lanes: Var) -> bool:
    """Whether neighbours along `lanes`, as long as they are in one panel, read numbers that lie no
    farther apart than a lane is wide."""
    for load in _loads_along(value, lanes):
        moved = substitute(load, {lanes: _PANEL * ROWS + _LANE})
        step = stride(moved, _LANE, {_LANE: (0, ROWS - 1)})
        if not isinstance(step, Const) or not 0 < step.value * load.dtype.bytes <= _LANE_BYTES:
            return False
    return True


def _lies_across(factor: Expr, row: Var) -> bool:
    """Whether the factor is a matrix, or several, with neighbours along the row side by side."""
    load = without_casts(factor)
    plain = isinstance(load, Load) and all(isinstance(i, Var) for i in load.indices)
    return plain and side_by_side(load, row)


def _loads_along(value: Expr, var: Var) -> list[Load]:
    return [n for n in postorder(value) if isinstance(n, Load) and var in free_vars(n)]


def _size(factor: Expr, extents: Iterable[Expr]) -> int | None:
    count = product(tuple(extents))
    known = isinstance(count, Const)
    return int(count.value) * without_casts(factor).dtype.bytes if known else None  # type: ignore[attr-defined]


def _apart(value: Expr, var: Var) -> int:
    """The largest power of two in the bytes between neighbours along `var`; 0 if unknown."""
    steps = [(stride(load, var), load.dtype.bytes) for load in _loads_along(value, var)]
    known = [int(step.value) * nbytes for step, nbytes in steps if isinstance(step, Const)]
    return max([distance & -distance for distance in known], default=0)


def _sums_up(block: Block) -> bool:
    """Whether the block reduces, in any order."""
    return {it.kind for it in block.iters} == {"spatial", "reduce"}


def _result(block: Block, whole: Block | None) -> tuple[list[Var], Var | None]:
    """The iterators of the sum that the block, or the one that makes the whole of its parts,
    stores: in the order of memory, and the one for lanes, None if that cannot be told."""
    end = block if whole is None else whole
    combiner = combiner_of(end)
    if combiner is None or not _sums_up(end):
        return [], None
    order = _in_memory_order(end, combiner)
    lanes = _lanes(end, combiner, order)
    if whole is None:
        return order, lanes
    names = _parts(block, whole)
    known = all(v in names for v in order)
    return ([names[v] for v in order], names[lanes]) if known and lanes is not None else ([], None)


def _parts(block: Block, whole: Block) -> dict[Expr, Var]:
    """What the iterators of the whole are in the block that stores its parts; empty unless each
    instance takes one part, and each part once."""
    parts, combiner = combiner_of(block), combiner_of(whole)
    assert parts is not None and combiner is not None
    loads = [n for n in postorder(combiner.value) if isinstance(n, Load)]
    places = {load.indices for load in loads if load.buffer is parts.target}
    place = places.pop() if len(places) == 1 else ()
    if set(place) != {it.var for it in whole.iters}:
        return {}
    return {v: e for v, e in zip(place, parts.indices, strict=True) if isinstance(e, Var)}


def _in_memory_order(block: Block, combiner: Combiner) -> list[Var]:
    """The spatial iterators, those with the largest steps in the result first; none if these are
    not known."""
    spatial = [it.var for it in block.iters if it.kind == "spatial"]
    placed: list[tuple[int, int, Var]] = []
    for v in spatial:
        axes = [k for k, i in enumerate(combiner.indices) if v in free_vars(i)]
        form = linear(combiner.indices[axes[0]], [v]) if len(axes) == 1 else None
        if form is None or not isinstance(form[0][v], Const):
            return []
        placed.append((axes[0], -int(form[0][v].value), v))  # type: ignore[attr-defined]
    return [v for _, _, v in sorted(placed, key=lambda item: item[:2])]


def _lanes(block: Block, combiner: Combiner, order: list[Var]) -> Var | None:
    """The last iterator with more than one value, if its neighbours lie side by side."""
    extents = {it.var: it.extent for it in block.iters}
    wide = [v for v in order if not (isinstance(extents[v], Const) and extents[v].value == 1)]  # type: ignore[attr-defined]
    if not wide:
        return None
    step = stride(Load(combiner.target, combiner.indices), wide[-1])
    return wide[-1] if isinstance(step, Const) and step.value == 1 else None
