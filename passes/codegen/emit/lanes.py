"""Single lanes of vector expressions."""

from __future__ import annotations

from passes.ir.arith.symbols import fold
from passes.ir.expr import Binary, Broadcast, Cast, Const, Expr, Not, Ramp, Select
from passes.ir.loop.nodes import Load
from passes.ir.node import Node


def lane(e: Expr, number: int) -> Expr | None:
    """`ramp(i, 2, 4)`, 3 → `i + 6`: a lane as a scalar expression; None where there is no such."""
    found: Node | None = None
    match e:
        case Expr() if e.dtype.lanes == 1:
            return e
        case Ramp(base, stride):
            return base + Const(stride * number, base.dtype)
        case Broadcast(value):
            return lane(value, number % value.dtype.lanes)
        case Load(buffer, (position,)) if buffer.scope != "register":
            if (one := lane(position, number)) is not None:
                return Load(buffer, (one,))
        case Binary(a, b):
            if (x := lane(a, number)) is not None and (y := lane(b, number)) is not None:
                found = fold(type(e)(x, y))
        case Cast(value, dtype):
            if (one := lane(value, number)) is not None:
                found = fold(Cast(one, dtype.scalar))
        case Not(a):
            if (one := lane(a, number)) is not None:
                found = fold(Not(one))
        case Select(cond, then, other):
            parts = (lane(cond, number), lane(then, number), lane(other, number))
            if parts[0] is not None and parts[1] is not None and parts[2] is not None:
                found = fold(Select(parts[0], parts[1], parts[2]))
    return found if isinstance(found, Expr) else None
