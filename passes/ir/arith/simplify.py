"""The normal form of integer expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from passes.ir import expr
from passes.ir.arith.compare import comparison, extreme, negation
from passes.ir.arith.divide import quotient, remainder
from passes.ir.arith.intervals import Env, Narrowed, Ranges, of_type
from passes.ir.arith.least import nonnegative
from passes.ir.arith.recombine import recombined
from passes.ir.arith.symbols import fold, symbols_of
from passes.ir.arith.terms import build, constant, is_plain, plus, terms, times
from passes.ir.arith.vectors import vector
from passes.ir.dtypes import INDEX, DType
from passes.ir.expr import Const, Dim, Expr, Var

_MOST_ROUNDS = 4
_MOST_ENVIRONMENTS = 256
_environments: dict[frozenset[Any], Ranges] = {}
_DIMS_ONLY = Ranges({})


def ranges_of(env: Env | None, about: Expr, over: Mapping[Var, Expr] | None = None) -> Ranges:
    """What the environment says of the symbols in `about`, simplified.

    Equal ranges share their memos, whatever else the environments hold. The variables `over`
    take 0 … extent-1 instead.
    """
    told = _told(env or {}, about, over or {}) if env or over else None
    if not told:
        _DIMS_ONLY.forget()
        return _DIMS_ONLY
    key = frozenset(told.items())
    found = _environments.pop(key, None)
    if found is None:
        found = Ranges({var: (_bound(low), _bound(high)) for var, (low, high) in told.items()})
        if len(_environments) >= _MOST_ENVIRONMENTS:
            del _environments[next(iter(_environments))]
    _environments[key] = found
    found.forget()
    return found


def _told(
    env: Env, about: Expr, over: Mapping[Any, Expr]
) -> dict[Any, tuple[Expr | int, Expr | int]]:
    """The ranges of the symbols in an expression, of those that these speak of, and so on."""
    told: dict[Any, tuple[Expr | int, Expr | int]] = {}
    pending: list[Expr | int] = [about]
    while pending:
        e = pending.pop()
        for symbol in () if isinstance(e, (int, Const)) else symbols_of(e):
            if symbol in told:
                continue
            if symbol in over:
                told[symbol] = (0, over[symbol] - 1)
            elif symbol in env:
                told[symbol] = env[symbol]
            else:
                continue
            pending.extend(told[symbol])
    if isinstance(env, Narrowed):
        told.update({e: known for e, known in env.parts.items() if told.keys() & symbols_of(e)})
    return told


def _bound(value: Expr | int) -> Expr:
    return simplified(value, _DIMS_ONLY) if isinstance(value, Expr) else Const(value, INDEX)


def simplify(e: Expr, env: Env | None = None) -> Expr:
    """The normal form of `e` where each variable of `env` lies in its range.

        (i*4 + j)//4        ->  i            where 0 <= j < 4
        i//4*4 + i%4        ->  i
        i + 4 < n + 4       ->  i < n
        min(i*4 + 3, n*4)   ->  i*4 + 3      where i < n

    Index arithmetic becomes a sum of products, largest strides first, the constant last.
    Comparisons, selects and extremes are decided where that can be proven. Float and fixed-width
    arithmetic keeps its shape; index expressions inside it are simplified.
    """
    return simplified(e, ranges_of(env, e))


def simplified(e: Expr, ranges: Ranges) -> Expr:
    """`simplify` with the ranges at hand."""
    if isinstance(e, (expr.Add, expr.Sub, expr.Mul)) and e.dtype == INDEX:
        built: Expr | None = e.__dict__.get("_built")
        if built is None and is_plain(terms(e)):
            built = e.__dict__["_built"] = build(terms(e))
        if built is not None:
            return built
    elif not e.children:
        return e
    for _ in range(_MOST_ROUNDS):
        before, e = e, _once(e, ranges)
        if before is e:
            break
    return e


def _once(root: Expr, ranges: Ranges) -> Expr:
    memo = ranges.simple
    stack: list[Expr] = [root]
    while stack:
        node = stack[-1]
        if node in memo:
            stack.pop()
            continue
        missing = [c for c in node.children if isinstance(c, Expr) and c not in memo]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        rebuilt = node
        if any(isinstance(c, Expr) and memo[c] is not c for c in node.children):
            rebuilt = type(node)(*[_mapped(value, memo) for value in node.values()])
        memo[node] = _normal(rebuilt, ranges)
    return memo[root]


def _mapped(value: Any, memo: dict[Expr, Expr]) -> Any:
    if isinstance(value, Expr):
        return memo[value]
    if type(value) is tuple:
        return tuple([_mapped(item, memo) for item in value])
    return value


def _normal(e: Expr, ranges: Ranges) -> Expr:
    """The normal form of a node whose operands have theirs."""
    if isinstance(e, (Const, Var, Dim)):
        return e
    if isinstance(e, expr.Compare):
        return comparison(e, ranges)
    if e.dtype == INDEX:
        return _index(e, ranges)
    folded = fold(e)
    assert isinstance(folded, Expr)
    if isinstance(folded, (expr.And, expr.Or)) and folded.a is folded.b:
        return folded.a
    if isinstance(folded, expr.Not):
        return negation(folded)
    if isinstance(folded, expr.Binary) and folded.dtype.lanes > 1 and folded.dtype.is_int:
        return vector(folded, lambda part: _normal(part, ranges))
    return folded


def _index(e: Expr, ranges: Ranges) -> Expr:
    match e:
        case expr.Add() | expr.Sub() | expr.Mul():
            return build(recombined(terms(e), ranges))
        case expr.FloorDiv(a, b):
            return build(recombined(quotient(terms(a), terms(b), ranges), ranges))
        case expr.FloorMod(a, b):
            return build(recombined(remainder(terms(a), terms(b), ranges), ranges))
        case expr.Min(a, b) | expr.Max(a, b):
            return extreme(type(e), a, b, ranges)
        case expr.Shl(a, Const(bits, _)) if 0 <= bits < 64:
            return build(times(terms(a), constant(1 << int(bits))))
        case expr.Shr(a, Const(bits, _)) if 0 <= bits < 64:
            return build(recombined(quotient(terms(a), constant(1 << int(bits)), ranges), ranges))
        case expr.BitAnd(a, Const(mask, _)) if (
            mask >= 0 and int(mask).bit_count() == int(mask).bit_length()
        ):
            whole = remainder(terms(a), constant(int(mask) + 1), ranges)
            return build(recombined(whole, ranges))
        case expr.BitXor(Const(one), Const(other)):
            return expr.const(int(one) ^ int(other))
        case expr.BitXor(a, Const(0)) | expr.BitXor(Const(0), a):
            return a
        case expr.Cast(expr.Cast(inner, through), _) if inner.dtype == INDEX:
            if through.is_int and _fits(inner, through, ranges):
                return inner
    folded = fold(e)
    assert isinstance(folded, Expr)
    return folded


def _fits(e: Expr, dtype: DType, ranges: Ranges) -> bool:
    """True if every value of the index `e` is one of the integer type."""
    lo, hi = of_type(dtype)
    if lo is None or hi is None:
        return False
    return nonnegative(plus(terms(e), constant(-lo)), ranges) and nonnegative(
        plus(constant(hi), terms(e), -1), ranges
    )
