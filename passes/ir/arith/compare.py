"""Comparisons and extremes of integers: decided where proven, else in one spelling."""

from __future__ import annotations

from math import gcd

from passes.ir import expr
from passes.ir.arith.intervals import Ranges, interval, interval_of
from passes.ir.arith.least import greatest, least, nonnegative
from passes.ir.arith.recombine import recombined
from passes.ir.arith.terms import Terms, build, constant, order, plus, scaled, terms
from passes.ir.dtypes import INDEX
from passes.ir.expr import FALSE, TRUE, Const, Expr


def comparison(e: expr.Compare, ranges: Ranges) -> Expr:
    """i*4 + 4 <= n*4  ->  i < n;  decided where `ranges` prove it."""
    if e.a.dtype.is_float or e.dtype.lanes > 1:
        return e
    if e.a.dtype != INDEX:
        return _fixed_width(e, ranges)
    difference = plus(terms(e.b), terms(e.a), -1)
    if isinstance(e, expr.Lt):
        return _positive(difference, ranges)
    if isinstance(e, expr.Le):
        return _positive(plus(difference, constant(1)), ranges)
    same = isinstance(e, expr.Eq)
    decided = _is_zero(difference, ranges)
    if decided is not None:
        return TRUE if decided == same else FALSE
    common = gcd(*[c for m, c in difference.items() if m])
    left, right = _sides({m: c // common for m, c in difference.items()})
    if isinstance(left, Const) or (
        not isinstance(right, Const) and order_of(right) < order_of(left)
    ):
        left, right = right, left
    return type(e)(left, right)


def holds(kind: type[expr.Compare], difference: Terms, ranges: Ranges) -> bool:
    """Whether `a kind b` (less, at most, equal) is proven from the polynomial b - a."""
    if kind is expr.Eq:
        return _is_zero(difference, ranges) is True
    strict = constant(-1) if kind is expr.Lt else constant(0)
    return _nonnegative(plus(difference, strict), ranges)


def _nonnegative(t: Terms, ranges: Ranges) -> bool:
    """Also where quotients and remainders have to meet first: n%8 - n//4%2*4 is n%4."""
    if nonnegative(t, ranges):
        return True
    whole = recombined(t, ranges)
    return whole != t and nonnegative(whole, ranges)


def order_of(e: Expr) -> tuple[int, list[tuple[int, int, str]]]:
    """A sorting key of index expressions that depends on content only."""
    keys = sorted(order(atom) for monomial in terms(e) for atom in monomial)
    return (int(isinstance(e, Const)), keys)


def _fixed_width(e: expr.Compare, ranges: Ranges) -> Expr:
    if e.a is e.b:
        return TRUE if isinstance(e, (expr.Le, expr.Eq)) else FALSE
    (a_lo, a_hi), (b_lo, b_hi) = interval(e.a, ranges), interval(e.b, ranges)
    assert a_lo is not None and a_hi is not None and b_lo is not None and b_hi is not None
    if isinstance(e, expr.Lt):
        return TRUE if a_hi < b_lo else FALSE if a_lo >= b_hi else e
    if isinstance(e, expr.Le):
        return TRUE if a_hi <= b_lo else FALSE if a_lo > b_hi else e
    if a_hi < b_lo or b_hi < a_lo:
        return FALSE if isinstance(e, expr.Eq) else TRUE
    return e


def _positive(t: Terms, ranges: Ranges) -> Expr:
    """t > 0 in its normal form."""
    if not t:
        return FALSE
    if _nonnegative(plus(t, constant(-1)), ranges):
        return TRUE
    if _nonnegative(scaled(t, -1), ranges):
        return FALSE
    common = gcd(*[c for m, c in t.items() if m])
    t = {m: c // common if m else -(-c // common) for m, c in t.items()}
    left, right = _sides(t)
    return expr.Lt(left, right)


def _sides(t: Terms) -> tuple[Expr, Expr]:
    """(a, b) with t = b - a and no negative coefficient in either."""
    negative = {m: -c for m, c in t.items() if c < 0}
    positive = {m: c for m, c in t.items() if c > 0}
    return build(negative), build(positive)


def _is_zero(t: Terms, ranges: Ranges) -> bool | None:
    if not t:
        return True
    lo, hi = interval_of(t, ranges)
    if lo == 0 == hi:
        return True
    if (lo is not None and lo > 0) or (hi is not None and hi < 0):
        return False
    common = gcd(*[c for m, c in t.items() if m])
    if common == 0 or t.get((), 0) % common:
        return False
    low, high = least(t, ranges), greatest(t, ranges)
    if (low is not None and low > 0) or (high is not None and high < 0):
        return False
    return True if low == 0 == high else None


def negation(e: expr.Not) -> Expr:
    """not a < b  ->  b < a + 1  for integers; floats keep theirs (NaN)."""
    match e.a:
        case expr.Not(inner):
            return inner
        case expr.Eq(a, b):
            return expr.Ne(a, b)
        case expr.Ne(a, b):
            return expr.Eq(a, b)
        case expr.Lt(a, b) if a.dtype == INDEX:
            return expr.Lt(b, build(plus(terms(a), constant(1))))
    return e


def extreme(kind: type[expr.Min | expr.Max], a: Expr, b: Expr, ranges: Ranges) -> Expr:
    """The smaller or larger of index operands, which may be extremes themselves.

    min(n, min(n + 3, 8))  ->  min(n, 8)
    """
    operands: list[Expr] = []
    stack = [b, a]
    while stack:
        item = stack.pop()
        if isinstance(item, (expr.Min, expr.Max)) and type(item) is kind:
            stack.extend((item.b, item.a))
        elif item not in operands:
            operands.append(item)
    operands.sort(key=order_of)
    sign = 1 if kind is expr.Min else -1
    kept: list[Expr] = []
    for place, item in enumerate(operands):
        rivals = kept + operands[place + 1 :]
        if not any(_at_most(rival, item, sign, ranges) for rival in rivals):
            kept.append(item)
    whole = kept[0]
    for item in kept[1:]:
        whole = kind(whole, item)
    return whole


def _at_most(a: Expr, b: Expr, sign: int, ranges: Ranges) -> bool:
    return nonnegative(scaled(plus(terms(b), terms(a), -1), sign), ranges)
