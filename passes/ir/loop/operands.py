"""Which operands an expression takes, where its node leaves that open."""

from __future__ import annotations

from passes.ir import expr as ir
from passes.ir.dtypes import BOOL
from passes.ir.expr import Expr
from passes.ir.intrinsics import intrinsic
from passes.ir.node import IRError

_BITS = ir.BitAnd, ir.BitOr, ir.BitXor
_LOGIC = ir.And, ir.Or, ir.Not
_SHIFTS = ir.Shl, ir.Shr
_SUMS = ir.Add, ir.Sub, ir.Mul


def complaint(e: Expr) -> str | None:
    """What is wrong with the types of the node's own operands; None if they fit."""
    match e:
        case ir.Call(name, args, dtype):
            try:
                found = intrinsic(name).dtype(tuple([arg.dtype for arg in args]))
            except IRError as error:
                return f"cannot be called: {error}"
            return None if found == dtype else f"has type {dtype}, but '{name}' gives {found}"
        case ir.Ramp(base, _, lanes):
            if not base.dtype.is_int or base.dtype.lanes != 1 or lanes < 1:
                return "needs a scalar integer base and at least one lane"
        case ir.Broadcast(_, lanes) if lanes < 1:
            return "has no lanes"
        case ir.Select(cond, then, _) if cond.dtype.lanes not in (1, then.dtype.lanes):
            return f"selects {then.dtype} by {cond.dtype}"
        case ir.Binary() | ir.Not():
            kind = e.a.dtype
            logical = kind.scalar == BOOL
            if (
                (isinstance(e, _LOGIC) and not logical)
                or (isinstance(e, _SUMS) and logical)
                or (isinstance(e, _SHIFTS) and not kind.is_int)
                or (isinstance(e, _BITS) and not (kind.is_int or logical))
            ):
                return f"is not defined for operands of type {kind}"
    return None
