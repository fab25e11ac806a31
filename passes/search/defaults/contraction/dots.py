"""Sums of products of small numbers by instructions that take several of them at once.

    acc[i, j] += i32(x[i, k]) * i32(w[k, j])                             k < 64
→   acc[i, j] = dot4(acc[i, j], x[i, 4*k to 4*k + 3], w[…, j])           k < 16
"""

from __future__ import annotations

from dataclasses import dataclass

from passes.ir.dtypes import DType
from passes.ir.expr import Const, Mul
from passes.ir.loop.nodes import Block, Load
from passes.schedule.combiner import combiner_of
from passes.schedule.intrinsics import TensorIntrinsic
from passes.search.defaults.contraction.roles import Roles, side_by_side, without_casts
from passes.search.defaults.target import Target


@dataclass(frozen=True)
class Dot:
    """An instruction that sums `count` products in each lane. `whole`: it stands for the innermost
    summed loop and the tile in it, not for `count` steps of that loop."""

    name: str
    count: int
    whole: bool


def dot_of(block: Block, one: Roles, target: Target, whole: bool) -> Dot | None:
    """The first instruction of the target that does what the block does, one for the whole sum if
    `whole` and there is one; None if there is none, or its numbers do not lie side by side along
    the last summed axis."""
    combiner = combiner_of(block)
    assert combiner is not None and isinstance(combiner.value, Mul)
    factors = [without_casts(e) for e in (combiner.value.a, combiner.value.b)]
    steps = {it.var: it.extent for it in block.iters}[one.summed[-1]] if one.summed else None
    broadcast = factors[1 - one.vector]
    if one.paired or not isinstance(steps, Const) or not isinstance(broadcast, Load):
        return None
    if not side_by_side(broadcast, one.summed[-1]):
        return None
    types = sorted([str(factor.dtype) for factor in factors])
    made = [_described(one, types, combiner.target.dtype) for one in target.intrinsics]
    fitting = [dot for dot in made if dot is not None and int(steps.value) % dot.count == 0]
    best = [dot for dot in fitting if dot.whole and whole] + [d for d in fitting if not d.whole]
    return best[0] if best else None


def _described(intrinsic: TensorIntrinsic, types: list[str], result: DType) -> Dot | None:
    """What the intrinsic does with operands of these types; None if it takes others.

    One lane, put side by side by `vectorize`, or a whole sum, which corrects signs once.
    """
    params = {b.name: b for b in intrinsic.description.params}
    if set(params) != {"a", "b", "c"} or intrinsic.within:
        return None
    a, b, c = (params[name] for name in "abc")
    whole = len(a.shape) == 3
    if sorted([str(a.dtype), str(b.dtype)]) != types or c.dtype != result:
        return None
    count = a.shape[-1]
    if len(a.shape) == 2 or not isinstance(count, Const) or count.value == 1:
        return None
    return Dot(intrinsic.name, int(count.value), whole)
