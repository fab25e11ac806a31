"""What the iterators of a sum of products are to its two factors.

y[i, j] += x[i, k] * w[k, j]

rows      i    the vector factor w lacks them: one vector of it serves several rows
columns   j    the other factor lacks them; the last one of several values runs along the lanes
batch     –    both factors have them
summed    k
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from passes.ir.arith import free_vars, linear, simplify
from passes.ir.expr import Cast, Const, Expr, Mul, Var, const, product
from passes.ir.loop.nodes import Block, Buffer, Load
from passes.ir.node import postorder
from passes.schedule.combiner import Combiner, combiner_of


@dataclass(frozen=True)
class Roles:
    """Iterators of the block `label` by role, those of the result in the order of its memory.

    `vector` is the factor (0 or 1) that is read as vectors. The other one is broadcast to all
    lanes, or `paired` with them, as the channels of a depthwise convolution are. `in_place` says
    that the vector factor has its lanes side by side in memory, `inner` that both factors have the
    last summed axis so. `reach` are the iterators that it depends on, in the block's order,
    `nbytes` is what its values take, if that is constant.
    """

    label: str
    vector: int
    paired: bool
    in_place: bool
    inner: bool
    lanes: Var
    rows: tuple[Var, ...]
    columns: tuple[Var, ...]
    batch: tuple[Var, ...]
    summed: tuple[Var, ...]
    reach: tuple[Var, ...]
    nbytes: int | None


def roles_of(block: Block) -> Roles | None:
    """None for a block that is no sum of products, whose result has no axis for lanes, or whose
    vectors are the same all along the last summed axis."""
    combiner = combiner_of(block)
    kinds = {it.kind for it in block.iters}
    if (
        combiner is None
        or not isinstance(combiner.value, Mul)
        or "reduce" not in kinds
        or not kinds <= {"spatial", "reduce"}
    ):
        return None
    factors = (combiner.value.a, combiner.value.b)
    if not all(any(isinstance(n, Load) for n in postorder(factor)) for factor in factors):
        return None
    extents = {it.var: it.extent for it in block.iters}
    order = _in_memory_order(block, combiner)
    used = tuple([free_vars(factor) for factor in factors])
    lanes = _lanes(block, combiner, order)
    if order is None or lanes is None or lanes not in used[0] | used[1]:
        return None
    paired = lanes in used[0] and lanes in used[1]
    fewer = sum(v in used[1] for v in order) < sum(v in used[0] for v in order)
    vector = int(fewer) if paired else int(lanes in used[1])
    if paired and not side_by_side(factors[1 - vector], lanes):
        return None
    mine, other = used[vector], used[1 - vector]
    summed = tuple([it.var for it in block.iters if it.kind == "reduce"])
    if summed[-1] not in mine:
        return None
    return Roles(
        block.label,
        vector,
        paired,
        side_by_side(factors[vector], lanes),
        all(side_by_side(factor, summed[-1]) for factor in factors),
        lanes,
        rows=tuple([v for v in order if v not in mine]),
        columns=tuple([v for v in order if v in mine and (v not in other or v is lanes)]),
        batch=tuple([v for v in order if v in mine and v in other and v is not lanes]),
        summed=summed,
        reach=tuple([v for v in extents if v in mine]),
        nbytes=_size(factors[vector], [extents[v] for v in extents if v in mine]),
    )


def _size(factor: Expr, extents: Iterable[Expr]) -> int | None:
    while isinstance(factor, Cast):
        factor = factor.value
    count = product(tuple(extents))
    return int(count.value) * factor.dtype.bytes if isinstance(count, Const) else None


def side_by_side(value: Expr, var: Var) -> bool:
    """Whether neighbours along `var` read neighbours in memory wherever the value depends on it."""
    loads = [n for n in postorder(value) if isinstance(n, Load) and var in free_vars(n)]
    steps = [stride(load.buffer, load.indices, var) for load in loads]
    return bool(loads) and all(isinstance(s, Const) and s.value == 1 for s in steps)


def stride(buffer: Buffer, indices: Iterable[Expr], var: Var) -> Expr | None:
    """How many elements one step of `var` moves in the buffer; None if that is not constant."""
    strides = buffer.strides
    if strides is None:
        strides = tuple([product(buffer.shape[k + 1 :]) for k in range(len(buffer.shape))])
    place = sum([i * s for i, s in zip(indices, strides, strict=True)], start=const(0))
    form = linear(place, [var])
    return None if form is None else simplify(form[0].get(var, const(0)))


def _in_memory_order(block: Block, combiner: Combiner) -> list[Var] | None:
    """The spatial iterators, those with the largest steps in the result first."""
    spatial = [it.var for it in block.iters if it.kind == "spatial"]
    placed: list[tuple[int, int, Var]] = []
    for v in spatial:
        axes = [k for k, i in enumerate(combiner.indices) if v in free_vars(i)]
        form = linear(combiner.indices[axes[0]], [v]) if len(axes) == 1 else None
        if form is None or not isinstance(form[0][v], Const):
            return None
        placed.append((axes[0], -int(form[0][v].value), v))  # type: ignore[attr-defined]
    return [v for _, _, v in sorted(placed, key=lambda item: item[:2])]


def _lanes(block: Block, combiner: Combiner, order: list[Var] | None) -> Var | None:
    """The last iterator with more than one value, if its neighbours lie side by side."""
    extents = {it.var: it.extent for it in block.iters}
    wide = [v for v in order or [] if not (isinstance(extents[v], Const) and extents[v].value == 1)]  # type: ignore[attr-defined]
    if not wide:
        return None
    step = stride(combiner.target, combiner.indices, wide[-1])
    return wide[-1] if isinstance(step, Const) and step.value == 1 else None
