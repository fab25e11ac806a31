"""Integer vectors: ramps and broadcasts stay ramps and broadcasts under arithmetic."""

from __future__ import annotations

from collections.abc import Callable

from passes.ir import expr
from passes.ir.expr import Broadcast, Const, Expr, Ramp


def vector(e: expr.Binary, normal: Callable[[Expr], Expr]) -> Expr:
    """ramp(i, 1, 16) + broadcast(j, 16)  ->  ramp(i + j, 1, 16), and the like.

    `normal` simplifies a scalar built on the way.
    """
    a, b = e.a, e.b
    if isinstance(a, Broadcast) and isinstance(b, Broadcast) and a.lanes == b.lanes:
        return Broadcast(normal(type(e)(a.value, b.value)), a.lanes)
    if not isinstance(e, (expr.Add, expr.Sub, expr.Mul)):
        return e
    left, right = _as_ramp(a), _as_ramp(b)
    if left is None or right is None:
        return e
    (base, stride, lanes), (other, step, _) = left, right
    if isinstance(e, expr.Mul):
        factor, scaled = (other, stride) if step == 0 else (base, step)
        if (stride and step) or not isinstance(factor, Const):
            return e
        return _ramp(normal(expr.Mul(base, other)), scaled * int(factor.value), lanes)
    sign = 1 if isinstance(e, expr.Add) else -1
    return _ramp(normal(type(e)(base, other)), stride + sign * step, lanes)


def _as_ramp(e: Expr) -> tuple[Expr, int, int] | None:
    if isinstance(e, Ramp):
        return e.base, e.stride, e.lanes
    if isinstance(e, Broadcast) and e.value.dtype.lanes == 1:
        return e.value, 0, e.lanes
    return None


def _ramp(base: Expr, stride: int, lanes: int) -> Expr:
    return Ramp(base, stride, lanes) if stride else Broadcast(base, lanes)
