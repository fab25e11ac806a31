"""Conditions that differ between lanes: tested for all lanes at once, for any, or lane by lane.

i3 < n, lanes i3 = k2*16 + 0…15         for all:    k2*16 + 15 < n
                                        for any:    k2*16 < n
                                        as a mask:  ramp(k2*16, 1, 16) < broadcast(n, 16)
"""

from __future__ import annotations

from passes.codegen.lower.lanes import Lanes, NoVector
from passes.codegen.lower.walk import constant
from passes.ir.arith import linear, prove, substitute
from passes.ir.dtypes import INDEX, DType
from passes.ir.expr import (
    Add,
    And,
    Broadcast,
    Call,
    Const,
    Expr,
    FloorDiv,
    FloorMod,
    Le,
    Lt,
    Max,
    Ramp,
    Select,
    Var,
    const,
)
from passes.ir.loop.nodes import Load
from passes.ir.node import Node, postorder, rewrite


def for_all(cond: Expr, lanes: Lanes) -> Expr | None:
    """A condition that holds only if `cond` holds in every lane; None if there is no simple one."""
    if not lanes.varies(cond):
        return cond
    if isinstance(cond, And):
        a, b = for_all(cond.a, lanes), for_all(cond.b, lanes)
        return None if a is None or b is None else And(a, b)
    steps = _steps(cond, lanes)
    return None if steps is None else _at_lane(cond, lanes, steps, last_if=-1)


def for_any(cond: Expr, lanes: Lanes) -> Expr | None:
    """The condition that `cond` holds in some lane; None if there is no simple one."""
    parts = _conjuncts(cond)
    found = [_steps(part, lanes) for part in parts if lanes.varies(part)]
    steps = [one for one in found if one is not None]
    if len(steps) < len(found):
        return None
    # The best lane of one part must be the best one of the others.
    for axis in range(len(lanes.axes)):
        if len({_sign(one[axis]) for one in steps} - {0}) > 1:
            return None
    whole: list[Expr] = []
    for part in parts:
        mine = _steps(part, lanes) if lanes.varies(part) else None
        whole.append(part if mine is None else _at_lane(part, lanes, mine, last_if=1))
    result = whole[0]
    for part in whole[1:]:
        result = And(result, part)
    return result


def masked(e: Expr, mask: Expr) -> Expr:
    """The vector `e` computed for the lanes of `mask` only: it loads nothing for the others.

    Raises `NoVector` where lanes that do not hold would be in the way: loads that are not of
    neighbours, one a lane, and divisions.
    """

    def rule(node: Node) -> Node | None:
        if isinstance(node, FloorDiv | FloorMod) and not _divides_safely(node):
            raise NoVector
        if not isinstance(node, Load) or node.dtype.lanes == 1:
            return None
        return Load(node.buffer, (masked_place(node.indices[0], mask),))

    return rewrite(e, rule)


def masked_place(position: Expr, mask: Expr) -> Expr:
    """The position of the lanes of `mask`. Raises `NoVector` unless it is one of neighbours."""
    lanes = mask.dtype.lanes
    if not isinstance(position, Ramp) or position.stride != 1 or position.lanes != lanes:
        raise NoVector
    return Call("masked", (position, mask), position.dtype)


def needs_no_lane(e: Expr, lanes: Lanes) -> bool:
    """True if `e` can be evaluated where no lane asks for it: what all lanes share cannot fail."""
    return not any(
        (isinstance(n, Load) and not lanes.varies(n))
        or (isinstance(n, FloorDiv | FloorMod) and not _divides_safely(n))
        for n in postorder(e)
    )


def neutral(kind: type[Expr], dtype: DType) -> Expr:
    """What changes nothing when it is added, or taken the maximum or minimum with."""
    if kind is Add:
        return const(-0.0 if dtype.is_float else 0, dtype)
    if dtype.is_float:
        return const(float("-inf") if kind is Max else float("inf"), dtype)
    half = 1 << dtype.bits - 1
    low, high = (-half, half - 1) if dtype.is_signed else (0, 2 * half - 1)
    return const(low if kind is Max else high, dtype)


def chosen(mask: Expr, value: Expr, other: Expr) -> Expr:
    """`value` in the lanes of `mask`, the scalar `other` in the rest."""
    return Select(mask, value, Broadcast(other, value.dtype.lanes))


def _divides_safely(node: FloorDiv | FloorMod) -> bool:
    divisor = node.b.value if isinstance(node.b, Broadcast) else node.b
    if isinstance(divisor, Const):
        return bool(divisor.value != 0)
    return divisor.dtype == INDEX and prove(divisor >= 1)


def _conjuncts(cond: Expr) -> list[Expr]:
    if isinstance(cond, And):
        return _conjuncts(cond.a) + _conjuncts(cond.b)
    return [cond]


def _steps(cond: Expr, lanes: Lanes) -> list[int] | None:
    """How far the right side of a comparison runs ahead of the left one with each lane variable."""
    if not isinstance(cond, Le | Lt) or cond.a.dtype != INDEX:
        return None
    split = linear(cond.b - cond.a, lanes.variables)
    if split is None:
        return None
    steps = [constant(split[0].get(var, const(0))) for var, _ in lanes.axes]
    return None if None in steps else [step or 0 for step in steps]


def _at_lane(cond: Expr, lanes: Lanes, steps: list[int], *, last_if: int) -> Expr:
    """`cond` at the last lane of each axis whose step has sign `last_if`, the first of others."""
    assert isinstance(cond, Le | Lt)
    place: dict[Var, Expr] = {}
    for (var, extent), step in zip(lanes.axes, steps, strict=True):
        place[var] = const(extent - 1 if _sign(step) == last_if else 0)
    return substitute(type(cond)(const(0), cond.b - cond.a), place)


def _sign(step: int) -> int:
    return (step > 0) - (step < 0)
