"""Constant intervals of integer expressions, and the ranges of variables they start from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from passes.ir import expr
from passes.ir.arith.symbols import free_vars
from passes.ir.arith.terms import Terms
from passes.ir.dtypes import DType
from passes.ir.expr import Dim, Expr, Var
from passes.ir.node import IRError, postorder


class Interval(NamedTuple):
    """lo <= value <= hi; None is unbounded."""

    lo: int | None
    hi: int | None


Env: TypeAlias = "Mapping[Any, tuple[Expr | int, Expr | int]]"
"""Variable (or dim) -> its smallest and largest value, which may speak of other variables."""


class Narrowed(dict[Any, "tuple[Expr | int, Expr | int]"]):
    """An environment that knows ranges of expressions of dims too, its `parts`."""

    def __init__(self, known: Env) -> None:
        super().__init__(known)
        self.parts: dict[Expr, tuple[Expr | int, Expr | int]] = {}
        if isinstance(known, Narrowed):
            self.parts.update(known.parts)


EVERYTHING = Interval(None, None)
_MEMO_LIMIT = 1 << 16


@dataclass(eq=False)
class Ranges:
    """What is known of variables, dims and other expressions, and what was concluded from it."""

    known: dict[Expr, tuple[Expr, Expr]]
    ranks: dict[Var, int] = field(default_factory=dict)
    intervals: dict[Expr, Interval] = field(default_factory=dict)
    least: dict[Any, int | None] = field(default_factory=dict)
    simple: dict[Expr, Expr] = field(default_factory=dict)
    proved: dict[Expr, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for var in self.known:
            self._rank(var, ())

    def _rank(self, var: Any, path: tuple[Any, ...]) -> int:
        """One more than the ranks of the variables its range speaks of; dims have 0."""
        if isinstance(var, Dim) or var not in self.known:
            return 0
        if var not in self.ranks:
            if var in path:
                raise IRError(f"the range of {var.name}{var.ordinal} depends on itself")
            below = free_vars(self.known[var][0]) | free_vars(self.known[var][1])
            ranks = [self._rank(v, (*path, var)) for v in below]
            self.ranks[var] = 1 + max(ranks, default=0)
        return self.ranks[var]

    def forget(self) -> None:
        """Drops the memos if they have grown large; they only save time."""
        for memo in (self.intervals, self.least, self.simple, self.proved):
            if len(memo) > _MEMO_LIMIT:
                memo.clear()


def interval(e: Expr, ranges: Ranges) -> Interval:
    """The interval of a scalar integer or bool expression, operand by operand."""
    memo = ranges.intervals
    found = memo.get(e)
    if found is None:
        for node in postorder(e) if e.children else (e,):
            if isinstance(node, Expr) and node not in memo:
                memo[node] = _fitted(_interval(node, ranges), node.dtype)
        found = memo[e]
    return found


def interval_of(t: Terms, ranges: Ranges) -> Interval:
    """The interval of a polynomial, term by term."""
    lo: int | None = 0
    hi: int | None = 0
    for monomial, coefficient in t.items():
        if not monomial:
            low, high = Interval(coefficient, coefficient)
        elif len(monomial) == 1:
            low, high = interval(monomial[0], ranges)
            low = None if low is None else low * coefficient
            high = None if high is None else high * coefficient
            if coefficient < 0:
                low, high = high, low
        else:
            whole: tuple[float, float] = coefficient, coefficient
            for atom in monomial:
                whole = _product(whole, float_pair(interval(atom, ranges)))
            low, high = _interval_from(*whole)
        lo = None if lo is None or low is None else lo + low
        hi = None if hi is None or high is None else hi + high
    return Interval(lo, hi)


def of_type(dtype: DType) -> Interval:
    """All values of an element type."""
    if dtype.name == "bool":
        return Interval(0, 1)
    if dtype.is_float or dtype.name == "index":
        return EVERYTHING
    half = 1 << dtype.bits - 1
    return Interval(-half, half - 1) if dtype.is_signed else Interval(0, 2 * half - 1)


def _fitted(found: Interval, dtype: DType) -> Interval:
    """Fixed-width results that may leave their type wrap, so they can be anything in it."""
    if dtype.name == "index":
        return found
    lo, hi = of_type(dtype)
    if lo is None or hi is None:
        return EVERYTHING
    if found.lo is None or found.hi is None or found.lo < lo or found.hi > hi:
        return Interval(lo, hi)
    return found


def _interval(e: Expr, ranges: Ranges) -> Interval:
    memo = ranges.intervals
    match e:
        case expr.Const(value, _):
            return Interval(int(value), int(value)) if not e.dtype.is_float else EVERYTHING
        case _ if e in ranges.known:
            low, high = ranges.known[e]
            return Interval(interval(low, ranges).lo, interval(high, ranges).hi)
        case Dim(_, lo, hi):
            return Interval(lo, hi)
        case expr.Add(a, b):
            return _sum(memo[a], memo[b])
        case expr.Sub(a, b):
            return _sum(memo[a], negated(memo[b]))
        case expr.Mul(a, b):
            return _interval_from(*_product(float_pair(memo[a]), float_pair(memo[b])))
        case expr.FloorDiv(a, b):
            return _quotient(memo[a], memo[b])
        case expr.FloorMod(a, b):
            return _remainder(memo[a], memo[b])
        case expr.Min(a, b):
            (p, q), (r, s) = float_pair(memo[a]), float_pair(memo[b])
            return _interval_from(min(p, r), min(q, s))
        case expr.Max(a, b):
            (p, q), (r, s) = float_pair(memo[a]), float_pair(memo[b])
            return _interval_from(max(p, r), max(q, s))
        case expr.Select(_, a, b):
            (p, q), (r, s) = float_pair(memo[a]), float_pair(memo[b])
            return _interval_from(min(p, r), max(q, s))
        case expr.BitAnd(a, b):
            highs = [h for lo, h in (memo[a], memo[b]) if lo is not None and lo >= 0]
            known = [h for h in highs if h is not None]
            return Interval(0 if highs else None, min(known) if known else None)
        case expr.BitOr(a, b) | expr.BitXor(a, b):
            both = (memo[a], memo[b])
            if all(one.lo is not None and one.lo >= 0 for one in both):
                bits = [one.hi.bit_length() for one in both if one.hi is not None]
                return Interval(0, (1 << max(bits)) - 1 if len(bits) == 2 else None)
        case expr.Shr(a, b) if isinstance(b, expr.Const) and 0 <= b.value < 64:
            step = 1 << int(b.value)
            return _quotient(memo[a], Interval(step, step))
        case expr.Cast(value, _) if not value.dtype.is_float:
            return memo[value]
        case expr.Broadcast(value, _):
            return memo[value]
        case expr.Call("thread_id" | "num_threads" as name, _, _):
            return Interval(1 if name == "num_threads" else 0, None)
        case expr.Ramp(base, stride, lanes):
            reach = stride * (lanes - 1)
            return _sum(memo[base], Interval(min(0, reach), max(0, reach)))
    return of_type(e.dtype)


def negated(a: Interval) -> Interval:
    return Interval(None if a.hi is None else -a.hi, None if a.lo is None else -a.lo)


def float_pair(a: Interval) -> tuple[float, float]:
    """The ends as exact ints, or infinities where unbounded."""
    return (-math.inf if a.lo is None else a.lo, math.inf if a.hi is None else a.hi)


def _interval_from(lo: float, hi: float) -> Interval:
    return Interval(
        lo if isinstance(lo, int) else None,
        hi if isinstance(hi, int) else None,
    )


def _sum(a: Interval, b: Interval) -> Interval:
    (p, q), (r, s) = float_pair(a), float_pair(b)
    return _interval_from(p + r, q + s)


def _times(a: float, b: float) -> float:
    """The product with infinity * 0 = 0, ints staying exact."""
    if a == 0 or b == 0:
        return 0
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    return math.inf if (a > 0) == (b > 0) else -math.inf


def _product(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    corners = [_times(x, y) for x in a for y in b]
    return min(corners), max(corners)


def _divided(a: float, b: float) -> float:
    """floor(a / b) for b >= 1, ends of intervals included."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    if isinstance(b, int):
        return a
    return 0 if a >= 0 else -1 if isinstance(a, int) else a


def _quotient(a: Interval, b: Interval) -> Interval:
    if b.hi is not None and b.hi < 0:
        a, b = negated(a), negated(b)
    if b.lo is None or b.lo < 1:
        return EVERYTHING
    corners = [_divided(x, y) for x in float_pair(a) for y in float_pair(b)]
    return _interval_from(min(corners), max(corners))


def _remainder(a: Interval, b: Interval) -> Interval:
    if b.lo is None or b.lo < 1:
        return EVERYTHING
    if b.lo == b.hi and a.lo is not None and a.hi is not None and a.lo // b.lo == a.hi // b.lo:
        return Interval(a.lo % b.lo, a.hi % b.lo)
    top = None if b.hi is None else b.hi - 1
    if a.lo is not None and a.lo >= 0 and a.hi is not None:
        top = a.hi if top is None else min(top, a.hi)
    return Interval(0, top)
