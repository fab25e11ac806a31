"""Quotients and remainders of index polynomials."""

from __future__ import annotations

from math import gcd

from passes.ir import expr
from passes.ir.arith.intervals import Ranges
from passes.ir.arith.least import greatest, least, nonnegative
from passes.ir.arith.terms import (
    Terms,
    build,
    constant,
    order,
    plus,
    scaled,
    terms,
    times,
    without,
)
from passes.ir.dtypes import INDEX
from passes.ir.expr import Const, Expr


def quotient(t: Terms, divisor: Terms, ranges: Ranges) -> Terms:
    """floor(t / divisor).

    (i*4 + j) // 4       ->  i                where 0 <= j < 4
    (i*8 + j*2) // 4     ->  i*2 + j//2
    (i//4) // 4          ->  i//16
    (i*n + j) // n       ->  i                where 0 <= j < n, and as well for n + 2
    """
    q = constant_of(divisor)
    if q is None:
        return _by_symbol(t, divisor, ranges)[0]
    if q == 0:
        return {(expr.FloorDiv(build(t), build(divisor)),): 1}
    if q < 0:
        t, q = scaled(t, -1), -q
    whole, rest = _divided(t, q)
    period = _period(rest, q, ranges)
    if period is not None:
        return plus(whole, constant(period))
    return plus(whole, _quotient_of_rest(rest, q, ranges))


def remainder(t: Terms, divisor: Terms, ranges: Ranges) -> Terms:
    """t - divisor * floor(t / divisor).

    (i*8 + j) % 8        ->  j                where 0 <= j < 8
    (i*8 + j) % 16       ->  i%2*8 + j        where 0 <= j < 8
    (i % 16) % 4         ->  i%4
    """
    q = constant_of(divisor)
    if q is None:
        return _by_symbol(t, divisor, ranges)[1]
    if q == 0:
        return {(expr.FloorMod(build(t), build(divisor)),): 1}
    if q < 0:
        return scaled(remainder(scaled(t, -1), constant(-q), ranges), -1)
    _, rest = _divided(t, q)
    period = _period(rest, q, ranges)
    if period is not None:
        return plus(rest, constant(-period * q))
    opened = _without_remainders(rest, q)
    if opened is not rest:
        return remainder(opened, divisor, ranges)
    for g in _common_factors(rest, q):
        high, low = _split(rest, g)
        if _period(low, g, ranges) == 0:
            inner = remainder(high, constant(q // g), ranges)
            return plus(scaled(inner, g), low)
    return {(expr.FloorMod(build(rest), Const(q, INDEX)),): 1}


def constant_of(t: Terms) -> int | None:
    """The value of a polynomial without unknowns, else None."""
    if not t:
        return 0
    return t[()] if len(t) == 1 and () in t else None


def _divided(t: Terms, q: int) -> tuple[Terms, Terms]:
    """t = q*whole + rest with small coefficients in rest, a constant of 0 … q-1, signs kept."""
    whole: Terms = {}
    rest: Terms = {}
    for monomial, c in t.items():
        times_q = c // q if not monomial or c >= 0 else -(-c // q)
        if times_q:
            whole[monomial] = times_q
        if c - times_q * q:
            rest[monomial] = c - times_q * q
    return whole, rest


def _period(t: Terms, q: int, ranges: Ranges) -> int | None:
    """The k with k*q <= t < (k+1)*q, if it is proven."""
    if not t:
        return 0
    if () in t and len(t) == 1:
        return t[()] // q
    lo = least(t, ranges)
    if lo is None:
        return None
    k = lo // q
    hi = greatest(t, ranges)
    return k if hi is not None and hi < (k + 1) * q else None


def _quotient_of_rest(rest: Terms, q: int, ranges: Ranges) -> Terms:
    for g in _common_factors(rest, q):
        high, low = _split(rest, g)
        if _period(low, g, ranges) == 0:
            return quotient(high, constant(q // g), ranges)
    single, offset = _single_atom(rest)
    if isinstance(single, expr.FloorDiv) and isinstance(single.b, Const) and single.b.value > 0:
        p = int(single.b.value)
        return quotient(plus(terms(single.a), constant(offset * p)), constant(p * q), ranges)
    if isinstance(single, expr.FloorMod) and isinstance(single.b, Const) and offset == 0:
        p = int(single.b.value)
        if p > 0 and p % q == 0:
            inner = quotient(terms(single.a), constant(q), ranges)
            return remainder(inner, constant(p // q), ranges)
    return {(expr.FloorDiv(build(rest), Const(q, INDEX)),): 1}


def _common_factors(t: Terms, q: int) -> list[int]:
    """The factors > 1 that q shares with a coefficient, largest first."""
    found = {gcd(c, q) for m, c in t.items() if m}
    return sorted((g for g in found if g > 1), reverse=True)


def _split(t: Terms, g: int) -> tuple[Terms, Terms]:
    """t = g*high + low, low being the terms that g does not divide and a constant of 0 … g-1."""
    high: Terms = {}
    low: Terms = {}
    for monomial, c in t.items():
        if c % g == 0:
            high[monomial] = c // g
        elif not monomial:
            low[monomial] = c % g
            if c // g:
                high[monomial] = c // g
        else:
            low[monomial] = c
    return high, low


def _single_atom(t: Terms) -> tuple[Expr | None, int]:
    """(x, c) where t = x + c for an atom x."""
    rest = [(m, c) for m, c in t.items() if m]
    if len(rest) == 1 and len(rest[0][0]) == 1 and rest[0][1] == 1:
        return rest[0][0][0], t.get((), 0)
    return None, 0


def _without_remainders(t: Terms, q: int) -> Terms:
    """c*(x % a) -> c*x wherever q divides c*a; `t` itself if there is no such term."""
    for monomial, c in t.items():
        if len(monomial) == 1 and isinstance(atom := monomial[0], expr.FloorMod):
            modulus = constant_of(terms(atom.b))
            if modulus is not None and modulus > 0 and c * modulus % q == 0:
                rest = {m: k for m, k in t.items() if m is not monomial}
                return plus(rest, terms(atom.a), c)
    return t


def _by_symbol(t: Terms, divisor: Terms, ranges: Ranges) -> tuple[Terms, Terms]:
    """Quotient and remainder by a divisor that is not constant."""
    whole: Terms = {}
    rest: Terms = dict(t)
    factor = min([m for m in divisor if m], key=lambda m: (-len(m), [order(atom) for atom in m]))
    for monomial, c in t.items():
        left = without(monomial, factor)
        if left is None or c % divisor[factor]:
            continue
        part = times({left: c // divisor[factor]}, divisor)
        if all(rest.get(m) == k for m, k in part.items() if m):
            whole[left] = c // divisor[factor]
            rest = plus(rest, part, -1)
    if not nonnegative(plus(divisor, constant(-1)), ranges):
        whole, rest = {}, t
    elif not rest or (
        nonnegative(rest, ranges)
        and nonnegative(plus(plus(divisor, constant(-1)), rest, -1), ranges)
    ):
        return whole, rest
    elif nonnegative(plus(scaled(rest, -1), constant(-1)), ranges) and nonnegative(
        plus(rest, divisor), ranges
    ):
        return plus(whole, constant(-1)), plus(rest, divisor)
    top, bottom = build(rest), build(divisor)
    return plus(whole, {(expr.FloorDiv(top, bottom),): 1}), {(expr.FloorMod(top, bottom),): 1}
