"""Expressions as the integer set library reads them."""

from __future__ import annotations

from passes.ir import expr
from passes.ir.expr import Const, Dim, Expr, Var
from passes.ir.expr_text import name_of


class NotAffine(Exception):
    """A product or quotient of symbols."""


def isl_name(e: Var | Dim) -> str:
    return name_of(e).replace("-", "_").replace("$", "_")


def isl_term(e: Expr) -> str:
    """The text of an index expression. Raises NotAffine."""
    match e:
        case Const(value, _):
            return str(int(value))
        case Var() | Dim():
            return isl_name(e)
        case expr.Add(a, b):
            return f"({isl_term(a)} + {isl_term(b)})"
        case expr.Sub(a, b):
            return f"({isl_term(a)} - {isl_term(b)})"
        case expr.Mul(a, Const(value, _)) | expr.Mul(Const(value, _), a):
            return f"({int(value)}*{isl_term(a)})"
        case expr.FloorDiv(a, Const(value, _)) if value > 0:
            return f"floor({isl_term(a)}/{int(value)})"
        case expr.FloorMod(a, Const(value, _)) if value > 0:
            return f"({isl_term(a)} - {int(value)}*floor({isl_term(a)}/{int(value)}))"
    raise NotAffine(type(e).__name__)


def isl_condition(e: Expr) -> str:
    match e:
        case expr.Lt(a, b):
            return f"{isl_term(a)} < {isl_term(b)}"
        case expr.Le(a, b):
            return f"{isl_term(a)} <= {isl_term(b)}"
        case expr.Eq(a, b):
            return f"{isl_term(a)} = {isl_term(b)}"
        case expr.And(a, b):
            return f"({isl_condition(a)} and {isl_condition(b)})"
    raise NotAffine(type(e).__name__)
